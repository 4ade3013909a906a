"""Reconstruction by the linear map that best removes noise: what it cannot explain by the other columns is unusual.

Source: Chen, Xu, Weinberger and Sha, Marginalized Denoising Autoencoders for Domain Adaptation, ICML 2012 (one layer,
in closed form; here with Gaussian noise). The inverse: Goodnight, A Tutorial on the SWEEP Operator, The American
Statistician 33(3), 1979.
"""

from __future__ import annotations

from math import isfinite
from typing import Self

import numpy as np

from tocsin.detectors.base import Detector, Labels, State
from tocsin.errors import IntegrityError, SchemaError
from tocsin.records import Matrix, Vector

MAX_COLUMNS = 1_024
"""The map has as many rows and columns as the matrix has columns: 8 MB at this width."""
# Values further out count as this far out, so that no square overflows.
_FURTHEST = 1e150


class DenoisingReconstruction(Detector):
    """Score a row by how far it lies from what its columns make of each other.

    Takes columns that usually move together and no longer do: load without traffic, memory without processes. Finds
    single columns that leave their range, too. Learns in one pass and needs no seed; anomalies among the training
    rows count for little, since no value counts beyond `clip`. Blind to what is unusual only in curved ways: blend it
    with a forest.

    Parameters
    ----------
    noise
        Variance of the noise that the map learns to remove, in variances of a column, greater than 0. More of it
        looks at columns singly, less of it at how exactly they fit together.
    clip
        Standard deviations beyond which a value counts no more, greater than 0.

    Raises
    ------
    SchemaError
        On fit, if there are more than 1,024 columns.
    ValueError
        If a parameter is not a finite number greater than 0.

    Examples
    --------
    >>> base = np.random.default_rng(0).normal(size=(500, 1))
    >>> detector = DenoisingReconstruction().fit(np.hstack([base, 2.0 * base]))
    >>> together, apart = detector.score(np.array([[2.0, 4.0], [2.0, -4.0]]))
    >>> bool(apart > 100 * together)
    True
    """

    _center: Vector
    _scale: Vector
    _middle: Vector
    _map: Matrix

    def __init__(self, *, noise: float = 0.1, clip: float = 5.0) -> None:
        for name, value in (("noise", noise), ("clip", clip)):
            if not (isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value}, wanted a finite number greater than 0")
        self.noise = noise
        self.clip = clip

    def fit(self, x: Matrix, y: Labels | None = None) -> Self:
        if x.shape[1] > MAX_COLUMNS:
            hint = "take fewer columns, or another detector"
            raise SchemaError(repr(self), f"{x.shape[1]} columns", f"at most {MAX_COLUMNS}", hint)
        x = _bounded(x)
        self._center, spread = x.mean(axis=0), x.std(axis=0)
        constant = (x == x[0]).all(axis=0)  # its mean may be off by a rounding, and so its deviation above 0
        self._scale = np.where(constant | (spread <= 0), 1.0, spread)
        self._middle = np.zeros(x.shape[1])
        z = self._standard(x)
        self._middle = z.mean(axis=0)
        # The residual of z - z C (C + noise I)^-1, with C the covariance, is noise z (C + noise I)^-1.
        self._map = self.noise * _inverse(_covariance(z - self._middle) + self.noise * np.eye(z.shape[1]))
        return self

    def explain(self, x: Matrix) -> Matrix:
        """Squared distance of each value from its reconstruction, (n, d), in variances."""
        residual = (self._standard(_bounded(x)) - self._middle) @ self._map
        return np.asarray(residual * residual)

    def score(self, x: Matrix) -> Vector:
        return np.asarray(self.explain(x).sum(axis=1))

    def state(self) -> State:
        return {"center": self._center, "scale": self._scale, "middle": self._middle, "map": self._map}

    def validate_state(self, columns: int) -> None:
        shapes = {"center": (columns,), "scale": (columns,), "middle": (columns,), "map": (columns, columns)}
        for name, shape in shapes.items():
            array = vars(self).get(f"_{name}")
            where = f"denoising_reconstruction.{name}"
            if not isinstance(array, np.ndarray) or array.dtype != np.float64 or array.shape != shape:
                raise IntegrityError(where, repr(array)[:80], f"float64 of shape {shape}")
            if not (np.abs(array) <= 2 * _FURTHEST).all() or (name == "scale" and not (array > 0).all()):
                raise IntegrityError(where, repr(array)[:80], "finite numbers, scales above 0")

    def _standard(self, x: Matrix) -> Matrix:
        return np.clip((x - self._center) / self._scale, -self.clip, self.clip)


def _bounded(x: Matrix) -> Matrix:
    return np.clip(x, -_FURTHEST, _FURTHEST)


def _covariance(z: Matrix) -> Matrix:
    """Without a library of linear algebra, whose sums depend on how many threads it takes."""
    return np.asarray(np.einsum("ni,nj->ij", z, z) / len(z))


def _inverse(matrix: Matrix) -> Matrix:
    """Of a symmetric positive definite matrix, (d, d), column after column."""
    inverse = matrix.copy()
    for place in range(len(inverse)):
        pivot = inverse[place, place]
        row, column = inverse[place] / pivot, inverse[:, place].copy()
        inverse -= column[:, None] * row
        inverse[place], inverse[:, place] = row, -column / pivot
        inverse[place, place] = 1.0 / pivot
    return inverse
