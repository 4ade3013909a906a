"""The mapping `alerts:` of a config: how many are welcome, what makes one message of many, and what never rings."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from tocsin.component import Duration
from tocsin.config.sections import PathText, Section

MAX_PER_DAY = 1e6
MAX_COOLDOWN_S = 30 * 86_400.0
MAX_RULES = 1_000
"""Entries of `maintenance` and of `allow`."""
_PER_TIME = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*(minute|hour|day|week)\s*")
_PER_ROWS = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*(\d+)\s*rows?\s*")
_SHARE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*")
_PER_DAY = {"minute": 1_440.0, "hour": 24.0, "day": 1.0, "week": 1 / 7}


class Rate(Section):
    """How many alerts: a number a day, or, where there is no clock, a share of the rows."""

    per_day: float | None = None
    per_row: float | None = None
    text: str = ""


def rate(value: object) -> object:
    """`3/day`, `1/hour`, `5/1000 rows` or `1%` (of the rows) -> `Rate`."""
    if isinstance(value, Rate):
        return value
    text = str(value)
    if match := _PER_TIME.fullmatch(text):
        found = Rate(per_day=float(match[1]) * _PER_DAY[match[2]], text=text)
    elif match := _PER_ROWS.fullmatch(text):
        found = Rate(per_row=float(match[1]) / max(float(match[2]), 1.0), text=text)
    elif match := _SHARE.fullmatch(text):
        found = Rate(per_row=float(match[1]) / 100, text=text)
    else:
        raise ValueError("wanted a rate such as 3/day, 1/hour, 5/1000 rows or 1%")
    if not 0 < (found.per_day or 0) <= MAX_PER_DAY and not 0 < (found.per_row or 0) < 1:
        raise ValueError(f"wanted a rate above 0, at most {MAX_PER_DAY:g} a day and below all rows")
    return found


def moment(value: object) -> object:
    """A day or a time as ISO 8601 has it, in UTC unless it says otherwise."""
    if isinstance(value, datetime):
        return value
    try:
        found = datetime.fromisoformat(str(value).strip())
    except ValueError:
        raise ValueError("wanted a day or a time such as 2026-11-01 or 2026-11-01T06:00:00+01:00") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


AlertRate = Annotated[Rate, BeforeValidator(rate)]
Moment = Annotated[datetime, BeforeValidator(moment)]
Word = Annotated[str, Field(min_length=1, max_length=1_000)]


class AllowConfig(Section):
    """What never rings: an entity, a cause, or a cause at an entity.

    Parameters
    ----------
    entity
        Its real name.
    cause
        The column of the telemetry that alerts name as theirs.
    """

    entity: Word | None = None
    cause: Word | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.entity is None and self.cause is None:
            raise ValueError("neither entity nor cause, wanted one of them: this would allow everything")
        return self


class MaintenanceConfig(Section):
    """A time in which nothing rings, by the times of the rows.

    Parameters
    ----------
    name
        What is done.
    start, end
        From the one on and before the other.
    entity
        At which one; by default at all of them.
    """

    name: Word
    start: Moment
    end: Moment
    entity: Word | None = None

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if self.start >= self.end:
            raise ValueError(f"end is {self.end.isoformat()}, wanted a time after {self.start.isoformat()}")
        return self


class IncidentConfig(Section):
    """When alerts of several entities are one incident, with one message.

    Parameters
    ----------
    entities, window
        So many different ones that ring for one cause within this time.
    """

    entities: int = Field(default=3, ge=2, le=20)
    window: Annotated[Duration, Field(le=86_400.0)] = 300.0


class AlertsConfig(Section):
    """The alert budget and how flagged rows become alerts.

    Parameters
    ----------
    budget
        How many are welcome on average; what the threshold is fitted for.
    cooldown
        Flagged rows of an entity closer together than this are one alert.
    at_most
        Most that are delivered a day, the digest of the others aside.
    adapt
        Let the level follow slow drift.
    incident
        When alerts of several entities are one; `null` for never.
    maintenance, allow
        What is kept in the journal and not delivered.
    silences
        File of what `tocsin silence` keeps quiet for a while.
    """

    budget: AlertRate = Rate(per_day=3.0, text="3/day")
    cooldown: Annotated[Duration, Field(le=MAX_COOLDOWN_S)] = 120.0
    at_most: AlertRate | None = None
    adapt: bool = False
    incident: IncidentConfig | None = IncidentConfig()
    maintenance: Annotated[tuple[MaintenanceConfig, ...], Field(max_length=MAX_RULES)] = ()
    allow: Annotated[tuple[AllowConfig, ...], Field(max_length=MAX_RULES)] = ()
    silences: PathText = ".tocsin/silences.json"

    @model_validator(mode="after")
    def _days(self) -> Self:
        if self.adapt and self.budget.per_day is None:
            raise ValueError(f'adapt goes by days and the budget is "{self.budget.text}", wanted alerts a day')
        return self

    @model_validator(mode="after")
    def _whole_alerts(self) -> Self:
        if self.at_most is not None and not (self.at_most.per_day or 0) >= 1:
            raise ValueError(f'at_most is "{self.at_most.text}", wanted a number of alerts a day, at least 1/day')
        return self

    @property
    def at_most_per_day(self) -> int | None:
        """Alerts delivered a day; None if they are not limited."""
        return round(self.at_most.per_day) if self.at_most and self.at_most.per_day else None
