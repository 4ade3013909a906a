"""Rows in the order of their times: each is held back until nothing older is waited for.

Source: Akidau et al., The Dataflow Model, PVLDB 2015 (watermarks).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tocsin import observe
from tocsin.kernel.entities import STEP_ROWS
from tocsin.records import Batch, Mask, Times

MAX_HELD = 1_000_000
"""Rows held back at once; the oldest beyond it are released before their time, and counted."""


class Released(NamedTuple):
    """What may go on to the features."""

    in_order: Batch
    """By time, rows of one time as they came; no later one is older, unless the watermark went back."""
    too_late: Batch
    """Older than what was released already: to be scored alone, without a trace."""
    before: NDArray[np.intp]
    """How many of the rows in order were released before each of these came."""


class EventTime:
    """Puts a stream into the order of its times, for rows that come late by no more than a declared wait.

    The watermark is the latest time seen, less the wait. A row is released when the watermark has passed it, and is
    too late if it had passed before the row came; after eight such rows in a row the watermark goes back to them, so
    that one clock far ahead does not blind a stream. Any cut of the stream into batches releases the same rows in the
    same order.

    Parameters
    ----------
    time
        The column of event times.
    wait_us
        How much later than a newer row an older one may come, in microseconds.
    limit
        Rows held back at once.
    """

    def __init__(self, time: str, wait_us: int, limit: int = MAX_HELD) -> None:
        self._time = time
        self._wait_us = wait_us
        self._limit = limit
        self._held = Batch({})
        self._watermark: int | None = None
        self._behind = 0

    def push(self, batch: Batch) -> Released:
        """Take the next rows of the stream; give back those that nothing older is waited for."""
        in_order, too_late, before, rows = [], [], [], 0
        while batch.rows:
            late, passed = self._follow(batch[self._time])
            part, batch = batch.take(slice(len(late))), batch.take(slice(len(late), None))
            waited = self._held
            released = self._release(part.take(~late))
            before += [rows + self._gone(released, waited, *moment) for moment in passed]
            rows += released.rows
            in_order.append(released)
            too_late.append(part.take(late))
        return Released(Batch.concatenate(in_order), Batch.concatenate(too_late), np.array(before, dtype=np.intp))

    def _gone(self, released: Batch, waited: Batch, watermark: int, as_late: int) -> int:
        """How many of the rows released had gone when the watermark stood there.

        All that are older had, and of those just as old the ones that had come: `as_late` of this part, and all that
        waited before it.
        """
        older = int(np.searchsorted(released[self._time], watermark)) if released.rows else 0
        return older + as_late + (int(np.count_nonzero(waited[self._time] == watermark)) if waited.rows else 0)

    def _release(self, batch: Batch) -> Batch:
        held = Batch.concatenate([self._held, batch])
        if not held.rows:
            return held
        held = held.take(np.argsort(held[self._time], kind="stable"))
        ready = int(np.count_nonzero(held[self._time] <= self._watermark))
        if (early := held.rows - ready - self._limit) > 0:
            observe.rows_marked("released_early", early)
            ready += early
            self._watermark = int(held[self._time][ready - 1])
        self._held = held.take(slice(ready, None))
        return held.take(slice(ready))

    @property
    def held(self) -> Batch:
        """The rows held back."""
        return self._held

    @property
    def watermark(self) -> int | None:
        """What rows are released up to, UTC microseconds; None before the first row."""
        return self._watermark

    def state(self) -> dict[str, Any]:
        """What it remembers beside the rows held back, in JSON values."""
        return {"watermark": self._watermark, "behind": self._behind}

    def restore(self, state: Mapping[str, Any], held: Batch) -> None:
        """Go on from what `state` and `held` gave."""
        self._watermark, self._behind, self._held = state["watermark"], int(state["behind"]), held

    def flush(self) -> Batch:
        """What is still held back; the stream has ended."""
        held, self._held = self._held, Batch({})
        return held

    def _follow(self, times: Times) -> tuple[Mask, list[tuple[int, int]]]:
        """Move the watermark on; which rows come behind it, of those up to the one that takes it back.

        For each of these where it stood then, and how many rows of that very time had come.
        """
        watermark = self._watermark if self._watermark is not None else int(times[0]) - self._wait_us
        late, passed = np.zeros(len(times), dtype=bool), []
        came: Counter[int] = Counter()
        for row, time in enumerate(times.tolist()):
            if time >= watermark:
                watermark = max(watermark, time - self._wait_us)
                came[time] += 1
            elif self._behind + 1 < STEP_ROWS:
                late[row] = True
                passed.append((watermark, came[watermark]))
                self._behind += 1
                continue
            elif row:
                # What the watermark has passed goes first, as it would if the batch ended here.
                late = late[:row]
                break
            else:
                watermark = time - self._wait_us
                came[time] += 1
            self._behind = 0
        self._watermark = watermark
        return late, passed
