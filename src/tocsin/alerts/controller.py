"""The level at which rows ring, kept at the budget while telemetry slowly drifts."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, sqrt
from typing import Any

import numpy as np

from tocsin.records import DAY, Times
from tocsin.thresholds.base import REACH

GAIN = 0.15
"""How far a day that rings twice its budget moves the budget multiple, as a logarithm."""
STEADY_ALERTS = 5.0
"""A smaller budget a day moves it as little for each alert as this one: single alerts tell little."""
SURGE = 3.0
"""A day that rings this many standard deviations and two clumps more than its budget is an incident, not drift."""
SURGE_COUNTS = 2.0
"""Times its budget that such a day counts, however much it rang."""


class BudgetController:
    """Keeps the alerts of many weeks at the budget while telemetry slowly drifts; p-values never move.

    It moves the multiple of the budget at which rows ring, once a day of event time, between a quarter and four
    times. A day moves the logarithm of the multiple by `GAIN` x (expected - rung) / expected, so that over any time
    in which no end is reached and nothing surges, alerts rung and alerts budgeted differ by at most
    log(4) / `GAIN` = 9 days' worth, or 46 alerts where the budget is below five a day (adaptive conformal inference:
    Gibbs and Candes, arXiv 2106.00170).

    An attack cannot raise its own level. What a day rang counts from the day after next, so that nothing shorter
    than a day meets a level it had a part in. A day that rings far more than its budget (`SURGE`) is an incident:
    while it lasts the level stands still, and afterwards all its days together count as one that rang twice its
    budget. A lasting jump beyond that is an incident until somebody trains again.

    Time passes with the rows that are seen: gaps of more than a day are left out.

    Parameters
    ----------
    per_day
        The budget, in alerts a day.
    together
        How many alerts come at a time: variance over mean of their number, at least 1.
    state
        What `state` gave, to go on from there. A new model begins without.
    """

    def __init__(self, per_day: float, together: float = 1.0, state: Mapping[str, Any] | None = None) -> None:
        self.per_day = per_day
        self.together = together
        known = state or {}
        self.multiple = float(known.get("multiple", 1.0))
        self._day: int | None = known.get("day")
        self._last: int | None = known.get("last")
        self._days: dict[int, tuple[int, int]] = {
            int(day): (watched, rung) for day, watched, rung in known.get("days", ())
        }
        """Microseconds watched, and alerts rung, on days that have not counted yet."""

    @classmethod
    def of(cls, promise: Mapping[str, Any]) -> BudgetController | None:
        """For the budget of a model, see `Threshold.promise`; None if that is no budget a day."""
        if promise["unit"] != "alerts/day":
            return None
        return cls(promise["served"], promise["together"])

    def state(self) -> dict[str, Any]:
        """JSON values, a few numbers however long it runs."""
        days = [[day, *counts] for day, counts in self._days.items()]
        return {"multiple": self.multiple, "day": self._day, "last": self._last, "days": days}

    def days(self, times: Times) -> Times:
        """The day of each row, (n,), as they come; a late row belongs to the day that is on."""
        days = times // DAY if self._day is None else np.maximum(times // DAY, self._day)
        return np.maximum.accumulate(days)

    def begin(self, day: int) -> float:
        """The budget multiple of a day, on which some rows were seen."""
        if self._day is not None and day > self._day:
            self._turn(day)
        self._day = day
        return self.multiple

    def learn(self, day: int, seen: Times, rung: int) -> None:
        """Rows of a day were seen, (n,), and this many alerts rang."""
        last = int(seen[0]) if self._last is None else self._last
        times = np.maximum(np.maximum.accumulate(seen), last)
        gaps = np.diff(times, prepend=last)
        watched = int(gaps[gaps <= DAY].sum())
        self._last = int(times[-1])
        earlier, before = self._days.get(day, (0, 0))
        self._days[day] = earlier + watched, before + rung

    def _turn(self, day: int) -> None:
        if self._surges(day - 1):
            if self._surges(day - 2):
                del self._days[day - 2]
            return
        for earlier in sorted(earlier for earlier in self._days if earlier < day - 1):
            budgeted, rung = self._budgeted(earlier)
            del self._days[earlier]
            over = (SURGE_COUNTS * budgeted if rung > self._most(budgeted) else rung) - budgeted
            step = GAIN * over / max(self.per_day, STEADY_ALERTS)
            self.multiple = min(max(self.multiple * exp(-step), 1.0 / REACH), REACH)

    def _surges(self, day: int) -> bool:
        budgeted, rung = self._budgeted(day)
        return rung > self._most(budgeted)

    def _budgeted(self, day: int) -> tuple[float, int]:
        """Alerts budgeted for what was watched of a day, and alerts rung."""
        watched, rung = self._days.get(day, (0, 0))
        return self.per_day * watched / DAY, rung

    def _most(self, budgeted: float) -> float:
        return budgeted + SURGE * sqrt(budgeted * self.together) + 2.0 * self.together
