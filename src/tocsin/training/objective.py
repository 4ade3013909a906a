"""What a candidate is worth at the alert budget: one number, and whether one candidate is worth more than another.

The level is the lowest at which the normal rows that are judged ring no more alerts than the budget allows in their
time, counted as the alert policy counts them. It is fixed on the rows that are judged, so that candidates are
compared by how they rank, not by the luck of a calibration span; `thresholds/` sets the level of a model.

with labels      average precision at the budget: the mean, over all anomalous rows, of the precision at the row's
                 score, and 0 for rows below the level. It is average precision, cut where the budget ends.
without labels   recall of injected anomalies at the budget: the share of disturbed windows (`synthetic/injection.py`)
                 in which a row reaches the level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tocsin.calibration import AlertTotals, episode_floors
from tocsin.evaluation.measures import BLOCKS, CONFIDENCE, RESAMPLES
from tocsin.records import DAY, Batch, Column, Times, Vector
from tocsin.schema import Schema
from tocsin.thresholds.base import AlertBudget

PRECISION = "average precision at the budget"
RECALL = "recall of injected anomalies at the budget"


def level_within(
    scores: Vector, times: Times | None, entities: Column | None, cooldown_s: float, allowed: float
) -> float:
    """The lowest level at which rows of these scores begin at most so many alerts.

    Without times every row that reaches it is an alert.
    """
    floors = np.full(len(scores), -np.inf) if times is None else episode_floors(scores, times, entities, cooldown_s)
    totals = AlertTotals.of(scores, floors, np.zeros(len(scores), dtype=np.intp), len(scores))
    return totals.lowest_level(totals.totals <= allowed)


def allowed_alerts(budget: AlertBudget, rows: Batch, schema: Schema, share: float) -> float:
    """How many alerts the budget allows while these rows come: by their number, or by the time that they span."""
    if budget.per_day is None or schema.time is None:
        return (budget.per_row or 0.0) * rows.rows
    times = rows[schema.time]
    return float(budget.per_day * share * (times.max() - times.min()) / DAY) if rows.rows else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """How a candidate scored the judged rows of one fold.

    Parameters
    ----------
    level
        See `level_within`.
    wanted, wanted_blocks
        The score of each anomalous row, or the highest of each disturbed window, (m,), and which of `blocks` it lies
        in: rows of a block are drawn together where the value is asked how sure it is.
    normal, normal_blocks
        The same of the normal rows, (n,).
    blocks
        Their number.
    ranked
        Whether the rows are labelled.
    """

    level: float
    wanted: Vector
    wanted_blocks: NDArray[np.intp]
    normal: Vector
    normal_blocks: NDArray[np.intp]
    blocks: int
    ranked: bool

    def value(self, weights: NDArray[Any] | None = None) -> float:
        """The objective, in [0, 1], with each block so many times, (blocks,); NaN if no wanted one is left."""
        counts = np.ones(self.blocks) if weights is None else weights
        wanted, reached = counts[self.wanted_blocks], self.wanted >= self.level
        with np.errstate(invalid="ignore"):
            if not self.ranked:
                return float(wanted[reached].sum() / np.float64(wanted.sum()))
            beside = self.normal >= self.level
            scores = np.concatenate([self.wanted[reached], self.normal[beside]])
            _, place = np.unique(-scores, return_inverse=True)
            caught = np.bincount(place[: reached.sum()], wanted[reached], len(scores))
            wrong = np.bincount(place[reached.sum() :], counts[self.normal_blocks[beside]], len(scores))
            precision = np.cumsum(caught) / np.maximum(np.cumsum(caught + wrong), 1.0)
            return float((caught * precision).sum() / np.float64(wanted.sum()))


@dataclass(frozen=True, slots=True)
class Gain:
    """By how much one candidate is worth more than another on the same rows, with its 95 % interval.

    The ends are None where the anomalies fill too few blocks to tell.
    """

    before: float
    after: float
    low: float | None
    high: float | None

    @property
    def sure(self) -> bool:
        """Whether the whole interval lies above nothing."""
        return self.low is not None and self.low > 0


def gain(before: Answers, after: Answers, seed: int) -> Gain:
    """Compare two candidates on the same rows by a paired bootstrap: both see the same blocks drawn."""
    blocks = before.blocks
    drawn = np.random.default_rng(seed).multinomial(blocks, np.full(blocks, 1 / blocks), size=RESAMPLES)
    more = np.array([after.value(weights) - before.value(weights) for weights in drawn])
    known = more[np.isfinite(more)]
    if len(known) < RESAMPLES / 2:
        return Gain(before.value(), after.value(), None, None)
    low, high = np.quantile(known, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)).tolist()
    return Gain(before.value(), after.value(), low, high)


def blocks_of(rows: int) -> NDArray[np.intp]:
    """Which of `min(BLOCKS, rows)` runs of consecutive rows each row lies in, (rows,)."""
    return np.arange(rows) * min(BLOCKS, rows) // max(rows, 1)
