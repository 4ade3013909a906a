"""From the feature matrix to what a detector can take: imputed, clipped, scaled.

Everything is learnt on the training rows, stored in the model and never learnt again. A missing value becomes the
column's training median; nothing is ever deleted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from sys import float_info
from typing import Any, Self

import numpy as np

from tocsin import observe
from tocsin.arrays import Array, checked
from tocsin.config import PreparationConfig
from tocsin.errors import DataError, IntegrityError, SchemaError
from tocsin.records import Mask, Matrix, Vector

OUTLIER_RANGES = 3.0
"""`auto` scales a column robustly if a value lies this many interquartile ranges outside the quartiles (Tukey)."""
UNSEEN = "=other"
_LEAST_SCALE = float_info.min
LARGEST = 1e30
"""Scaled values are held within this size, so that no arithmetic behind it overflows."""


class Preparation:
    """Imputes, clips and scales columns: the last axis of rows, (n, d), or of sequences, (n, steps, d).

    After `fit` each array has shape (d,): `fill`, `low`, `high`, `center`, `scale`.
    """

    def __init__(self, config: PreparationConfig) -> None:
        self.config = config
        self.fill = self.low = self.high = self.center = self.scale = np.empty(0)

    def fit(self, x: Matrix, names: Sequence[str]) -> Self:
        """Learn from training rows, (n, d); NaN means missing.

        A column without any value in training carries nothing: it is held at one value, whatever comes later.

        Raises
        ------
        DataError
            If every column is constant or empty.
        """
        present: Mask = ~np.isnan(x)
        empty = np.asarray(~present.any(axis=0))
        if empty.any():
            observe.columns_empty(tuple(np.asarray(names)[empty].tolist()))
            x = np.where(empty, 0.0, x)
        q1, median, q3 = _quartiles(x, complete=bool((present | empty).all()))
        self.fill = median
        spread = q3 - q1
        self.low, self.high = _borders(q1, q3, spread, self.config.clip)
        self.low[empty] = self.high[empty] = 0.0
        filled = self._filled(x)
        self.center, self.scale = self._scaling(filled, q1, median, q3)
        constant = (filled == filled[0]).all(axis=0)
        self.scale[constant] = 1.0
        if constant.all():
            raise DataError("preparation", "constant columns only", "at least one that varies in training")
        # the place for values never seen is empty in training by its nature
        odd = [name for name in np.asarray(names)[constant & ~empty].tolist() if not name.endswith(UNSEEN)]
        if odd:
            observe.columns_constant(tuple(odd))
        return self

    def apply(self, x: Matrix) -> Matrix:
        """Rows or sequences prepared: finite, of the same shape.

        Raises
        ------
        SchemaError
            If the number of columns is another than in `fit`.
        """
        if x.shape[-1] != len(self.fill):
            raise SchemaError("preparation", f"{x.shape[-1]} columns", f"{len(self.fill)}, as in training")
        prepared = self._filled(x) - self.center
        prepared /= self.scale
        return np.clip(prepared, -LARGEST, LARGEST, out=prepared)

    def _filled(self, x: Matrix) -> Matrix:
        """Without gaps and within the borders: the same array where it is so already."""
        gaps = np.flatnonzero(np.isnan(x))
        if len(gaps):
            x = x.copy()
            x.reshape(-1)[gaps] = self.fill[gaps % len(self.fill)]
        bounded = np.isfinite(self.low).any() or np.isfinite(self.high).any()
        return np.clip(x, self.low, self.high) if bounded else x

    def _scaling(self, x: Matrix, q1: Vector, median: Vector, q3: Vector) -> tuple[Vector, Vector]:
        d = x.shape[1]
        if self.config.scale == "none":
            return np.zeros(d), np.ones(d)
        mean, deviation = x.mean(axis=0), x.std(axis=0)
        spread = q3 - q1
        if self.config.scale == "standard":
            robust = np.zeros(d, dtype=bool)
        elif self.config.scale == "robust":
            robust = spread > 0
        else:
            low, high = _borders(q1, q3, spread, OUTLIER_RANGES)
            robust = (spread > 0) & ((x < low) | (x > high)).any(axis=0)
        center, scale = np.where(robust, median, mean), np.where(robust, spread, deviation)
        return center, np.where(scale > 0, scale, 1.0)

    def state(self) -> Mapping[str, Vector]:
        """All that was learnt."""
        return {name: getattr(self, name) for name in ("fill", "low", "high", "center", "scale")}

    @classmethod
    def restore(cls, config: PreparationConfig, state: Mapping[str, Any], columns: int) -> Self:
        """The preparation that had this state, of `columns` columns.

        Raises
        ------
        IntegrityError
            If an array is no such thing, or a border or a scale is not a usable number.
        """
        borders, finite = Array((columns,), least=-inf, most=inf), Array((columns,))
        wanted = {"fill": finite, "low": borders, "high": borders, "center": finite}
        arrays = checked(state, {**wanted, "scale": Array((columns,), least=_LEAST_SCALE)}, "preparation")
        if (arrays["low"] > arrays["high"]).any():
            raise IntegrityError("preparation.low", "a border above the one on the other side", "low up to high")
        preparation = cls(config)
        for name, array in arrays.items():
            setattr(preparation, name, array)
        return preparation


def _quartiles(x: Matrix, *, complete: bool) -> tuple[Vector, Vector, Vector]:
    q1, median, q3 = (np.quantile if complete else np.nanquantile)(x, (0.25, 0.5, 0.75), axis=0)
    return q1, median, q3


def _borders(q1: Vector, q3: Vector, spread: Vector, ranges: float | None) -> tuple[Vector, Vector]:
    """A column whose middle half is one value has no spread to measure by: it keeps all its values."""
    if ranges is None:
        return np.full_like(q1, -np.inf), np.full_like(q3, np.inf)
    open_ended = spread == 0
    low, high = q1 - ranges * spread, q3 + ranges * spread
    return np.where(open_ended, -np.inf, low), np.where(open_ended, np.inf, high)
