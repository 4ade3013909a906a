"""Columns in deviations from their middle, for detectors that weigh columns against each other."""

from __future__ import annotations

import numpy as np

from tocsin.arrays import Array
from tocsin.records import Matrix, Vector

NORMAL_RANGE = 1.349
"""Standard deviations between the quartiles of a normal distribution."""
FURTHEST = 1e100
"""Values further out count as this far out, so that no square overflows."""
# A spread below is rounding.
_NO_SPREAD = 1e-100


def robust_scaling(x: Matrix) -> tuple[Vector, Vector]:
    """Median and robust deviation of every column of x (n, d), both (d,).

    The plain deviation stands in where the middle half is one value, and 1 where all rows are.
    """
    x = np.clip(x, -FURTHEST, FURTHEST)
    low, median, high = np.quantile(x, (0.25, 0.5, 0.75), axis=0)
    robust, plain = (high - low) / NORMAL_RANGE, x.std(axis=0)
    scale = np.where(robust >= _NO_SPREAD, robust, plain)
    return median, np.where(scale >= _NO_SPREAD, scale, 1.0)


def standard_scaling(x: Matrix) -> tuple[Vector, Vector]:
    """Mean and deviation of every column of x (n, d), both (d,); a deviation of 1 where all rows are one value."""
    x = np.clip(x, -FURTHEST, FURTHEST)
    constant = (x == x[0]).all(axis=0)  # its mean may be off by a rounding, and so its deviation above 0
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    return mean, np.where(constant | (deviation < _NO_SPREAD), 1.0, deviation)


def scaled(x: Matrix, center: Vector, scale: Vector, clip: float) -> Matrix:
    """Values of x (..., d) in deviations, held within `clip` of them."""
    return np.clip((np.clip(x, -FURTHEST, FURTHEST) - center) / scale, -clip, clip)


def scaling(columns: int) -> dict[str, Array]:
    """What the two arrays are that scale so many columns."""
    return {
        "center": Array((columns,), least=-FURTHEST, most=FURTHEST),
        "scale": Array((columns,), least=_NO_SPREAD, most=3 * FURTHEST),
    }
