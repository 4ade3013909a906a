"""Intervals for statistics that no formula has one for: draw the cases again, with replacement, and look at the spread.

Source: Efron, Bootstrap Methods: Another Look at the Jackknife, Annals of Statistics 7(1), 1979 (percentile interval).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tocsin.evaluation.measures import CONFIDENCE, RESAMPLES, Figure, Unit

FEWEST = 10
"""Cases below which drawing them again says nothing of those that were never seen."""
NO_INTERVAL = f"no interval: fewer than {FEWEST} to draw from"


def bootstrapped(
    cases: NDArray[Any], statistic: Callable[[NDArray[Any]], float], seed: int, unit: Unit = "ratio", remark: str = ""
) -> Figure:
    """A statistic of independent cases with its 95 % interval.

    Parameters
    ----------
    cases
        (m, ...), m >= 1: events, ranges or explained rows. Rows that follow each other are no independent cases.
    statistic
        Of such an array; may be NaN for a draw that lacks something.
    seed
        Of the draws.
    unit, remark
        Of the figure.
    """
    value = statistic(cases)
    if len(cases) < FEWEST:
        return Figure(value, reason="; ".join(filter(None, (remark, NO_INTERVAL))), unit=unit)
    rng = np.random.default_rng(seed)
    drawn = np.array([statistic(cases[rng.integers(len(cases), size=len(cases))]) for _ in range(RESAMPLES)])
    low, high = np.nanquantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]).tolist()
    return Figure(value, min(value, low), max(value, high), remark, unit)
