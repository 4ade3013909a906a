"""How often a model rang, and what became of its budget.

A day is a day that holds rows: between two moments with rows that are further apart than a day (or, where telemetry is
sparser, than ten of its usual steps) nothing was looked at. One row with a wrong clock would otherwise stretch the
days, and make any number of alerts look rare.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from tocsin.evaluation.measures import CONFIDENCE, Figure, missing
from tocsin.records import DAY, Times

USUAL_STEPS = 10
"""Steps between rows, if longer than a day together, that are no gap yet."""


@dataclass(frozen=True, slots=True)
class Watched:
    """How long there were rows to ring."""

    days: float
    gap_days: float
    """Left out of `days`."""

    @property
    def note(self) -> str:
        """What a reader must know where there are gaps."""
        gaps = f"gaps of more than a day in the rows, {self.gap_days:.3g} days, are left out"
        return f"Alerts a day are over {self.days:.3g} days: {gaps}."


def watched_days(times: Times) -> Watched:
    """How many days hold rows; times are microseconds, (n,), n >= 1, in any order."""
    steps = np.diff(np.unique(times)).astype(np.int64)
    longest = max(DAY, USUAL_STEPS * float(np.median(steps))) if len(steps) else DAY
    whole, kept = float(steps.sum()), float(steps[steps <= longest].sum())
    return Watched(kept / DAY, (whole - kept) / DAY)


def alerts_per_day(alerts: int, watched: Watched | None) -> Figure:
    """Alerts over the days that hold rows; `watched` None says that there is no clock."""
    if watched is None:
        return missing("no clock", "per_day")
    if not watched.days:
        return missing("all rows are of one moment", "per_day")
    low, high = _poisson(alerts)
    return Figure(alerts / watched.days, low / watched.days, high / watched.days, unit="per_day")


def _poisson(count: int) -> tuple[float, float]:
    """The 95 % interval of a count of alerts, which are grouped so that one says little of the next.

    Source: Byar's approximation, in Breslow and Day, Statistical Methods in Cancer Research II, IARC 1987, p. 69.
    """
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    low = count * (1 - 1 / (9 * count) - z / (3 * math.sqrt(count))) ** 3 if count else 0.0
    high = (count + 1) * (1 - 1 / (9 * (count + 1)) + z / (3 * math.sqrt(count + 1))) ** 3
    return max(0.0, low), high


def budget_factor(promise: Mapping[str, Any]) -> Figure:
    """Budget served / asked: 1 where it is served as asked, more where history was too short for that."""
    asked, served = promise.get("asked"), promise.get("served")
    if not isinstance(asked, float) or not isinstance(served, float) or asked <= 0:
        return missing("the threshold promises no budget")
    return Figure(served / asked)
