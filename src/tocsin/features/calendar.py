"""Parts of local time: hour, day of the week, weekend.

Source: the IANA time zone database (RFC 6557), stored with the model as a table of clock changes, so that a later
edition of the database cannot move a served feature.
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import datetime
from functools import lru_cache
from math import cos, pi, sin
from pathlib import Path
from typing import Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from tocsin.errors import SchemaError, did_you_mean
from tocsin.features.base import Feature, Tables
from tocsin.kernel.columns import PERIODS, CalendarPart
from tocsin.kernel.program import Operation
from tocsin.schema import Schema

_DAY_S = 86_400
_TABLE_END_S = 130 * 365 * _DAY_S
"""Clock changes are stored until late in 2099; times beyond it keep the last offset."""
_DIGITS = 15
"""Decimals of a stored sine: fewer than two mathematics libraries could disagree on."""


class Calendar(Feature):
    """Hour, day of the week and the like of the event time, on the clock of the place.

    Take it where normal has a daily or weekly rhythm. The time is the row's own, also if the row comes late.

    Parameters
    ----------
    parts
        `hour` 0-23, `minute` and `second` 0-59, `minute_of_day` 0-1439, `day_of_week` 0-6 from Monday, `month` 1-12,
        `is_weekend`, `is_business_hours` (from 9 until the end of hour 17).
    timezone
        IANA name of the place's zone, such as `Europe/Berlin`; daylight saving time is followed.
    cyclical
        Give each part that comes round as `<part>_sin` and `<part>_cos`, so that 23 and 0 are neighbours, instead of
        as a number. Flags stay flags.

    Raises
    ------
    SchemaError
        On compile, if the schema has no clock or there is no such zone.
    ValueError
        If there are no parts.

    Examples
    --------
    >>> Calendar(parts=("hour", "is_weekend"), cyclical=True).names({})
    ('hour_sin', 'hour_cos', 'is_weekend')
    """

    def __init__(
        self,
        *,
        parts: tuple[CalendarPart, ...] = ("hour", "day_of_week", "is_weekend"),
        timezone: str = "UTC",
        cyclical: bool = False,
    ) -> None:
        if not parts:
            raise ValueError("no parts, wanted at least one")
        self.parts = parts
        self.timezone = timezone
        self.cyclical = cyclical

    @classmethod
    def example(cls, folder: Path) -> Self:
        return cls(parts=("hour", "day_of_week", "is_business_hours"), timezone="Europe/Berlin", cyclical=True)

    def inputs(self) -> tuple[str, ...]:
        # The clock has no fixed name: compile takes it from the schema.
        return ()

    def names(self, tables: Tables) -> tuple[str, ...]:
        circles = self._circles()
        return tuple(
            name for part in self.parts for name in ((f"{part}_sin", f"{part}_cos") if part in circles else (part,))
        )

    def compile(self, schema: Schema, tables: Tables) -> tuple[Operation, ...]:
        return (self.operation(repr(self), self.clock(schema), self.names(tables)),)

    def operation(self, where: str, clock: str, names: tuple[str, ...]) -> Operation:
        """The operation that writes the parts of local time under these names; for features that build on it.

        Raises
        ------
        SchemaError
            If there is no such zone; `where` begins the message.
        """
        try:
            changes, offsets = _clock_changes(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            hint = did_you_mean(self.timezone, available_timezones())
            got = f'unknown time zone "{self.timezone}"'
            raise SchemaError(where, got, "an IANA name such as Europe/Berlin", hint) from error
        circles = {part: _circle(PERIODS[part]) for part in self._circles()}
        constants = {"parts": self.parts, "changes": changes, "offsets": offsets, "circles": circles}
        return Operation("calendar", (clock,), names, constants)

    def _circles(self) -> tuple[CalendarPart, ...]:
        return tuple(part for part in self.parts if part in PERIODS) if self.cyclical else ()


def _circle(period: int) -> list[tuple[float, float]]:
    angles = [2 * pi * step / period for step in range(period)]
    return [(round(sin(angle), _DIGITS), round(cos(angle), _DIGITS)) for angle in angles]


@lru_cache(maxsize=8)
def _clock_changes(timezone: str) -> tuple[list[int], list[int]]:
    """UTC seconds at which the zone's offset changes, and the offsets before, between and after them, in seconds."""
    zone = ZoneInfo(timezone)
    second = 0
    changes: list[int] = []
    offsets = [_offset(zone, second)]
    while second < _TABLE_END_S:
        if _offset(zone, second + _DAY_S) == offsets[-1]:
            second += _DAY_S
            continue
        second = _next_change(zone, second, offsets[-1])
        changes.append(second)
        offsets.append(_offset(zone, second))
    return changes, offsets


def _next_change(zone: ZoneInfo, second: int, before: int) -> int:
    return second + bisect_left(range(_DAY_S), 1, key=lambda ahead: _offset(zone, second + ahead) != before)


def _offset(zone: ZoneInfo, second: int) -> int:
    offset = datetime.fromtimestamp(second, zone).utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0
