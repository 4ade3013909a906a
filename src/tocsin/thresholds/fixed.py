"""A level that somebody sets, for a score whose unit they know."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import Self

from tocsin.thresholds.base_level import LevelThreshold, Served
from tocsin.thresholds.base_span import Span


class Fixed(LevelThreshold):
    """Flag from a level of your own, whatever the budget; p-values still come from the calibration rows.

    Take it where the score means something by itself: five robust deviations, a residual in milliseconds. What is
    promised is what was counted: how often the level rang in the calibration rows, beside the budget that was asked.
    No budget moves the level, and no controller does.

    Parameters
    ----------
    level
        Rows that score at least this are flagged; finite, in units of the score.

    Raises
    ------
    ValueError
        If the level is no finite number.

    Examples
    --------
    >>> import numpy as np
    >>> from tocsin.thresholds.base import AlertBudget, Calibration
    >>> scores = np.random.default_rng(0).normal(size=9_999)
    >>> threshold = Fixed(level=3.0).fit(Calibration(scores), AlertBudget(per_row=0.01))
    >>> int(threshold.flag(scores).sum()), round(threshold.promise()["served"], 4)
    (10, 0.001)
    """

    def __init__(self, *, level: float) -> None:
        if not isfinite(level):
            raise ValueError(f"level is {level:g}, wanted a finite number")
        self.level = level

    @classmethod
    def example(cls, folder: Path) -> Self:
        return cls(level=4.0)

    def _serve(self, span: Span, asked: float) -> Served:
        rate = int(span.alerts(self.level).sum()) / span.length
        return Served(float(self.level), rate, "fixed", lambda: span.band(self.level))
