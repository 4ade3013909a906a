"""Which part of a history is used, by event time: the last so long, or from a moment to a moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from tocsin.errors import ConfigError, Problem
from tocsin.records import SECOND, Batch, Mask
from tocsin.schema import Schema

_DAY = len("2026-11-01")


@dataclass(frozen=True, slots=True)
class Period:
    """Part of a history; all of it, if nothing is said.

    Parameters
    ----------
    last_s
        The time up to now, seconds; in place of the others.
    start, end
        From this moment on, and up to before that one.
    """

    last_s: float | None = None
    start: datetime | None = None
    end: datetime | None = None

    def __bool__(self) -> bool:
        return self != Period()

    def since(self, now: datetime) -> datetime | None:
        """Its first moment."""
        return self.start if self.last_s is None else now - timedelta(seconds=self.last_s)


def asked(since_s: float | None, start: str | None, end: str | None, max_age_hours: float | None) -> Period | None:
    """The period that options ask for; None if they ask for none.

    Parameters
    ----------
    since_s, max_age_hours
        How long before now it begins.
    start, end
        ISO 8601, UTC where no offset is given; a day alone as the end is still in it.

    Raises
    ------
    ConfigError
        If more than one way is taken, or what is asked for is no period.

    >>> asked(None, "2026-11-01", "2026-11-02", None).end.isoformat()
    '2026-11-03T00:00:00+00:00'
    """
    ways = {"--since": since_s, "--max-age-hours": max_age_hours, "--start and --end": start or end}
    given = [name for name, value in ways.items() if value is not None]
    if len(given) > 1:
        raise ConfigError([Problem("tocsin", f"{', '.join(given)} together", "one of them")])
    if since_s is not None or max_age_hours is not None:
        return Period(since_s if max_age_hours is None else 3_600.0 * max_age_hours)
    return _between(start, end) if given else None


def _between(start: str | None, end: str | None) -> Period:
    first, last = _moment("--start", start), _moment("--end", end)
    if last is not None and end is not None and len(end.strip()) == _DAY:
        last += timedelta(days=1)
    if first is not None and last is not None and first >= last:
        raise ConfigError([Problem("--end", f"{end}, not after {start}", "an end that comes after the start")])
    return Period(start=first, end=last)


def _moment(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        wanted = "a day or a time such as 2026-11-01 or 2026-11-01T06:00:00+01:00"
        raise ConfigError([Problem(option, f'"{text}"', wanted)]) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class Within:
    """Which rows lie in a period; remembers where all those lie that it saw.

    Parameters
    ----------
    period, now
        What is asked for, and when.
    schema
        Names the clock.

    Raises
    ------
    ConfigError
        If it names none.
    """

    def __init__(self, period: Period, now: datetime, schema: Schema) -> None:
        if schema.time is None:
            raise ConfigError([no_clock("$.history")])
        self.since = period.since(now)
        self._time = schema.time
        self._start = -np.inf if self.since is None else self.since.timestamp() * SECOND
        self._end = np.inf if period.end is None else period.end.timestamp() * SECOND
        self._seen: tuple[int, ...] = ()

    def __call__(self, batch: Batch) -> Mask:
        """Whether each row does, (n,)."""
        times = batch[self._time]
        seen = [int(times.min()), int(times.max()), *self._seen]
        self._seen = (min(seen), max(seen))
        inside: Mask = (times >= self._start) & (times < self._end)
        return inside

    @property
    def seen(self) -> str:
        """Where the rows lie; empty if there were none."""
        return " to ".join(_shown(time) for time in self._seen)

    def __str__(self) -> str:
        bounds = (("from", self._start), ("before", self._end))
        return " and ".join(f"{word} {_shown(at)}" for word, at in bounds if np.isfinite(at))


def no_clock(where: str) -> Problem:
    """What is wrong where a period is asked of rows without a time."""
    hint = "name the field that holds the time as `time` of the schema"
    return Problem(where, "a period, of rows that have no time", "a schema with a clock", hint)


def _shown(time_us: float) -> str:
    return f"{datetime.fromtimestamp(time_us / SECOND, UTC):%Y-%m-%d %H:%M:%S}"
