"""A conformal level with a margin, for a history that is too short to promise anything.

Source: `conformal` for what counts can tell; the margin is a convention that no theorem stands behind.
"""

from __future__ import annotations

from math import isfinite

import numpy as np

from tocsin.component import Duration
from tocsin.thresholds.base_level import Served
from tocsin.thresholds.base_span import Span
from tocsin.thresholds.conformal import Conformal


class Margin(Conformal):
    """Flag like `conformal`, but well beyond the highest scores where the history does not hold the budget.

    Take it where there are minutes or hours of history and no time for more: the highest score of a minute is passed
    in the next minute or two as a rule, and counts cannot tell by how much. Where they hold the budget, this is
    `conformal` and nothing else. Otherwise its level is moved away from the median of the calibration scores. What is
    only just unusual is then missed until more history is there.

    Parameters
    ----------
    block
        As in `conformal`.
    times
        How many times as far from the median score, at least 1.
    least
        The shortest way from the median to the level, in units of the score, at least 0. A robust z-score is in
        deviations, so that 5 says what nobody calls usual.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> from tocsin.thresholds.base import AlertBudget, Calibration
    >>> scores = np.random.default_rng(0).normal(size=9_999)
    >>> margin = Margin().fit(Calibration(scores), AlertBudget(per_row=0.01))
    >>> int(margin.flag(scores).sum()), margin.promise()["state"]
    (99, 'held')
    """

    def __init__(self, *, block: Duration = 3_600.0, times: float = 3.0, least: float = 0.0) -> None:
        super().__init__(block=block)
        for name, value, lowest in (("times", times, 1.0), ("least", least, 0.0)):
            if not (isfinite(value) and value >= lowest):
                raise ValueError(f"{name} is {value:g}, wanted a number of at least {lowest:g}")
        self.times = times
        self.least = least

    def _serve(self, span: Span, asked: float) -> Served:
        counted = super()._serve(span, asked)
        if counted.state == "held":
            return counted
        median = float(np.median(span.calibration.scores))
        level = median + max(self.times * (counted.level - median), self.least)
        # The counts say how often at most; how often in truth, such a history cannot know.
        return counted._replace(level=level, band=lambda: (0.0, counted.band()[1]))
