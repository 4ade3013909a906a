"""Calibration rows as a span of time in blocks: what a level would have rung there."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from tocsin.calibration import (
    AlertTotals,
    Counts,
    ParetoTail,
    alerts_band,
    dispersion,
    episode_floors,
    episodes,
    just_above,
    rows_band,
)
from tocsin.errors import DataError
from tocsin.records import DAY, SECOND, Mask, Vector
from tocsin.thresholds.base import AlertBudget, Calibration

MOST_BLOCKS = 100_000
"""Eleven years of hours; a longer span has longer blocks."""
TAIL_PEAKS = (100, 200)
"""Fewest and, where there are as many, wanted peaks for a Pareto tail."""
CLUMP_PEAKS = 30
"""Highest peaks over which alerts per peak are counted."""
COVERAGE = 0.9


@dataclass(frozen=True, eq=False)
class Span:
    """Calibration rows cut into blocks; for a budget in rows every row is its own block and its own episode."""

    calibration: Calibration
    cooldown_s: float
    unit: Literal["day", "row"]
    length: float
    """In `unit`."""
    floors: Vector
    block: NDArray[np.intp]
    blocks: int
    _counted: dict[int, AlertTotals] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, calibration: Calibration, budget: AlertBudget, block_s: float, where: str) -> Self:
        """The span in the unit of the budget.

        Raises
        ------
        DataError
            If a budget in days meets rows without a clock or of one moment.
        """
        if budget.per_day is None:
            rows = len(calibration.scores)
            return cls(calibration, 0.0, "row", rows, np.full(rows, -np.inf), np.arange(rows), rows)
        times = calibration.times
        hint = "write the budget as a rate, such as 5/1000 rows"
        if times is None:
            raise DataError(where, "a budget a day and rows without a clock", "event times", hint)
        steps = np.diff(np.unique(times))
        if not len(steps):
            got = "a budget a day, and all calibration rows share one moment"
            raise DataError(where, got, "rows over a span of time", hint)
        # A row stands for the time until the next one, the last row for a usual step.
        span = int(times.max() - times.min()) + int(np.median(steps))
        blocks = min(max(1, round(span / (max(block_s, budget.cooldown_s) * SECOND))), MOST_BLOCKS)
        block = ((times - times.min()) / span * blocks).astype(np.intp)
        floors = episode_floors(calibration.scores, times, calibration.entities, budget.cooldown_s)
        return cls(calibration, budget.cooldown_s, "day", span / DAY, floors, block, blocks)

    @cached_property
    def above_most(self) -> float:
        """The lowest level that half of the rows do not reach: what they reach is no anomaly, it would never end."""
        return just_above(float(np.median(self.calibration.scores)))

    def totals(self, cap: int) -> AlertTotals:
        """Alerts of every level at once, each block counted up to `cap`."""
        cap = min(cap, self._most_rows)
        if cap not in self._counted:
            self._counted[cap] = AlertTotals.of(self.calibration.scores, self.floors, self.block, cap)
        return self._counted[cap]

    @cached_property
    def _most_rows(self) -> int:
        return int(np.bincount(self.block).max())

    def begins(self, level: float) -> Mask:
        """Rows that begin an episode at a level, (n,)."""
        return (self.calibration.scores >= level) & (self.floors < level)

    def alerts(self, level: float) -> Counts:
        """Alerts of each block at a level, (blocks,)."""
        return np.bincount(self.block[self.begins(level)], minlength=self.blocks)

    def together(self, level: float) -> float:
        """How many alerts come at a time at a level: variance over mean of their number, at least 1."""
        return dispersion(self.alerts(level))

    def band(self, level: float) -> tuple[float, float]:
        """Central band of the number of alerts at a level in as long a span, from those that were counted."""
        counts = self.alerts(level)
        if self.unit == "row":
            return rows_band(int(counts.sum()), self.blocks, COVERAGE)
        return alerts_band(int(counts.sum()), self.together(level), COVERAGE)

    @cached_property
    def tail(self) -> ParetoTail | None:
        """What continues the highest peaks, or None if there are too few."""
        return self.tail_of(TAIL_PEAKS[1])

    def tail_of(self, wanted: int) -> ParetoTail | None:
        """The same from about as many peaks as wanted, where there are as many."""
        counted = self.totals(len(self.floors))
        fewest = TAIL_PEAKS[0]
        if counted.totals[-1] < fewest:
            return None
        level = float(counted.levels[np.searchsorted(counted.totals, min(wanted, counted.totals[-1]))])
        peaks = self._peaks(level)
        excess = np.sort(peaks[peaks > level]) - level
        if len(excess) < fewest:
            return None
        high = float(np.sort(peaks)[-CLUMP_PEAKS])
        together = self.begins(high).sum() / (peaks >= high).sum()
        return ParetoTail(level, excess, max(1.0, float(together)))

    def _peaks(self, level: float) -> Vector:
        """The highest score of each episode at a level."""
        flagged = self.calibration.scores >= level
        scores, times, entities = self.calibration.scores[flagged], self.calibration.times, self.calibration.entities
        if self.unit == "row" or times is None:
            return scores
        numbers = episodes(times[flagged], None if entities is None else entities[flagged], self.cooldown_s)
        peaks = np.full(numbers.max() + 1, -np.inf)
        np.maximum.at(peaks, numbers, scores)
        return peaks
