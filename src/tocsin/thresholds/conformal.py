"""A threshold that keeps an alert budget, by conformal risk control over blocks of time.

Source: Angelopoulos, Bates, Fisch, Lei and Schuster, Conformal Risk Control, arXiv 2208.02814; its form for risks
that are not monotone. Beyond the data: peaks over a threshold, see `ParetoTail`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import ceil, exp, log
from sys import float_info
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from tocsin import observe
from tocsin.calibration import (
    AlertTotals,
    Counts,
    ParetoTail,
    ScoreRanks,
    alerts_band,
    dispersion,
    episode_floors,
    episodes,
    just_above,
    rows_band,
)
from tocsin.component import Duration, seconds
from tocsin.errors import DataError, IntegrityError, NotFittedError
from tocsin.records import DAY, SECOND, Mask, Vector
from tocsin.thresholds.base import AlertBudget, Calibration, Threshold

LEAST_ROWS = 100
HELD = 20.0
"""Alerts that the calibration span must allow before a budget is called held."""
PROVISIONAL = 3.0
"""The same for a budget that is served from counts wherever a tail could be fitted."""
CAUTION = 0.2
"""A provisional level rings more than its budget with at most this probability, where alerts come singly."""
SMALLEST = -log(CAUTION)
"""Alerts that a span without any still allows with that caution: the smallest budget that counts can serve."""
BEYOND = 10.0
"""How far an extrapolated level may lie beyond the data: one alert in this many calibration spans."""
BLOCK_SHARE = 5.0
"""One block counts at most one part in this many of what its whole span may ring, so that no single incident in the
calibration rows takes the budget of all others."""
MOST_BLOCKS = 100_000
"""Eleven years of hours; a longer span has longer blocks."""
TAIL_PEAKS = (100, 200)
"""Fewest and, where there are as many, wanted peaks for a Pareto tail."""
CLUMP_PEAKS = 30
"""Highest peaks over which alerts per peak are counted."""
COVERAGE = 0.9
MOST_NEEDED = 1e12
"""Days or rows that a promise names at most: what needs more than that is out of reach, however much more."""

State = Literal["held", "provisional", "extrapolated"]


@dataclass(frozen=True, eq=False)
class _Span:
    """Calibration rows cut into blocks; without a clock every row is its own block and its own episode."""

    calibration: Calibration
    cooldown_s: float
    unit: Literal["day", "row"]
    length: float
    """In `unit`."""
    floors: Vector
    block: NDArray[np.intp]
    blocks: int

    def totals(self, cap: int) -> AlertTotals:
        return AlertTotals.of(self.calibration.scores, self.floors, self.block, cap)

    def begins(self, level: float) -> Mask:
        return (self.calibration.scores >= level) & (self.floors < level)

    def alerts(self, level: float) -> Counts:
        """Alerts of each block at a level."""
        return np.bincount(self.block[self.begins(level)], minlength=self.blocks)

    @cached_property
    def tail(self) -> ParetoTail | None:
        """What continues the highest peaks, or None if there are too few."""
        counted = self.totals(len(self.floors))
        fewest, wanted = TAIL_PEAKS
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


class Conformal(Threshold):
    """Flag at the lowest level whose expected number of alerts a day stays within the budget.

    What is counted are alerts as the policy sends them, one per episode, in blocks of time: rows that follow each
    other are alike, and counting rows would miss the budget several times over. The level t is the lowest at which

        (sum of L_i(t) + max L_i(t)) / (M + 1) <= budget per block,

    where L_i(t) are the alerts begun in block i of M, at most a fifth of what the whole span may ring, and the sum
    is monotone from above: the most it was at t or any higher level. The block to come is thereby taken to be as
    bad as the worst seen. The bound is exact for exchangeable blocks whose counts grow as the level falls and stay
    below a known most. Episodes can join and the most is estimated, so here it is approximate:
    `benchmarks/budget.py` measures how close it comes.

    A budget in rows is the same with every row a block of its own: a row is flagged iff its p-value is at most the
    rate.

    With k = budget x calibration span the promise is *held* (k >= 20), *provisional* (3 <= k < 20: run so low that
    alerts that come singly keep the budget in four cases of five) or *extrapolated* (a Pareto tail of at least 100
    declustered peaks, at most ten times beyond the span). What not even that reaches is not served: the smallest
    budget that can be is.

    Parameters
    ----------
    block
        Length of a block, at least 1m; longer than the time over which scores resemble each other is better. It is
        never shorter than the cool-down.

    Examples
    --------
    >>> scores = np.random.default_rng(0).normal(size=9_999)
    >>> threshold = Conformal().fit(Calibration(scores), AlertBudget(per_row=0.01))
    >>> int(threshold.flag(scores).sum()), threshold.promise()["state"]
    (99, 'held')
    """

    def __init__(self, *, block: Duration = 3_600.0) -> None:
        self.block = seconds(block)
        if self.block < 60.0:
            raise ValueError(f"block is {self.block:g} s, wanted at least 1m")
        self._state: tuple[ScoreRanks, Mapping[str, Any]] | None = None

    def fit(self, calibration: Calibration, budget: AlertBudget) -> Self:
        """Learn the p-values and the level.

        Raises
        ------
        DataError
            If there are fewer than 100 rows, a score is not finite, the budget is not greater than 0, or a budget in
            days meets rows without a clock or of one moment.
        """
        scores = calibration.scores
        if not len(scores):
            hint = "rows of one moment stay together: history that shares one moment leaves none to calibrate on"
            raise DataError("threshold conformal", "no calibration rows", f"at least {LEAST_ROWS}", hint)
        if len(scores) < LEAST_ROWS:
            hint = "give more history; nothing that wakes somebody can be learnt from less"
            raise DataError("threshold conformal", f"{len(scores)} calibration rows", f"at least {LEAST_ROWS}", hint)
        if not np.isfinite(scores).all():
            raise DataError("threshold conformal", f"{(~np.isfinite(scores)).sum()} scores that are no finite number")
        if budget.per_row is not None:
            span, asked = _rows(calibration), budget.per_row
        elif budget.per_day is not None:
            span, asked = self._blocks(calibration, budget.cooldown_s), budget.per_day
        else:
            raise DataError("threshold conformal", "no budget", "a number of alerts a day, or a share of the rows")
        if not asked > 0:
            raise DataError("threshold conformal", f"a budget of {asked:g}", "a number greater than 0")
        ranks = ScoreRanks.of(scores)
        self._state = ranks, _promise(span, asked, ranks)
        return self

    def _blocks(self, calibration: Calibration, cooldown_s: float) -> _Span:
        times = calibration.times
        hint = "write the budget as a rate, such as 5/1000 rows"
        if times is None:
            raise DataError("threshold conformal", "a budget a day and rows without a clock", "event times", hint)
        steps = np.diff(np.unique(times))
        if not len(steps):
            got = "a budget a day, and all calibration rows share one moment"
            raise DataError("threshold conformal", got, "rows over a span of time", hint)
        # A row stands for the time until the next one, the last row for a usual step.
        span = int(times.max() - times.min()) + int(np.median(steps))
        length = max(self.block, cooldown_s) * SECOND
        blocks = min(max(1, round(span / length)), MOST_BLOCKS)
        block = ((times - times.min()) / span * blocks).astype(np.intp)
        floors = episode_floors(calibration.scores, times, calibration.entities, cooldown_s)
        return _Span(calibration, cooldown_s, "day", span / DAY, floors, block, blocks)

    @property
    def _learnt(self) -> tuple[ScoreRanks, Mapping[str, Any]]:
        if self._state is None:
            raise NotFittedError(repr(self), "a call before fit", hint="call fit or restore first")
        return self._state

    def p_value(self, scores: Vector) -> Vector:
        """(1 + calibration rows that score at least as high) / (n + 1), (n,); exact among the highest 2,000.

        Raises
        ------
        DataError
            If a score is NaN.
        """
        ranks, _ = self._learnt
        _refuse_nan(scores)
        return ranks.p_value(scores)

    def flag(self, scores: Vector) -> Mask:
        """Which scores are at or above the level, (n,).

        Raises
        ------
        DataError
            If a score is NaN: it would never ring.
        """
        _refuse_nan(scores)
        return np.asarray(scores >= self.promise()["level"])

    def promise(self) -> Mapping[str, Any]:
        """What the budget became, as JSON values.

        `asked` and `served` are in `unit` (alerts/day or alerts/row). `interval` is meant to hold the mean number of
        alerts per unit over a span as long as the calibration, on telemetry like it, nine times in ten: negative
        binomial from the alerts counted and their dispersion, beta-binomial for rows, and resampled peaks where
        extrapolated. It is exact for a budget in exchangeable rows; for budgets a day `benchmarks/budget.py` found
        80 % to 96 % of simulated spans inside it.
        `days_needed` or `rows_needed` would make what was asked *held*. `level` is flagged from, `level_p` its
        p-value.
        """
        return self._learnt[1]

    def state(self) -> Mapping[str, Any]:
        """All that was learnt: JSON values and numpy arrays by name."""
        ranks, promise = self._learnt
        return {**ranks.state(), "promise": dict(promise)}

    @classmethod
    def restore(cls, parameters: Mapping[str, Any], state: Mapping[str, Any]) -> Self:
        """The threshold that had these parameters and this state.

        Raises
        ------
        IntegrityError
            If the state cannot come from `state`.
        """
        threshold = cls(**parameters)
        ranks, promise = ScoreRanks.restore(state), dict(state["promise"])
        level = promise.get("level")
        if not ranks.is_whole or not isinstance(level, float) or not np.isfinite(level):
            raise IntegrityError("threshold conformal", "a state with no usable ranks or level", "one that fit wrote")
        threshold._state = ranks, promise
        return threshold


def _rows(calibration: Calibration) -> _Span:
    rows = len(calibration.scores)
    return _Span(calibration, 0.0, "row", rows, np.full(rows, -np.inf), np.arange(rows), rows)


def _promise(span: _Span, asked: float, ranks: ScoreRanks) -> Mapping[str, Any]:
    """Set the level, and say what it holds."""
    asked = min(float(asked), float_info.max)
    level, served, state = _level(span, asked)
    low, high = _interval(span, level, state)
    needed = min(HELD / asked, MOST_NEEDED)
    if state != "held":
        unit = span.unit
        observe.budget_not_held(
            f"{_plain(asked)}/{unit}", f"{_plain(served)}/{unit}", state, f"{_plain(needed)} {unit}s"
        )
    clocked = span.unit == "day"
    return {
        "asked": asked,
        "served": served,
        "unit": f"alerts/{span.unit}",
        "state": state,
        "interval": [low / span.length, high / span.length],
        "blocks": span.blocks,
        "days": span.length if clocked else None,
        "days_needed": needed if clocked else None,
        "rows": len(span.floors),
        "rows_needed": None if clocked else ceil(needed),
        "level": level,
        "level_p": float(ranks.p_value(np.array([level]))[0]),
    }


def _level(span: _Span, asked: float) -> tuple[float, float, State]:
    """The level, the budget it serves, and how well."""
    alerts = asked * span.length
    state: State = "held" if alerts >= HELD else "provisional"
    if alerts >= PROVISIONAL:
        served, level = asked, _counted(span, alerts)
    elif span.tail is not None:
        state = "extrapolated"
        served, alerts = _at_least(1.0 / BEYOND, asked, alerts, span)
        # A smaller budget never rings more than the smallest that is counted.
        level = max(span.tail.level_for(alerts), _counted(span, PROVISIONAL))
    else:
        served, alerts = _at_least(SMALLEST, asked, alerts, span)
        level = _counted(span, alerts)
    # What half of the rows reach is no anomaly, however few alerts it makes: they would never end.
    return max(level, just_above(float(np.median(span.calibration.scores)))), served, state


def _at_least(least: float, asked: float, alerts: float, span: _Span) -> tuple[float, float]:
    """The budget that is served and its alerts in the span: as asked, unless that is below the least."""
    return (asked, alerts) if alerts >= least else (least / span.length, least)


def _plain(number: float) -> str:
    """Three figures without an exponent: 4000, 6.67, 0.00005."""
    return np.format_float_positional(number, precision=3, fractional=False, trim="-")


def _counted(span: _Span, alerts: float) -> float:
    """The lowest level that keeps the span within this many alerts, by the condition in `Conformal`."""
    # Where alerts are few, a block that has several of them is not an incident but half of what is known.
    # More alerts than rows cannot ring, however large the budget.
    totals = span.totals(ceil(min(alerts / BLOCK_SHARE if alerts >= HELD else alerts, len(span.floors))))
    # The budget per block times M + 1; what is lost in the last digit must not cost an alert.
    allowed = alerts * (span.blocks + 1) / span.blocks * (1.0 + 1e-12)
    within = totals.totals + np.maximum(totals.worst, 1) <= allowed
    if alerts < HELD:
        within &= totals.totals <= _cautious(alerts)
    return totals.lowest_level(within)


def _cautious(alerts: float) -> int:
    """The most that may be counted, if a level that rings `alerts` counts no more with probability `CAUTION`."""
    probability = reached = exp(-alerts)
    count = 0
    while reached <= CAUTION:
        count += 1
        probability *= alerts / count
        reached += probability
    return count - 1


def _interval(span: _Span, level: float, state: State) -> tuple[float, float]:
    if state == "extrapolated" and span.tail is not None:
        return span.tail.band(level, COVERAGE)
    counts = span.alerts(level)
    if span.unit == "row":
        return rows_band(int(counts.sum()), span.blocks, COVERAGE)
    return alerts_band(int(counts.sum()), dispersion(counts), COVERAGE)


def _refuse_nan(scores: Vector) -> None:
    if np.isnan(scores).any():
        raise DataError("threshold conformal", f"{np.isnan(scores).sum()} scores that are NaN", "numbers")
