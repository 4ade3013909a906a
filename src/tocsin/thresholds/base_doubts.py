"""Whether calibration rows are what the promise needs: blocks enough, unlike each other, and no trend in them."""

from __future__ import annotations

import numpy as np

from tocsin.records import DAY, SECOND, Vector
from tocsin.thresholds.base_span import Span

FEWEST_BLOCKS = 20
ALIKE = 0.5
"""Rank correlation of neighbouring blocks beyond which they are not separate cases."""
FADED = 0.2
"""Rank correlation below which blocks have little to do with each other."""
PARTS = 20
"""Parts of the span whose means are ranked in time."""
TREND = 0.6
"""Rank correlation of their means with time that one span in 200 without any trend reaches."""


def doubts(span: Span) -> dict[str, str]:
    """What speaks against the promise, and the figures; nothing where there is no clock to tell an order by.

    `constant`: all scores are one. `few_blocks`: too few for the worst of them to stand for the next. `alike`: the
    scores of a block resemble those of the next, so that there are fewer cases than blocks. `trend`: scores grow or
    fall over the span, so that what follows is unlike it.
    """
    scores = span.calibration.scores
    if scores.min() == scores.max():
        return {"constant": f"all {len(scores)} calibration scores are {scores[0]:g}"}
    found = {}
    if span.unit == "day" and span.blocks < FEWEST_BLOCKS:
        found["few_blocks"] = f"{span.blocks} blocks, wanted at least {FEWEST_BLOCKS}"
    ranks = _ranks_in_time(span)
    if len(ranks) < 2 * PARTS or ranks.min() == ranks.max():
        return found
    if _correlation(ranks[1:], ranks[:-1]) > ALIKE:
        lags = range(2, len(ranks) // 4)
        lag = next((lag for lag in lags if _correlation(ranks[lag:], ranks[:-lag]) < FADED), lags.stop)
        found["alike"] = f"scores resemble each other for {_length(span, lag)}, a block is {_length(span, 1)}"
    means = np.array([part.mean() for part in np.array_split(ranks, PARTS)])
    trend = _correlation(_ranks(means), np.arange(float(PARTS)))
    if abs(trend) > TREND:
        found["trend"] = f"scores {'grow' if trend > 0 else 'fall'} over the span, rank correlation {trend:.2f}"
    return found


def _ranks_in_time(span: Span) -> Vector:
    """Ranks of the highest score of each block that has rows, in order of time."""
    times, scores = span.calibration.times, span.calibration.scores
    if times is None:
        return np.zeros(0)
    if span.unit == "row":
        return _ranks(scores[np.argsort(times, kind="stable")])
    highest = np.full(span.blocks, -np.inf)
    np.maximum.at(highest, span.block, scores)
    return _ranks(highest[np.isfinite(highest)])


def _ranks(values: Vector) -> Vector:
    """From 0 on, the mean rank for equal ones."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts + 1) / 2.0)[place])


def _correlation(one: Vector, other: Vector) -> float:
    one, other = one - one.mean(), other - other.mean()
    scale = np.sqrt((one @ one) * (other @ other))
    return float(one @ other / scale) if scale > 0 else 0.0


def _length(span: Span, blocks: int) -> str:
    if span.unit == "row":
        return f"{blocks} rows" if blocks > 1 else "1 row"
    return f"{blocks * span.length * DAY / SECOND / span.blocks / 3_600.0:.3g} h"
