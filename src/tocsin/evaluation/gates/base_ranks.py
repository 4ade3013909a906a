"""Whether two models put rows into the same order."""

from __future__ import annotations

import numpy as np

from tocsin.records import Vector


def spearman(one: Vector, other: Vector) -> float:
    """The rank correlation of two scores of the same rows, (n,); 0 where either says the same of all.

    >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 25.0]))
    1.0
    """
    ranks = np.array([_ranks(one), _ranks(other)])
    if len(one) < 2 or (np.ptp(ranks, axis=1) == 0).any():
        return 0.0
    return float(np.round(np.corrcoef(ranks)[0, 1], 12))


def _ranks(scores: Vector) -> Vector:
    """Equal scores share the mean of their ranks."""
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[places])
