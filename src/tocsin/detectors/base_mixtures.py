"""Mixtures of a few columns each, drawn by chance: a cut along one is a slanted cut through the columns.

Source: Hariri, Carrasco Kind and Brunner, Extended Isolation Forest, IEEE TKDE 33(4), 2021. There every cut draws a
direction of its own; here the directions are drawn once, so that the kernel walks them as columns.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tocsin.arrays import Array
from tocsin.detectors.base import State
from tocsin.detectors.base_scaling import robust_scaling, scaled, scaling
from tocsin.records import Matrix, Vector

MAX_MIXED = 64
"""Columns of a mixture: one of more is the same normal noise, whatever the columns are."""
PER_COLUMN = 2
"""Mixtures for each column."""
# In deviations: beyond, single columns tell enough.
_CLIP = 20.0
# No normal variable that was ever drawn is as large.
_MAX_WEIGHT = 100.0


class Mixtures:
    """Weighted sums of columns, in deviations.

    Parameters
    ----------
    mixed
        (k, m) int32: the k columns of each of the m mixtures.
    weights
        (k, m) float64: how much each of them counts.
    center, scale
        (d,) float64: median and deviation of the columns.
    """

    def __init__(self, mixed: NDArray[np.int32], weights: Matrix, center: Vector, scale: Vector) -> None:
        self._mixed = mixed
        self._weights = weights
        self._center = center
        self._scale = scale

    @classmethod
    def draw(cls, x: Matrix, of: int, random: np.random.Generator) -> Self:
        """Mixtures of so many columns of x (n, d) each, fewer where there are no more."""
        columns = x.shape[1]
        order = random.permuted(np.tile(np.arange(columns, dtype=np.int32), (PER_COLUMN * columns, 1)), axis=1)
        mixed = np.ascontiguousarray(order[:, :of].T)
        return cls(mixed, random.normal(size=mixed.shape), *robust_scaling(x))

    def beside(self, x: Matrix) -> Matrix:
        """The columns of x (n, d) and behind them the mixtures, (n, d + m); summed in one order for any n."""
        z = scaled(x, self._center, self._scale, _CLIP)
        sums = np.zeros((len(x), self._mixed.shape[1]))
        for columns, weights in zip(self._mixed, self._weights, strict=True):
            sums += z[:, columns] * weights
        return np.hstack([x, sums])

    def shares(self, x: Matrix, shares: Matrix) -> Matrix:
        """Shares of columns and mixtures, (n, d + m), as shares of the columns, (n, d).

        What a mixture has is divided among its columns by how much each adds to it, up or down.
        """
        z = scaled(x, self._center, self._scale, _CLIP)
        added = np.abs(z[:, self._mixed] * self._weights)
        whole = added.sum(axis=1, keepdims=True)
        parts = np.where(whole > 0, added / np.where(whole > 0, whole, 1.0), 1.0 / len(self._mixed))
        own, of_mixtures = np.split(shares, [x.shape[1]], axis=1)
        divided = np.ascontiguousarray(own.T)
        np.add.at(divided, self._mixed, (parts * of_mixtures[:, None]).transpose(1, 2, 0))
        return np.ascontiguousarray(divided.T)

    def state(self) -> State:
        """All that was drawn and learnt."""
        return {"mixed": self._mixed, "weights": self._weights, "center": self._center, "scale": self._scale}

    @classmethod
    def arrays(cls, of: int, columns: int) -> dict[str, Array]:
        """What the arrays are of mixtures of so many columns each."""
        shape = min(of, columns), PER_COLUMN * columns
        return {
            "mixed": Array(shape, np.int32, 0, columns - 1),
            "weights": Array(shape, least=-_MAX_WEIGHT, most=_MAX_WEIGHT, exact=True),
            **{name: replace(array, exact=True) for name, array in scaling(columns).items()},
        }
