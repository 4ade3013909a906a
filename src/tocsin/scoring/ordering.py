"""Rows in the order of their times: each is held back until nothing older is waited for.

Source: Akidau et al., The Dataflow Model, PVLDB 2015 (watermarks).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tocsin import observe
from tocsin.records import Batch, Times

MAX_HELD = 1_000_000
"""Rows held back at once; the oldest beyond it are released before their time, and counted."""


class Released(NamedTuple):
    """What may go on to the features."""

    in_order: Batch
    """By time, rows of one time as they came; no later release holds an older one."""
    too_late: Batch
    """Older than what was released already: to be scored alone, without a trace."""


class EventTime:
    """Puts a stream into the order of its times, for rows that come late by no more than a declared wait.

    The watermark is the latest time seen, less the wait. A row is released when the watermark has passed it, and is
    too late if it had passed before the row came. Any cut of the stream into batches releases the same rows in the
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

    def push(self, batch: Batch) -> Released:
        """Take the next rows of the stream; give back those that nothing older is waited for."""
        if not batch.rows:
            return Released(batch, batch)
        times = batch[self._time]
        passed = self._passed(times)
        late, watermark = passed[:-1] > times, passed[-1]
        waiting = [part for part in (self._held, batch.take(~late)) if part.rows]
        if not waiting:
            return Released(Batch({}), batch)
        held = Batch.concatenate(waiting)
        held = held.take(np.argsort(held[self._time], kind="stable"))
        ready = int(np.searchsorted(held[self._time], watermark, side="right"))
        if (early := held.rows - ready - self._limit) > 0:
            observe.rows_marked("released_early", early)
            ready += early
            watermark = held[self._time][ready - 1]
        self._watermark = int(watermark)
        self._held = held.take(slice(ready, None))
        return Released(held.take(slice(ready)), batch.take(late))

    def flush(self) -> Batch:
        """What is still held back; the stream has ended."""
        held, self._held = self._held, Batch({})
        return held

    def _passed(self, times: Times) -> Times:
        """The watermark as each row found it, (n + 1,); the last one is that behind all of them."""
        first = self._watermark if self._watermark is not None else int(times.min()) - self._wait_us
        return np.maximum.accumulate(np.concatenate(([first], times - self._wait_us)))
