"""Robust z-score: distance from the column's median, in robust standard deviations.

Source: Iglewicz and Hoaglin, How to Detect and Handle Outliers, ASQC 1993.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np

from tocsin.arrays import Array
from tocsin.detectors.base import Detector, Labels, State, Supervision
from tocsin.records import Matrix, Vector

# The median absolute deviation of a standard normal variable.
NORMAL_MAD = 0.6745
# Values further out count as this far out, so that no distance overflows.
_FURTHEST = 1e150


class RobustZScore(Detector):
    """Score a row by the column that stands furthest from its median.

    Needs no labels and survives nearly half of the training rows being wrong. Blind to unusual combinations of
    usual values: blend it with a forest.

    Parameters
    ----------
    two_sided
        False scores only values above the median (error rates, latencies).
    min_scale
        Smallest scale, in the column's own unit and greater than 0, so that a constant column does not turn
        noise into alarms.

    Raises
    ------
    ValueError
        If min_scale is not a number greater than 0.

    Examples
    --------
    >>> detector = RobustZScore().fit(np.array([[9.0], [10.0], [11.0]]))
    >>> detector.score(np.array([[10.0], [40.0]])).round(1)
    array([ 0. , 20.2])
    """

    supervision = Supervision.NONE

    _median: Vector
    _scale: Vector

    def __init__(self, *, two_sided: bool = True, min_scale: float = 1e-6) -> None:
        if not 1 / _FURTHEST <= min_scale <= _FURTHEST:
            raise ValueError(f"min_scale is {min_scale:g}, wanted a number greater than 0, at most {_FURTHEST:g}")
        self.two_sided = two_sided
        self.min_scale = min_scale

    def fit(self, x: Matrix, y: Labels | None = None) -> Self:
        x = _bounded(x)
        self._median = np.median(x, axis=0)
        mad = np.median(np.abs(x - self._median), axis=0)
        self._scale = np.maximum(mad / NORMAL_MAD, self.min_scale)
        return self

    def score(self, x: Matrix) -> Vector:
        furthest: Vector = self.explain(x).max(axis=1)
        return furthest

    def explain(self, x: Matrix) -> Matrix:
        """Distance of each value from its median, (n, d), in robust standard deviations."""
        distance = (_bounded(x) - self._median) / self._scale
        return np.abs(distance) if self.two_sided else np.maximum(distance, 0.0)

    def state(self) -> State:
        return {"median": self._median, "scale": self._scale}

    def arrays(self, columns: int) -> Mapping[str, Array]:
        return {
            "median": Array((columns,), least=-_FURTHEST, most=_FURTHEST),
            "scale": Array((columns,), least=1 / _FURTHEST, most=3 * _FURTHEST),
        }


def _bounded(x: Matrix) -> Matrix:
    return np.clip(x, -_FURTHEST, _FURTHEST)
