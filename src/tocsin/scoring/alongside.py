"""What hears of every batch that a stream has scored: its last rows, and the models that are scored beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tocsin.records import Batch
from tocsin.scoring.scorer import Scored
from tocsin.scoring.shadow import Shadow
from tocsin.scoring.stream import Stream
from tocsin.scoring.work import Clocks, Serving

RECENT, BATCHES = 2_000, 256
"""Last rows that are remembered, in so many batches at most."""
ASKED_S = 60.0
"""How long an answer of the stream is waited for."""

Answer = TypeVar("Answer")


class Alongside:
    """Models beside a stream; they come and go on the stream's own thread, so that none misses a row or sees one twice.

    Parameters
    ----------
    stream
        Whose rows they get.
    clocks
        As the stream has them.
    """

    def __init__(self, stream: Stream, clocks: Clocks) -> None:
        self.stream = stream
        self.clocks = clocks
        self._shadows: tuple[Shadow, ...] = ()
        self._recent: tuple[Batch, ...] = ()
        stream.tap = self._take

    @property
    def recent(self) -> Batch:
        """The last rows of the stream."""
        return Batch.concatenate(self._recent)

    def ask(self, do: Callable[[], Answer]) -> Answer:
        """What a function gives that the stream's own thread calls; models that are let go of there are stopped.

        Raises
        ------
        TocsinError, OSError
            As the function does; LimitExceeded if the stream does not come to it.
        """
        before = self._shadows
        try:
            return self.stream.requests.ask(do, ASKED_S)
        finally:
            for shadow in set(before) - set(self._shadows):
                shadow.stop()

    def add(self, other: Serving) -> Shadow:
        """Score a version beside what serves, from the next row on; within `ask`."""
        serving = self.stream.serving
        shadow = Shadow(other.scorer, serving.scorer, (serving.digest, other.digest), self.clocks.elapsed)
        self._shadows = (*self._shadows, shadow)
        return shadow

    def remove(self, gone: Shadow | None) -> None:
        """Score it no more; within `ask`."""
        self._shadows = tuple(shadow for shadow in self._shadows if shadow is not gone)

    def clear(self) -> None:
        """Nothing is scored beside; within `ask`."""
        self._shadows = ()

    def close(self) -> None:
        """The stream has ended, and nobody waits for a comparison."""
        for shadow in self._shadows:
            shadow.stop(0.1)

    def _take(self, item: Scored) -> None:
        rows, room = [item.batch.take(slice(-RECENT, None))], RECENT - item.batch.rows
        for batch in reversed(self._recent[1 - BATCHES :]):
            if room <= 0:
                break
            rows.append(batch)
            room -= batch.rows
        self._recent = tuple(reversed(rows))
        for shadow in self._shadows:
            shadow.offer(item)
