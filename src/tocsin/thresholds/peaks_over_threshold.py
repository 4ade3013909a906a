"""A level from a tail that is fitted to the highest peaks, at any budget.

Source: Davison and Smith, Models for Exceedances over High Thresholds, JRSS B 52(3), 1990; Siffer, Fouque, Termier
and Largouet, Anomaly Detection in Streams with Extreme Value Theory, KDD 2017 (the use for alerts).
"""

from __future__ import annotations

from math import ceil

from tocsin.thresholds.base_level import HELD, Served, State
from tocsin.thresholds.base_span import COVERAGE, TAIL_PEAKS, Span
from tocsin.thresholds.conformal import BEYOND, PROVISIONAL, Conformal, at_least

PEAKS_PER_ALERT = 2.0
"""The tail begins where twice as many peaks are as the level is to ring: the level must lie within it."""


class PeaksOverThreshold(Conformal):
    """Flag from the level that a generalised Pareto tail, fitted to the highest peaks, reaches as often as budgeted.

    The tail makes the level smoother than counts do, which it is worth where alerts are few; it rests on peaks that
    fall off as such tails do, and no theorem holds it to the budget. Take `conformal` where the calibration rows hold
    the budget by counting. A peak is the highest score of an episode: rows that follow each other are no separate
    cases. With fewer than 100 peaks there is no tail, and this is `conformal`.

    Examples
    --------
    >>> import numpy as np
    >>> from tocsin.thresholds.base import AlertBudget, Calibration
    >>> scores = np.random.default_rng(0).normal(size=9_999)
    >>> threshold = PeaksOverThreshold().fit(Calibration(scores), AlertBudget(per_row=0.01))
    >>> 80 < int(threshold.flag(scores).sum()) < 120, threshold.promise()["state"]
    (True, 'held')
    """

    def __init__(self) -> None:
        super().__init__()

    def _serve(self, span: Span, asked: float) -> Served:
        rate, alerts = at_least(1.0 / BEYOND, asked, span)
        tail = span.tail_of(max(TAIL_PEAKS[1], ceil(min(PEAKS_PER_ALERT * alerts, len(span.floors)))))
        if tail is None:
            return super()._serve(span, asked)
        state: State = "held" if alerts >= HELD else "provisional" if alerts >= PROVISIONAL else "extrapolated"
        level = max(tail.level_for(alerts), span.above_most)
        return Served(level, rate, state, lambda: tail.band(level, COVERAGE))
