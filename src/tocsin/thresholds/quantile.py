"""The plainest threshold: flag the top share of the rows.

Source: the rank of a row among n exchangeable ones is uniform; Vovk, Gammerman and Shafer, Algorithmic Learning in a
Random World, 2005.
"""

from __future__ import annotations

from math import floor

import numpy as np

from tocsin.calibration import just_above
from tocsin.thresholds.base_level import HELD, LevelThreshold, Served
from tocsin.thresholds.base_span import Span


class Quantile(LevelThreshold):
    """Flag a row iff its p-value is at most a share that follows from the budget.

    A budget in rows is that share. A budget a day is turned into one by the rows of a day, as if each flagged row
    rang: rows that follow each other ring once, so it rings less than it may, several times less where scores stay
    high for long. Take it for telemetry without a clock or to compare with; `conformal` counts alerts.

    Examples
    --------
    >>> from tocsin.thresholds.base import AlertBudget, Calibration
    >>> scores = np.random.default_rng(0).normal(size=9_999)
    >>> threshold = Quantile().fit(Calibration(scores), AlertBudget(per_row=0.01))
    >>> int(threshold.flag(scores).sum()), threshold.promise()["state"]
    (99, 'held')
    """

    def __init__(self) -> None:
        pass

    def _serve(self, span: Span, asked: float) -> Served:
        ascending = np.sort(span.calibration.scores)
        rows = len(ascending)
        # What is lost in the last digit must not cost a row; the smallest p-value is 1 / (rows + 1).
        share = max(min(asked * span.length / rows, 1.0) * (1.0 + 1e-12), 1.0 / (rows + 1))
        flagged = min(floor(share * (rows + 1)) - 1, rows - 1)
        level = max(just_above(float(ascending[-flagged - 1])), span.above_most)
        rate = max(asked, rows / (rows + 1) / span.length)
        return Served(level, rate, "held" if asked * span.length >= HELD else "provisional", lambda: span.band(level))
