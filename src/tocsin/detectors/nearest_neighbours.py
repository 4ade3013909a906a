"""Nearest neighbours: a row unlike every row of a sample, in sample after sample, is anomalous.

Source: Pang, Ting and Albrecht, LeSiNN: Detecting Anomalies by Identifying Least Similar Nearest Neighbours, ICDM
workshops 2015.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Self

import numpy as np

from tocsin.arrays import Array
from tocsin.detectors.base import Detector, Labels, State
from tocsin.detectors.base_scaling import FURTHEST, robust_scaling, scaled, scaling
from tocsin.errors import IntegrityError
from tocsin.records import Matrix, Vector

MAX_KEPT = 1_000_000
"""Samples x references: a row is measured against every one of them."""
# Distances that are added up at the same time, column after column: they stay in the second-level cache.
_TOGETHER = 32_000


class NearestNeighbours(Detector):
    """Score a row by its distance to the nearest row of a sample of the training rows, mean over many samples.

    Needs no labels. Takes whatever is unlike what was seen, in curved and many-centred clouds, too. Small samples
    hold few anomalies, so that a crowd of alike ones among the training rows does not vouch for itself. Where the
    training rows are known to be normal, large samples follow the cloud more closely: 20 of 256 are a good choice
    there. Counts every column alike: many columns of noise hide the few that matter.

    Parameters
    ----------
    samples
        Samples that are drawn, at least 1; more make the score steadier. Samples x references is at most a million;
        a row costs a distance to each, and the model keeps them all.
    references
        Training rows in each sample, at least 1; all where there are no more.
    clip
        Robust standard deviations from the median beyond which a value counts no more, greater than 0, so that one
        column that is far out does not outweigh many that are out a little.
    seed
        Start of the random numbers, at least 0.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or samples x references is more than a million.

    Examples
    --------
    >>> ring = np.linspace(0.0, 2.0 * np.pi, 500)
    >>> detector = NearestNeighbours(references=64).fit(np.column_stack([np.cos(ring), np.sin(ring)]))
    >>> on_the_ring, in_the_middle = detector.score(np.array([[0.6, 0.8], [0.0, 0.0]]))
    >>> bool(in_the_middle > 10 * on_the_ring)
    True
    """

    _center: Vector
    _scale: Vector
    _references: Matrix
    """(d, samples, references): a column lies in one piece."""

    def __init__(self, *, samples: int = 100, references: int = 8, clip: float = 20.0, seed: int = 0) -> None:
        for name, value, least in (("samples", samples, 1), ("references", references, 1), ("seed", seed, 0)):
            if value < least:
                raise ValueError(f"{name} is {value}, wanted at least {least}")
        if samples * references > MAX_KEPT:
            raise ValueError(f"samples x references is {samples * references:,}, wanted at most {MAX_KEPT:,}")
        if not 0 < clip <= FURTHEST:
            raise ValueError(f"clip is {clip}, wanted a number greater than 0, at most {FURTHEST:g}")
        self.samples = samples
        self.references = references
        self.clip = clip
        self.seed = seed

    def fit(self, x: Matrix, y: Labels | None = None) -> Self:
        """Scale the columns and draw the samples, each without replacement; labels are not looked at."""
        random = np.random.default_rng(self.seed)
        self._center, self._scale = robust_scaling(x)
        size = min(self.references, len(x))
        drawn = [random.choice(len(x), size, replace=False, shuffle=False) for _ in range(self.samples)]
        references = scaled(x[np.concatenate(drawn)], self._center, self._scale, self.clip)
        self._references = np.ascontiguousarray(references.T).reshape(-1, self.samples, size)
        return self

    def score(self, x: Matrix) -> Vector:
        """Distance to the nearest reference of a sample, mean over the samples, (n,), in robust deviations."""
        scores = np.empty(len(x))
        for rows, _, squares in self._measured(x):
            scores[rows] = np.sqrt(squares.min(axis=2)).mean(axis=1)
        return scores

    def explain(self, x: Matrix) -> Matrix:
        """Each column's part in each distance, as its square has in the sum of the squares, (n, d).

        A row's shares add up to its score.
        """
        shares = np.empty(x.shape)
        for rows, z, squares in self._measured(x):
            nearest = self._references[:, np.arange(squares.shape[1]), squares.argmin(axis=2)]
            apart = z.T[:, :, None] - nearest
            apart *= apart
            distance = np.sqrt(apart.sum(axis=0))
            shares[rows] = (apart / np.where(distance > 0, distance, 1.0)).mean(axis=2).T
        return shares

    def state(self) -> State:
        return {"center": self._center, "scale": self._scale, "references": self._references}

    def arrays(self, columns: int) -> Mapping[str, Array]:
        kept = Array((columns, "samples", "references"), least=-self.clip, most=self.clip)
        return {**scaling(columns), "references": kept}

    def adopt(self, arrays: State, columns: int) -> None:
        super().adopt(arrays, columns)
        if not 1 <= self._references[0].size <= MAX_KEPT:
            got = f"shape {self._references.shape}"
            raise IntegrityError("nearest_neighbours.references", got, f"1 to {MAX_KEPT:,} references")

    def _measured(self, x: Matrix) -> Iterator[tuple[slice, Matrix, Matrix]]:
        """Rows that are measured together, what they are in deviations, and their squared distances.

        The squares, (rows, samples, references), are added up one column after the other, so that a row alone has the
        bits that it has among others.
        """
        z = scaled(x, self._center, self._scale, self.clip)
        kept = self._references.shape[1:]
        together = max(1, _TOGETHER // (kept[0] * kept[1]))
        for start in range(0, len(z), together):
            block = z[start : start + together]
            squares = np.zeros((len(block), *kept))
            apart = np.empty_like(squares)
            for value, references in zip(block.T, self._references, strict=True):
                np.subtract(value[:, None, None], references, out=apart)
                apart *= apart
                squares += apart
            yield slice(start, start + together), block, squares
