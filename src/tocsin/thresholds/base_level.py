"""What all thresholds with one level share: ranks of the calibration scores, the level, and what it promises."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import ceil, inf
from sys import float_info
from typing import Any, Literal, NamedTuple, Self

import numpy as np

from tocsin import observe
from tocsin.arrays import Array, checked
from tocsin.calibration import ScoreRanks, just_above
from tocsin.component import snake_case
from tocsin.errors import DataError, IntegrityError, NotFittedError
from tocsin.records import Column, Mask, Vector
from tocsin.thresholds.base import REACH, AlertBudget, Calibration, Threshold
from tocsin.thresholds.base_doubts import doubts
from tocsin.thresholds.base_promise import restored
from tocsin.thresholds.base_scales import EntityScales
from tocsin.thresholds.base_span import Span

LEAST_ROWS = 100
HELD = 20.0
"""Alerts that the calibration span must allow before a budget is called held."""
MOST_NEEDED = 1e12
"""Days or rows that a promise names at most: what needs more than that is out of reach, however much more."""
BUDGETS = REACH ** np.linspace(-1.0, 1.0, 5)
"""Multiples of the budget whose levels are kept; in between they are interpolated."""
AS_ASKED = 2

State = Literal["held", "provisional", "extrapolated", "fixed"]


class Served(NamedTuple):
    """A level and what it stands for."""

    level: float
    rate: float
    """The budget it serves, in alerts per unit of the span."""
    state: State
    band: Callable[[], tuple[float, float]]
    """Alerts in a span as long as the calibration, nine times in ten."""


@dataclass(frozen=True, slots=True, eq=False)
class _Learnt:
    ranks: ScoreRanks
    levels: Vector
    """Levels of `BUDGETS`, falling."""
    scales: EntityScales | None
    promise: Mapping[str, Any]


class LevelThreshold(Threshold):
    """Flags what reaches one level; p-values are ranks among the calibration scores.

    Subclasses write `_serve`. `by` and `separator` put scores on a scale for each entity first, see `EntityScales`:
    there is one budget for all of them, and therefore one level.
    """

    block: float = 3_600.0
    by: Literal["all", "entity"] = "all"
    separator: str = ""

    _state: _Learnt | None = None

    @abstractmethod
    def _serve(self, span: Span, asked: float) -> Served:
        """The level for a budget, in alerts per unit of the span, and how well it serves it."""

    def fit(self, calibration: Calibration, budget: AlertBudget) -> Self:
        """Learn the p-values and the level.

        Raises
        ------
        DataError
            If there are fewer than 100 rows, a score is not finite, the budget is not greater than 0, or a budget in
            days meets rows without a clock or of one moment.
        """
        asked = self._checked(calibration.scores, budget)
        scales = None
        if self.by == "entity":
            scales = EntityScales.of(calibration.scores, calibration.entities, self.separator)
            calibration = replace(calibration, scores=scales.apply(calibration.scores, calibration.entities))
        span = Span.of(calibration, budget, self.block, self._where)
        served = self._serve(span, asked)
        levels = np.array([self._serve(span, asked * times).level for times in BUDGETS.tolist()])
        levels[AS_ASKED] = served.level
        # A level may hang on how many alerts can be counted at all: a larger budget must not raise it.
        levels[:AS_ASKED] = np.maximum(levels[:AS_ASKED], served.level)
        levels[AS_ASKED:] = np.minimum(levels[AS_ASKED:], served.level)
        ranks = ScoreRanks.of(calibration.scores)
        promise = _promise(span, asked, served, ranks, scales)
        self._state = _Learnt(ranks, np.minimum.accumulate(levels), scales, promise)
        return self

    @property
    def _where(self) -> str:
        return f"threshold {snake_case(type(self).__name__)}"

    def _checked(self, scores: Vector, budget: AlertBudget) -> float:
        where = self._where
        if not len(scores):
            hint = (
                "rows of one moment stay together, and those of one entity where split.by is entity: history of one "
                "moment, or of few entities, leaves none to calibrate on"
            )
            raise DataError(where, "no calibration rows", f"at least {LEAST_ROWS}", hint)
        if len(scores) < LEAST_ROWS:
            hint = "give more history; nothing that wakes somebody can be learnt from less"
            raise DataError(where, f"{len(scores)} calibration rows", f"at least {LEAST_ROWS}", hint)
        if not np.isfinite(scores).all():
            raise DataError(where, f"{(~np.isfinite(scores)).sum()} scores that are no finite number")
        asked = budget.per_day if budget.per_row is None else budget.per_row
        if asked is None:
            raise DataError(where, "no budget", "a number of alerts a day, or a share of the rows")
        if not asked > 0:
            raise DataError(where, f"a budget of {asked:g}", "a number greater than 0")
        return min(float(asked), float_info.max / REACH)

    @property
    def _learnt(self) -> _Learnt:
        if self._state is None:
            raise NotFittedError(repr(self), "a call before fit", hint="call fit or restore first")
        return self._state

    def _scaled(self, scores: Vector, entities: Column | None) -> Vector:
        if np.isnan(scores).any():
            raise DataError(self._where, f"{np.isnan(scores).sum()} scores that are NaN", "numbers")
        scales = self._learnt.scales
        return scores if scales is None else scales.apply(scores, entities)

    def p_value(self, scores: Vector, entities: Column | None = None) -> Vector:
        """(1 + calibration rows that score at least as high) / (n + 1), (n,); exact among the highest 2,000.

        Raises
        ------
        DataError
            If a score is NaN.
        """
        return self._learnt.ranks.p_value(self._scaled(scores, entities))

    def flag(self, scores: Vector, entities: Column | None = None) -> Mask:
        """Which scores are at or above the level, (n,).

        Raises
        ------
        DataError
            If a score is NaN: it would never ring.
        """
        return np.asarray(self._scaled(scores, entities) >= self._learnt.levels[AS_ASKED])

    def ease(self, scores: Vector, entities: Column | None = None) -> Vector:
        """How many times the budget must be for each score to be flagged, (n,): 1/4 to 4, infinite beyond.

        Raises
        ------
        DataError
            If a score is NaN.
        """
        scores, levels = self._scaled(scores, entities), self._learnt.levels
        found = np.exp(np.interp(scores, levels[::-1], np.log(BUDGETS[::-1])))
        found[scores < levels[-1]] = inf
        flagged = scores >= levels[AS_ASKED]
        return np.where(flagged, np.minimum(found, 1.0), np.maximum(found, just_above(1.0)))

    def promise(self) -> Mapping[str, Any]:
        """What the budget became, as JSON values.

        `asked` and `served` are in `unit` (alerts/day or alerts/row). `interval` is meant to hold the mean number of
        alerts per unit over a span as long as the calibration, on telemetry like it, nine times in ten: negative
        binomial from the alerts counted and their dispersion, beta-binomial for rows, and resampled peaks where
        extrapolated. It is exact for a budget in exchangeable rows; for budgets a day `benchmarks/budget.py` found
        80 % to 96 % of simulated spans inside it.
        `together` is how many alerts come at a time: variance over mean of their number.
        `days_needed` or `rows_needed` would make what was asked *held*. `level` is flagged from, `level_p` its
        p-value; where entities have scales of their own it is that of an entity without one. `doubts` names what
        speaks against the promise, see `doubts`.
        """
        return self._learnt.promise

    def state(self) -> Mapping[str, Any]:
        """All that was learnt: JSON values and numpy arrays by name."""
        learnt = self._learnt
        scales = {} if learnt.scales is None else learnt.scales.state()
        return {**learnt.ranks.state(), **scales, "levels": learnt.levels, "promise": dict(learnt.promise)}

    @classmethod
    def restore(cls, parameters: Mapping[str, Any], state: Mapping[str, Any]) -> Self:
        """The threshold that had these parameters and this state.

        Raises
        ------
        IntegrityError
            If the state cannot come from `state`.
        """
        threshold = cls(**parameters)
        where = threshold._where
        ranks = ScoreRanks.restore(state, where)
        scales = EntityScales.restore(state, threshold.separator, where) if threshold.by == "entity" else None
        levels = checked({"levels": state.get("levels")}, {"levels": Array(BUDGETS.shape)}, where)["levels"]
        if (np.diff(levels) > 0).any():
            raise IntegrityError(f"{where}.levels", "levels that rise with the budget", "falling ones")
        threshold._state = _Learnt(ranks, levels, scales, restored(state.get("promise"), where))
        if odd := state.keys() - threshold.state().keys():
            raise IntegrityError(where, f"unknown: {', '.join(sorted(odd))[:200]}", "what fit wrote")
        return threshold


def _promise(
    span: Span, asked: float, served: Served, ranks: ScoreRanks, scales: EntityScales | None
) -> Mapping[str, Any]:
    low, high = served.band()
    needed = min(HELD / asked, MOST_NEEDED)
    if served.state in ("provisional", "extrapolated") or served.rate > asked:
        unit = span.unit
        observe.budget_not_held(
            f"{_plain(asked)}/{unit}", f"{_plain(served.rate)}/{unit}", served.state, f"{_plain(needed)} {unit}s"
        )
    against = doubts(span)
    if served.state != "held":
        against.pop("few_blocks", None)  # that there is too little history was said
    for reason, detail in against.items():
        observe.budget_doubted(reason, detail)
    clocked = span.unit == "day"
    level = served.level
    return {
        "asked": asked,
        "served": served.rate,
        "unit": f"alerts/{span.unit}",
        "state": served.state,
        "interval": [low / span.length, high / span.length],
        "blocks": span.blocks,
        "days": span.length if clocked else None,
        "days_needed": needed if clocked else None,
        "rows": len(span.floors),
        "rows_needed": None if clocked else ceil(needed),
        "level": level if scales is None else float(level * scales.spread[-1] + scales.middle[-1]),
        "level_p": float(ranks.p_value(np.array([level]))[0]),
        "together": span.together(level) if clocked else None,
        "doubts": ", ".join(against) or None,
    }


def _plain(number: float) -> str:
    """Three figures without an exponent: 4000, 6.67, 0.00005."""
    return np.format_float_positional(number, precision=3, fractional=False, trim="-")
