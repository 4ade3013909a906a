"""What every threshold is: p-values and flags, learnt from calibration scores."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Self

import numpy as np

from tocsin.component import Part
from tocsin.records import Column, Mask, Times, Vector

REACH = 4.0
"""A budget may be asked for this many times over, or one part in as many: see `Threshold.ease`."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The rows a threshold learns from: scores of rows the detector was not fitted on."""

    scores: Vector
    """(n,) higher = more anomalous."""
    times: Times | None = None
    """(n,) ascending, or None where telemetry has no clock."""
    entities: Column | None = None
    """(n,) or None: one entity."""


@dataclass(frozen=True, slots=True)
class AlertBudget:
    """How many alerts are welcome, and how rows become alerts.

    Exactly one of `per_day` and `per_row` is set: a rate in rows is the only kind that telemetry without a clock
    can hold.
    """

    per_day: float | None = None
    per_row: float | None = None
    cooldown_s: float = 120.0
    """An entity's flagged rows closer together than this are one alert."""


class Threshold(Part):
    """Turns scores into p-values and flags. Fitted once; later scores never move it."""

    @abstractmethod
    def fit(self, calibration: Calibration, budget: AlertBudget) -> Self:
        """Learn the p-values and the level at which to flag.

        Raises
        ------
        DataError
            If there are fewer than 100 calibration rows.
        """

    @abstractmethod
    def p_value(self, scores: Vector, entities: Column | None = None) -> Vector:
        """The share of normal rows that score at least as high, (n,) in (0, 1]; never 0.

        `entities` are those of the rows, (n,), for a threshold that tells them apart; others leave them alone.
        """

    @abstractmethod
    def flag(self, scores: Vector, entities: Column | None = None) -> Mask:
        """Which scores are at or above the fitted level, (n,)."""

    def ease(self, scores: Vector, entities: Column | None = None) -> Vector:
        """How many times the budget must be for each score to be flagged, (n,); at most 1 where it is flagged as it is.

        From 1 / `REACH` to `REACH`, and infinite beyond. A threshold whose level hangs on no budget knows only the
        two ends.
        """
        return np.where(self.flag(scores, entities), 1.0 / REACH, inf)

    @abstractmethod
    def state(self) -> Mapping[str, Any]:
        """All that was learnt: JSON values and numpy arrays by name."""

    @classmethod
    @abstractmethod
    def restore(cls, parameters: Mapping[str, Any], state: Mapping[str, Any]) -> Self:
        """The threshold that had these parameters and this state."""

    @abstractmethod
    def promise(self) -> Mapping[str, Any]:
        """What the budget became, as JSON values: asked, served, interval and state.

        The state is held, provisional, extrapolated or fixed.
        """
