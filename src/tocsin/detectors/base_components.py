"""Principal components, with the same bits whatever the number of threads.

Source: Mackey, Deflation Methods for Sparse PCA, NeurIPS 2008 (components one after the other, each orthogonal to
those before it).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tocsin.detectors.base_reconstruction import covariance
from tocsin.records import Matrix, Vector

ROUNDS = 200
"""Products after which a component is taken as it is: where two are equally long, any mixture of them will do."""
SETTLED = 1e-7
WIDE = 1_024
"""Columns beyond which no square of them is kept in memory."""


def components(z: Matrix, explained: float) -> tuple[Matrix, Vector, float]:
    """The fewest directions that hold a share of the variance, longest first.

    Parameters
    ----------
    z
        Rows, (n, d), whose columns have mean 0.
    explained
        Share of the variance, above 0, below 1.

    Returns
    -------
    directions
        Orthonormal, (k, d), k < d; the largest entry of each is positive.
    variances
        Along each direction, (k,).
    rest
        Mean variance of all others.
    """
    columns = z.shape[1]
    times = _products(z)
    total = float(np.einsum("ij,ij->", z, z)) / len(z)
    found, variances = np.empty((0, columns)), np.empty(0)
    while len(found) < columns - 1 and variances.sum() < explained * total:
        direction, variance = _longest(times, found)
        if variance <= 0:
            break
        found, variances = np.vstack([found, direction]), np.append(variances, variance)
    return found, variances, max(total - float(variances.sum()), 0.0) / (columns - len(found))


def _products(z: Matrix) -> Callable[[Vector], Vector]:
    """The product of the covariance and a vector."""
    rows, columns = z.shape
    if columns <= min(rows, WIDE):
        square = covariance(z)
        return lambda vector: np.asarray(np.einsum("ij,j->i", square, vector))
    return lambda vector: np.asarray(np.einsum("ni,n->i", z, np.einsum("ni,i->n", z, vector)) / rows)


def _longest(times: Callable[[Vector], Vector], found: Matrix) -> tuple[Vector, float]:
    """The direction of the largest variance among those orthogonal to the found ones, and that variance."""
    # Any start will do that is not orthogonal to what is sought.
    vector = _unit(np.sin(np.arange(1.0, found.shape[1] + 1)), found)
    for _ in range(ROUNDS):
        product = times(vector)
        if not product.any():
            return vector, 0.0
        before, vector = vector, _unit(product, found)
        if np.abs(vector - before).max() < SETTLED:
            break
    variance = float(np.einsum("i,i->", vector, times(vector)))
    return vector * np.sign(vector[np.abs(vector).argmax()]), variance


def _unit(vector: Vector, found: Matrix) -> Vector:
    for _ in range(2):  # the second pass takes away what rounding left of the first
        vector = vector - np.einsum("kd,k->d", found, np.einsum("kd,d->k", found, vector))
    length = float(np.sqrt(np.einsum("i,i->", vector, vector)))
    return vector / length if length > 0 else vector
