"""A source that is read while it answers, and opened again when it does not."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tocsin.component import snake_case
from tocsin.errors import SourceLost
from tocsin.observe import live
from tocsin.records import Batch, Position
from tocsin.sources.base import Source

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 15.0
"""Before a lost source is opened again."""


class Reading:
    """Reads a source for a stream.

    Parameters
    ----------
    source
        Not yet open.
    stopping
        Ends a wait.
    elapsed
        Seconds that only grow.
    """

    def __init__(self, source: Source, stopping: threading.Event, elapsed: Callable[[], float]) -> None:
        self.opened = False
        self.name = snake_case(type(source).__name__)
        self._source = source
        self._stopping = stopping
        self._elapsed = elapsed
        self._wait_s = FIRST_WAIT_S
        self._again_at = 0.0

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.opened and self._source.ended

    def read(self, timeout_s: float, position: Position | None) -> Batch | None:
        """The next rows, or those from a position on if it has to be opened: later each time if it was lost."""
        if not self.opened:
            if self._elapsed() < self._again_at:
                self._stopping.wait(min(timeout_s, self._again_at - self._elapsed()))
                return None
            self._open(position)
        try:
            return self._source.read(timeout_s) if self.opened else None
        except SourceLost as error:
            self._lose(error)
            return None

    def confirm(self) -> None:
        """Tell the source that what it was told is done with will not be asked for again."""
        if not self.opened:
            return
        try:
            self._source.confirm()
        except SourceLost as error:
            self._lose(error)

    def answered(self) -> None:
        """Its rows were taken: lost from here on, it is not waited for long."""
        self._wait_s = FIRST_WAIT_S

    def close(self) -> None:
        """Release it; the next read opens it."""
        self._source.close()
        self.opened, self._again_at = False, 0.0

    def _open(self, position: Position | None) -> None:
        try:
            self._source.open(position)
        except SourceLost as error:
            self._lose(error)
        else:
            self.opened = True

    def _lose(self, error: SourceLost) -> None:
        live.source_lost(self.name, error.problem.got)
        self.close()
        self._again_at = self._elapsed() + self._wait_s
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
