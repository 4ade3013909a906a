"""A conformal level that anomalies among the calibration rows do not lift.

Source: Davies and Gather, The Identification of Multiple Outliers, JASA 88(423), 1993 (a region that no normal row is
expected to leave, learnt from the rows inside of it, over and over); Weissman, Estimation of Parameters and Large
Quantiles Based on the k Largest Observations, JASA 73(364), 1978 (a tail continued beyond the data).
"""

from __future__ import annotations

from math import log
from typing import Self

import numpy as np

from tocsin import observe
from tocsin.component import Duration
from tocsin.records import Mask, Vector
from tocsin.thresholds.base import AlertBudget, Calibration
from tocsin.thresholds.base_level import Served
from tocsin.thresholds.base_span import Span
from tocsin.thresholds.conformal import Conformal

# Between the scores that these shares of the rows reach, a tail is fitted; no more than the smaller one is set aside.
_HALF, _TENTH = 0.5, 0.1
# A row stands apart where fewer normal ones than this are expected.
_NONE = 0.5


class Trimmed(Conformal):
    """Flag like `conformal`, learnt without the calibration rows that stand apart.

    Take it where history has no labels and holds incidents: `conformal` counts them within the budget, and so would
    find few like them. Here the budget is that of the false alarms. Between the median and the score that a tenth of
    the rows reaches, an exponential tail is fitted; rows so far beyond it that no normal one is expected there are
    set aside, and the tail is fitted anew until there are none. At most a tenth of the rows is set aside, and it is
    told how many. Where the counts of the others hold the budget, they set the level. Where they do not, the level is
    at least where that tail keeps the budget: the few highest of so few rows say less than the half of them.

    Scores of normal rows must not fall off slower than that tail, as robust deviations of usual columns do not.
    Where they do, rows that are merely rare are set aside and ring beyond the budget: `conformal` assumes nothing.

    Parameters
    ----------
    block
        As in `conformal`.

    Examples
    --------
    >>> scores = np.random.default_rng(0).normal(size=20_000)
    >>> trimmed = Trimmed().fit(Calibration(scores), AlertBudget(per_row=0.01))
    >>> int(trimmed.flag(scores).sum()), trimmed.promise()["state"]
    (199, 'held')
    """

    def __init__(self, *, block: Duration = 3_600.0) -> None:
        super().__init__(block=block)

    def fit(self, calibration: Calibration, budget: AlertBudget) -> Self:
        usual = _usual(calibration.scores)
        if not usual.all():
            observe.calibration_rows_set_aside(int((~usual).sum()), len(usual))
        times, entities = calibration.times, calibration.entities
        kept = Calibration(
            calibration.scores[usual],
            times=None if times is None else times[usual],
            entities=None if entities is None else entities[usual],
        )
        return super().fit(kept, budget)

    def _serve(self, span: Span, asked: float) -> Served:
        counted = super()._serve(span, asked)
        if counted.state == "held":
            return counted
        level = max(counted.level, _reach(span.calibration.scores, asked * span.length))
        return counted._replace(level=level, band=lambda: (0.0, counted.band()[1]))


def _usual(scores: Vector) -> Mask:
    """Which rows do not stand apart, (n,)."""
    usual = np.ones(len(scores), dtype=bool)
    while len(scores) and np.isfinite(scores).all():
        inside = scores <= _reach(scores[usual], _NONE)
        if inside[usual].all() or inside.mean() < 1 - _TENTH:
            break
        usual = inside
    return usual


def _reach(scores: Vector, rows: float) -> float:
    """The score that so many of as many rows are expected to reach; the highest where a tail cannot be fitted."""
    median, high = np.quantile(scores, (1 - _HALF, 1 - _TENTH))
    if high <= median:
        return float(scores.max())
    return float(high + (high - median) * log(_TENTH * len(scores) / rows) / log(_HALF / _TENTH))
