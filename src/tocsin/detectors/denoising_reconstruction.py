"""Reconstruction by the linear map that best removes noise: what it cannot explain by the other columns is unusual.

Source: Chen, Xu, Weinberger and Sha, Marginalized Denoising Autoencoders for Domain Adaptation, ICML 2012 (one layer,
in closed form; here with Gaussian noise). The inverse: Goodnight, A Tutorial on the SWEEP Operator, The American
Statistician 33(3), 1979.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

import numpy as np

from tocsin.arrays import Array
from tocsin.detectors.base_reconstruction import Reconstruction, covariance
from tocsin.detectors.base_scaling import FURTHEST
from tocsin.errors import SchemaError
from tocsin.records import Matrix

MAX_COLUMNS = 1_024
"""The map has as many rows and columns as the matrix has columns: 8 MB at this width."""


class DenoisingReconstruction(Reconstruction):
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
    steps
        Rows of an entity whose mean is the score.

    Raises
    ------
    SchemaError
        On fit, if there are more than 1,024 columns.
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> base = np.random.default_rng(0).normal(size=(500, 1))
    >>> detector = DenoisingReconstruction().fit(np.hstack([base, 2.0 * base]))
    >>> together, apart = detector.score(np.array([[2.0, 4.0], [2.0, -4.0]]))
    >>> bool(apart > 100 * together)
    True
    """

    _map: Matrix

    def __init__(self, *, noise: float = 0.1, clip: float = 5.0, steps: int = 1) -> None:
        super().__init__(clip=clip, steps=steps)
        if not (isfinite(noise) and noise > 0):
            raise ValueError(f"noise is {noise}, wanted a finite number greater than 0")
        self.noise = noise

    def learn(self, z: Matrix) -> None:
        columns = z.shape[1]
        if columns > MAX_COLUMNS:
            hint = "take fewer columns, or pca_reconstruction, which takes any number"
            raise SchemaError(repr(self), f"{columns} columns", f"at most {MAX_COLUMNS}", hint)
        # The residual of z - z C (C + noise I)^-1, with C the covariance, is noise z (C + noise I)^-1.
        self._map = self.noise * _inverse(covariance(z) + self.noise * np.eye(columns))

    def residual(self, z: Matrix) -> Matrix:
        return np.asarray(z @ self._map)

    def share(self, residual: Matrix) -> Matrix:
        """Squared distance of each value from its reconstruction, in variances."""
        return np.asarray(residual * residual)

    def learnt(self, columns: int) -> Mapping[str, Array]:
        return {"map": Array((columns, columns), least=-FURTHEST, most=FURTHEST)}


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
