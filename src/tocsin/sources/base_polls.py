"""What sources share that look at something every few seconds: clocks, the pace, and rows that nobody acknowledged."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from typing import Annotated

import numpy as np
from pydantic import Field

from tocsin.component import Duration, seconds, snake_case
from tocsin.errors import DataError, LimitExceeded
from tocsin.records import FILE, ROW, SECOND, Batch, Column, Position, Rejected
from tocsin.sources.base import Source, last_row

MAX_HELD = 10_000
"""Rows that are held until they are acknowledged."""
SHORTEST_S = 0.1

Samples = Annotated[int, Field(ge=1)] | None


class TimedSource(Source):
    """A source that looks at the time. A test or a replay replaces these three, of an instance or of a class."""

    _now: Callable[[], float] = staticmethod(time.time)
    """The time of day, which rows bear: seconds since 1970."""
    _elapsed: Callable[[], float] = staticmethod(time.monotonic)
    """Seconds that only grow, by which a pace is kept."""
    _sleep: Callable[[float], None] = staticmethod(time.sleep)


class Held:
    """What was read once and cannot be read again: batches of one row or one `Rejected`, until they are acknowledged.

    Parameters
    ----------
    source
        Its name, for positions and messages.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._batches: deque[Batch] = deque()
        self._given = 0
        self._offsets: dict[str, int] = {}

    @property
    def waiting(self) -> int:
        """How many were not given since `reopen`."""
        return len(self._batches) - self._given

    def reopen(self, resume: Position | None) -> int:
        """Give all again that lie behind a position; returns the number of the last row that there is."""
        self._offsets = dict(resume.offsets) if resume else {}
        places = [(*last_row(batch), batch) for batch in self._batches]
        self._batches = deque(batch for file, row, batch in places if row > self._offsets.get(file, 0))
        self._given = 0
        return max([*self._offsets.values(), *(last_row(batch)[1] for batch in self._batches)], default=0)

    def find_room(self) -> None:
        """Look for room for one more, before it is read.

        Raises
        ------
        LimitExceeded
            If 10,000 are held already.
        """
        if len(self._batches) >= MAX_HELD:
            got, hint = f"{len(self._batches):,} rows unacknowledged", "acknowledge rows when they are safe"
            raise LimitExceeded(self._source, got, f"at most {MAX_HELD:,}", hint)

    def take(self, batch: Batch) -> None:
        """Hold one more."""
        self._batches.append(batch)

    def give(self) -> Batch:
        """The first that was not given yet."""
        self._given += 1
        return self._batches[self._given - 1]

    def release(self) -> Position:
        """Hold what was given no longer; says how far that is."""
        for _ in range(self._given):
            file, row = last_row(self._batches.popleft())
            self._offsets[file] = row
        self._given = 0
        return Position(self._source, dict(self._offsets))

    def clear(self) -> None:
        """Hold nothing."""
        self._batches.clear()
        self._given = 0


class PollingSource(TimedSource):
    """One row per interval, of what can be read once.

    A row is held until it is acknowledged: a source that was closed before gives it again when it is opened. A reader
    that is slower than the interval misses polls; they are left out, not made up for.

    Subclasses write `_begin` and `_poll`, and pass their parameters on.
    """

    replayable = False

    def __init__(self, *, interval: Duration, samples: Samples) -> None:
        self.interval = paced(interval)
        self.samples = samples
        self._name = snake_case(type(self).__name__)
        self._held = Held(self._name)
        self._number = 0
        """Of the last row."""
        self._due: float | None = None

    @abstractmethod
    def _begin(self) -> None:
        """Look for the first time: what the first row is told from."""

    @abstractmethod
    def _poll(self) -> Mapping[str, object]:
        """One row: a value by column, numbers as float with NaN for what is not known."""

    def open(self, resume: Position | None = None) -> None:
        """Look for the first time; the first row comes an interval later, unless some are held."""
        self._number = self._held.reopen(resume)
        self._begin()
        self._due = self._elapsed() + self.interval

    def read(self, timeout_s: float) -> Batch | None:
        """The next row, or None while it is not due."""
        if self._due is None:
            raise DataError(repr(self), "read of a closed source", hint="call open first")
        if not self._held.waiting and (self.ended or not self._polled(self._due, timeout_s)):
            return None
        return self._held.give()

    def _polled(self, due: float, timeout_s: float) -> bool:
        """Whether a row came in time; it is held then."""
        wait = due - self._elapsed()
        if wait > timeout_s:
            self._sleep(timeout_s)
            return False
        self._sleep(max(wait, 0.0))
        self._held.find_room()
        moment = np.array([round(self._now() * SECOND)], dtype="datetime64[us]")
        columns: dict[str, Column] = {"timestamp": moment}
        for name, value in self._poll().items():
            columns[name] = np.array([value], dtype=object if isinstance(value, str) else np.float64)
        self._number += 1
        self._held.take(one_row(self._name, self._number, columns))
        # Two looks too close together would tell nothing of the time between them.
        self._due = max(due + self.interval, self._elapsed() + self.interval / 2)
        return True

    @property
    def endless(self) -> bool:
        """Whether no number of samples was asked for."""
        return self.samples is None

    @property
    def ended(self) -> bool:
        """Whether all samples were read; never, if none were asked for."""
        return self.samples is not None and self._number >= self.samples and not self._held.waiting

    def acknowledge(self, batch: Batch) -> Position:
        """Hold no longer what was given up to this row."""
        return self._held.release()

    def close(self) -> None:
        """Look no more; what is held stays held."""
        self._due = None


def paced(interval: Duration) -> float:
    """An interval in seconds.

    Raises
    ------
    ValueError
        If it is too short to tell anything.
    """
    found = seconds(interval)
    if found < SHORTEST_S:
        raise ValueError(f"interval is {found:g} s, wanted at least {SHORTEST_S:g} s")
    return found


def one_row(file: str, row: int, columns: Mapping[str, Column]) -> Batch:
    """A batch of one row."""
    return Batch({**columns, FILE: np.array([file], dtype=object), ROW: np.array([row], dtype=np.int64)})


def no_row(rejected: Rejected) -> Batch:
    """A batch of a poll that gave no row."""
    return Batch({FILE: np.array([], dtype=object), ROW: np.array([], dtype=np.int64)}, [rejected])
