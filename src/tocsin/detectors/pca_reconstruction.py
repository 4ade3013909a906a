"""Reconstruction by principal components: what the few directions in which rows usually move cannot explain.

Source: Tipping and Bishop, Probabilistic Principal Component Analysis, JRSS B 61(3), 1999. The residual is that of
the model's posterior mean, so that a direction counts as explained only as far as its variance stands out.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tocsin.arrays import Array
from tocsin.detectors.base import State
from tocsin.detectors.base_components import components
from tocsin.detectors.base_reconstruction import Reconstruction
from tocsin.detectors.base_scaling import FURTHEST
from tocsin.errors import IntegrityError
from tocsin.records import Matrix, Vector


class PcaReconstruction(Reconstruction):
    """Score a row by how far it lies from the plane in which most of its movement is.

    Takes columns that move together and no longer do, and columns that leave their range. Learns a few directions
    only, so it takes any number of columns and less rows than columns. With `steps` an anomaly has to last: choose it
    where rows are noisy and incidents are longer than one of them. Blind to what is unusual only in curved ways:
    blend it with a forest.

    Parameters
    ----------
    explained
        Share of the variance that the directions must hold, above 0, below 1. Less of it looks at columns singly,
        more of it at how exactly they fit together.
    clip
        Standard deviations beyond which a value counts no more, greater than 0.
    steps
        Rows of an entity whose mean is the score.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> base = np.random.default_rng(0).normal(size=(500, 1))
    >>> detector = PcaReconstruction().fit(np.hstack([base, 2.0 * base, -base]))
    >>> together, apart = detector.score(np.array([[1.0, 2.0, -1.0], [1.0, -2.0, -1.0]]))
    >>> bool(apart > 100 * together)
    True
    """

    _directions: Matrix
    _explained: Vector

    def __init__(self, *, explained: float = 0.5, clip: float = 10.0, steps: int = 1) -> None:
        super().__init__(clip=clip, steps=steps)
        if not 0 < explained < 1:
            raise ValueError(f"explained is {explained}, wanted a number above 0 and below 1")
        self.explained = explained

    def learn(self, z: Matrix) -> None:
        self._directions, variances, rest = components(z, self.explained)
        self._explained = 1.0 - np.minimum(rest / variances, 1.0)

    def residual(self, z: Matrix) -> Matrix:
        return np.asarray(z - (z @ self._directions.T * self._explained) @ self._directions)

    def share(self, residual: Matrix) -> Matrix:
        """Distances as they are: squares would let one wild column speak louder than many that agree."""
        return np.abs(residual)

    def learnt(self, columns: int) -> Mapping[str, Array]:
        return {
            "directions": Array(("directions", columns), least=-FURTHEST, most=FURTHEST),
            "explained": Array(("directions",), least=0, most=1),
        }

    def adopt(self, arrays: State, columns: int) -> None:
        super().adopt(arrays, columns)
        if len(self._explained) >= columns:
            got = f"{len(self._explained)} directions"
            raise IntegrityError("pca_reconstruction.explained", got, f"fewer than the {columns} columns")
