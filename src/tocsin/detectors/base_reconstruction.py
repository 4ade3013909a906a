"""What detectors share that make a row anew from its own columns and score what they cannot make."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from math import isfinite
from typing import Self

import numpy as np

from tocsin.arrays import Array
from tocsin.detectors.base import Detector, Labels, State
from tocsin.detectors.base_scaling import FURTHEST, scaled, scaling, standard_scaling
from tocsin.kernel.sequences import MAX_STEPS
from tocsin.records import Matrix, Vector


class Reconstruction(Detector):
    """Standardises a row, clips it, and scores what is left once its reconstruction is taken away.

    Subclasses write `learn`, `residual`, `share` and `learnt`. With more than one step the score is the mean over the
    last rows of the entity.

    Parameters
    ----------
    clip
        Standard deviations beyond which a value counts no more, greater than 0.
    steps
        Rows whose mean is the score.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """

    _center: Vector
    _scale: Vector
    _middle: Vector

    def __init__(self, *, clip: float, steps: int) -> None:
        if not (isfinite(clip) and clip > 0):
            raise ValueError(f"clip is {clip}, wanted a finite number greater than 0")
        if not 1 <= steps <= MAX_STEPS:
            raise ValueError(f"steps is {steps}, wanted 1 to {MAX_STEPS}")
        self.clip = clip
        self.steps = steps

    @abstractmethod
    def learn(self, z: Matrix) -> None:
        """Learn from standardised rows, (n, d), whose columns have mean 0."""

    @abstractmethod
    def residual(self, z: Matrix) -> Matrix:
        """What is left of standardised rows, (n, d), without their reconstruction."""

    @abstractmethod
    def share(self, residual: Matrix) -> Matrix:
        """What each residual adds to the score, at least 0."""

    @abstractmethod
    def learnt(self, columns: int) -> Mapping[str, Array]:
        """What each array is that `learn` keeps."""

    def arrays(self, columns: int) -> Mapping[str, Array]:
        middle = Array((columns,), least=-FURTHEST, most=FURTHEST)
        return {**scaling(columns), "middle": middle, **self.learnt(columns)}

    def fit(self, x: Matrix, y: Labels | None = None) -> Self:
        rows = x if x.ndim == 2 else x[:, -1]
        self._center, self._scale = standard_scaling(rows)
        z = scaled(rows, self._center, self._scale, self.clip)
        self._middle = z.mean(axis=0)
        self.learn(z - self._middle)
        return self

    def explain(self, x: Matrix) -> Matrix:
        """What each value adds to the score, of the shape of x; of a sequence, each row its part of the mean."""
        rows = x.reshape(-1, x.shape[-1])
        z = scaled(rows, self._center, self._scale, self.clip) - self._middle
        return np.asarray(self.share(self.residual(z)).reshape(x.shape) / self.steps)

    def score(self, x: Matrix) -> Vector:
        return np.asarray(self.explain(x).sum(axis=tuple(range(1, x.ndim))))

    def state(self) -> State:
        return {name: vars(self)[f"_{name}"] for name in self.arrays(self._columns)}


def covariance(z: Matrix) -> Matrix:
    """Of columns with mean 0, without a library of linear algebra, whose sums depend on how many threads it takes."""
    return np.asarray(np.einsum("ni,nj->ij", z, z) / len(z))
