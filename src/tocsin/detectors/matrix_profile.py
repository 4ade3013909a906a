"""Distance of the last rows to the stretches of history that resemble them most.

Source: Yeh et al., Matrix Profile I: All Pairs Similarity Joins for Time Series, ICDM 2016 (a join with a fixed
reference; here without levelling each stretch, since a level that was never seen is news of its own).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Self

import numpy as np

from tocsin.arrays import Array
from tocsin.detectors.base import Detector, Labels, State
from tocsin.detectors.base_scaling import scaled, scaling, standard_scaling
from tocsin.errors import IntegrityError, SchemaError
from tocsin.kernel.sequences import MAX_STEPS
from tocsin.records import Matrix, Vector

MAX_KEPT = 10_000_000
"""Values of all stretches that are kept, 80 MB."""
# Differences that are held at once: they stay in the processor's cache.
_TOGETHER = 50_000


class MatrixProfile(Detector):
    """Score a row and those before it by how unlike every stretch of the training rows they are.

    Takes one figure or a few over time whose shape repeats: requests, passengers, a temperature. Finds a missed rise,
    a pause and a plateau whose every value is usual, and levels never seen. Counts every column alike: among many of
    them those that matter are drowned. What is learnt has distance 0 from itself, so calibrate on rows that follow.

    Parameters
    ----------
    steps
        Rows of a stretch, 2 to 1,024.
    references
        Training stretches that are kept, evenly spread over the training rows; all if there are fewer. A row costs a
        distance to each.
    neighbours
        Which of the nearest stretches is measured to, at least 1: with 3, two alike incidents in training do not
        excuse a third.
    clip
        Standard deviations beyond which a value counts no more, greater than 0.

    Raises
    ------
    SchemaError
        On fit, if steps x references x columns is more than ten million.
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> wave = np.sin(np.arange(600) / 5.0)
    >>> stretches = np.lib.stride_tricks.sliding_window_view(wave, 20)[:, :, None]
    >>> pause = np.full((1, 20, 1), wave[100])
    >>> detector = MatrixProfile().fit(stretches)
    >>> bool(detector.score(pause)[0] > 5 * detector.score(stretches).max())
    True
    """

    _center: Vector
    _scale: Vector
    _references: Matrix
    """(references, steps, columns), in standard deviations."""

    def __init__(self, *, steps: int = 20, references: int = 500, neighbours: int = 3, clip: float = 30.0) -> None:
        for name, value, least, most in (
            ("steps", steps, 2, MAX_STEPS),
            ("references", references, 1, MAX_KEPT),
            ("neighbours", neighbours, 1, references),
        ):
            if not least <= value <= most:
                raise ValueError(f"{name} is {value}, wanted {least} to {most}")
        if not (isfinite(clip) and clip > 0):
            raise ValueError(f"clip is {clip}, wanted a finite number greater than 0")
        self.steps = steps
        self.references = references
        self.neighbours = neighbours
        self.clip = clip

    def fit(self, x: Matrix, y: Labels | None = None) -> Self:
        kept = np.unique(np.linspace(0, len(x) - 1, self.references).astype(int))
        size = len(kept) * x.shape[1] * x.shape[2]
        if size > MAX_KEPT:
            hint = "take fewer references or fewer columns"
            raise SchemaError(repr(self), f"{size:,} values in all stretches", f"at most {MAX_KEPT:,}", hint)
        self._center, self._scale = standard_scaling(x[:, -1])
        self._references = self._standard(x[kept])
        return self

    def score(self, x: Matrix) -> Vector:
        """Distance to the nearest stretch but a few, (n,), in standard deviations of one value."""
        scores = np.empty(len(x))
        for rows, _, distances in self._measured(x):
            scores[rows] = np.sort(distances, axis=1)[:, self._place]
        return scores

    def explain(self, x: Matrix) -> Matrix:
        """Each value's part in the distance, as its square has in the sum of squares, of the shape of x."""
        shares = np.empty(x.shape)
        for rows, z, distances in self._measured(x):
            chosen = np.argsort(distances, axis=1, kind="stable")[:, self._place]
            far = distances[np.arange(len(z)), chosen]
            apart = (z - self._references[chosen]) ** 2
            shares[rows] = apart / np.where(far > 0, far, 1.0)[:, None, None]
        return shares

    def state(self) -> State:
        return {"center": self._center, "scale": self._scale, "references": self._references}

    def arrays(self, columns: int) -> Mapping[str, Array]:
        kept = Array(("references", self.steps, columns), least=-self.clip, most=self.clip)
        return {**scaling(columns), "references": kept}

    def adopt(self, arrays: State, columns: int) -> None:
        super().adopt(arrays, columns)
        if not 1 <= len(self._references) <= self.references:
            got = f"{len(self._references)} stretches"
            raise IntegrityError("matrix_profile.references", got, f"1 to {self.references}")

    @property
    def _place(self) -> int:
        return min(self.neighbours, len(self._references)) - 1

    def _standard(self, x: Matrix) -> Matrix:
        return scaled(x, self._center, self._scale, self.clip)

    def _measured(self, x: Matrix) -> Iterator[tuple[slice, Matrix, Matrix]]:
        """Rows that are measured together, in standard deviations, and their distance to every stretch."""
        z = self._standard(x)
        together = max(1, _TOGETHER // self._references.size)
        for start in range(0, len(z), together):
            block = z[start : start + together]
            apart = block[:, None] - self._references
            yield slice(start, start + together), block, np.sqrt(np.einsum("nrsd,nrsd->nr", apart, apart))
