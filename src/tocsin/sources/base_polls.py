"""What sources share that look at something every few seconds: the pace, and rows that nobody has acknowledged."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from tocsin.component import Duration, seconds, snake_case
from tocsin.errors import DataError, LimitExceeded
from tocsin.records import FILE, ROW, SECOND, Batch, Column, Position
from tocsin.sources.base import Source

MAX_HELD = 10_000
"""Rows that are held until they are acknowledged."""
SHORTEST_S = 0.1

Samples = Annotated[int, Field(ge=1)] | None


class PollingSource(Source):
    """One row per interval, of what can be read once.

    A row is held until it is acknowledged: a source that was closed before gives it again when it is opened. A reader
    that is slower than the interval misses polls; they are left out, not made up for.

    Subclasses write `_begin` and `_poll`, and pass their parameters on.
    """

    replayable: ClassVar[bool] = False

    _now: Callable[[], float] = staticmethod(time.time)
    """The time of day, which rows bear."""
    _elapsed: Callable[[], float] = staticmethod(time.monotonic)
    """Seconds that only grow, by which the pace is kept."""
    _sleep: Callable[[float], None] = staticmethod(time.sleep)

    def __init__(self, *, interval: Duration, samples: Samples) -> None:
        self.interval = seconds(interval)
        self.samples = samples
        if self.interval < SHORTEST_S:
            raise ValueError(f"interval is {self.interval:g} s, wanted at least {SHORTEST_S:g} s")
        self._held: deque[Batch] = deque()
        self._given = 0
        """Rows of `_held` that were handed out since `open`."""
        self._row = 0
        self._due: float | None = None

    @abstractmethod
    def _begin(self) -> None:
        """Look for the first time: what the first row is told from."""

    @abstractmethod
    def _poll(self) -> Mapping[str, object]:
        """One row: a value by column, numbers as float with NaN for what is not known."""

    def open(self, resume: Position | None = None) -> None:
        """Look for the first time; the first row comes an interval later, unless some are held."""
        self._given = 0
        self._row = resume.offsets.get(self._name, 0) if resume else 0
        self._begin()
        self._due = self._elapsed() + self.interval

    def read(self, timeout_s: float) -> Batch | None:
        """The next row, or None while it is not due."""
        if self._due is None:
            raise DataError(repr(self), "read of a closed source", hint="call open first")
        if self.ended or (self._given == len(self._held) and not self._polled(self._due, timeout_s)):
            return None
        batch = self._held[self._given]
        self._given += 1
        self._row += 1
        return batch.replace({FILE: np.array([self._name], dtype=object), ROW: np.array([self._row])})

    def _polled(self, due: float, timeout_s: float) -> bool:
        """Whether a row came in time; it is the last one held then."""
        wait = due - self._elapsed()
        if wait > timeout_s:
            self._sleep(timeout_s)
            return False
        self._sleep(max(wait, 0.0))
        if len(self._held) >= MAX_HELD:
            hint = "acknowledge rows when they are safe"
            raise LimitExceeded(repr(self), f"{len(self._held):,} rows unacknowledged", f"at most {MAX_HELD:,}", hint)
        moment = np.array([round(self._now() * SECOND)], dtype="datetime64[us]")
        columns: dict[str, Column] = {"timestamp": moment}
        for name, value in self._poll().items():
            columns[name] = np.array([value], dtype=object if isinstance(value, str) else np.float64)
        self._held.append(Batch(columns))
        # Two looks too close together would tell nothing of the time between them.
        self._due = max(due + self.interval, self._elapsed() + self.interval / 2)
        return True

    @property
    def ended(self) -> bool:
        """Whether all samples were read; never, if none were asked for."""
        return self.samples is not None and self._row >= self.samples

    def acknowledge(self, batch: Batch) -> Position:
        """Hold this row no longer."""
        for _ in range(self._given):
            self._held.popleft()
        self._given = 0
        return Position(self._name, {self._name: int(batch[ROW][-1])})

    def close(self) -> None:
        """Look no more; what is held stays held."""
        self._due = None

    @property
    def _name(self) -> str:
        return snake_case(type(self).__name__)
