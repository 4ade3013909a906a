"""Flagged rows as a scored batch has them, and parts of such a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tocsin.alerts import FlaggedRows
from tocsin.records import SECOND, Reason

COOLDOWN_S = 120.0
START = 1_767_225_600 * SECOND
LEVEL_P = 0.001
Row = tuple[int, str]
"""Seconds since the start, and entity."""


def flagged(
    rows: Sequence[Row],
    *,
    explained: list[int] | None = None,
    clock: bool = True,
    first: int = 0,
    ease: float = 1.0,
    seen: Sequence[int] | None = None,
    causes: Sequence[str] | None = None,
) -> FlaggedRows:
    """Rows whose p-values fall, so that the last one is the least likely; by default all have the cause `bytes`."""

    def reasons(rows: NDArray[np.intp]) -> list[tuple[Reason, ...]]:
        if explained is not None:
            explained.extend(rows.tolist())
        return [(Reason("bytes", 1.0, 0.0, 1.0, float(row)),) for row in rows]

    times = np.array([second for second, _ in rows], dtype=np.int64)
    watched = times if seen is None else np.array(seen, dtype=np.int64)
    return FlaggedRows(
        times=START + times * SECOND if clock else None,
        entities=np.array([entity for _, entity in rows], dtype=object),
        score=np.arange(5.0, len(rows) + 5.0),
        p_value=np.array([LEVEL_P / (row + 1) for row in range(len(rows))], dtype=np.float64),
        state=np.full(len(rows), "ready", dtype=object),
        origins=np.array([f"flows.csv:{first + row}" for row in range(len(rows))], dtype=object),
        contents=[bytes([row % 256]) for row in range(len(rows))],
        level_p=LEVEL_P,
        reasons=reasons,
        confidence=lambda rows: (1.0 / (rows + 1)).tolist(),
        ease=np.full(len(rows), ease),
        places=np.arange(len(rows)) if seen is None else np.searchsorted(watched, times, side="right") - 1,
        causes=lambda rows: ["bytes" if causes is None else causes[row] for row in rows.tolist()],
        seen=START + watched * SECOND if clock else None,
    )


def part(rows: FlaggedRows, begin: int, end: int) -> FlaggedRows:
    """Rows of which all were seen, from one up to another, as a batch of their own."""
    assert rows.seen is not None
    chosen = rows.take(np.arange(begin, end))
    return replace(chosen, seen=rows.seen[begin:end], places=np.arange(end - begin))
