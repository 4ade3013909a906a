"""Why a row scored as it did, in words that a person can check: a feature, its value, what is usual, what is alike.

A feature is held against the training rows that are most like this row in everything else: what those had is what
could have been expected of it here, at this hour and under this load.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

from tocsin.detectors.base import Detector
from tocsin.model.training_rows import USUAL, TrainingRows
from tocsin.records import Matrix, Reason, Vector

REASONS = 3
"""Features named for a row."""
SIMILAR = 64
"""Typical training rows that a row is held against, a quarter of those kept."""
FAR = 1.0
"""Scales of a column beyond which a difference counts no more: one wild value does not make a row unlike all others."""
_TIE = 1e-6
"""Weight of the feature itself: it decides where nothing else does."""

Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Explainer:
    """Explains rows of a fitted model.

    Parameters
    ----------
    detector
        Fitted.
    prepare
        Features as computed, (n, steps * d) -> what the detector sees, (n, d) or (n, steps, d).
    names, units
        Of the features, (d,), and the unit of each.
    training
        What is remembered of the training rows.
    typical
        `training.typical` prepared, (k, d).
    """

    detector: Detector
    prepare: Callable[[Matrix], Matrix]
    names: tuple[str, ...]
    units: Mapping[str, str]
    training: TrainingRows
    typical: Matrix

    def contributions(self, values: Matrix) -> Matrix:
        """Each feature's share in each row's score, (n, d), over all rows that made the score."""
        return np.asarray(self._shares(self._sequences(values)).sum(axis=1))

    def reasons(self, values: Matrix) -> list[tuple[Reason, ...]]:
        """For each row those features that pushed its score up the most, strongest first.

        A feature is shown with its value in the row that weighed most: `load@2` stood two rows before the one that
        rings.
        """
        if not len(values):
            return []
        prepared = self._sequences(values)
        sequences, shares = values.reshape(prepared.shape), self._shares(prepared)
        contributions, ago = shares.sum(axis=1), shares.shape[1] - 1 - shares.argmax(axis=1)
        named = leading(contributions)
        apart = [distances(row, self.typical) for row in prepared[:, -1]]
        usual = self.training.usual

        def reason(row: int, column: int) -> Reason:
            name, back = self.names[column], int(ago[row, column])
            similar = np.argsort(apart[row][:, column], kind="stable")[:SIMILAR]
            low, high, normal = _expected(self.training.typical[similar, column])
            return Reason(
                feature=f"{name}@{back}" if back else name,
                value=float(sequences[row, -1 - back, column]),
                usual_low=float(usual[0, column]),
                usual_high=float(usual[1, column]),
                contribution=float(contributions[row, column]),
                unit=self.units[name],
                similar_low=low,
                similar_high=high,
                normal=normal,
            )

        return [tuple(reason(row, column) for column in columns) for row, columns in enumerate(named.tolist())]

    def normal_rows(self, values: Matrix) -> Matrix:
        """Each feature as the typical row had it that is most like the row in everything else, prepared, (n, d)."""
        normal, columns = np.empty((len(values), len(self.names))), np.arange(len(self.names))
        for place, row in enumerate(self._sequences(values)[:, -1]):
            normal[place] = self.typical[distances(row, self.typical).argmin(axis=0), columns]
        return normal

    def rescored(self, values: Matrix, instead: Matrix) -> Vector:
        """Scores of rows with other prepared features in all steps, (n, d); NaN keeps what the row has."""
        prepared = self._sequences(values)
        changed = np.where(np.isnan(instead)[:, None], prepared, instead[:, None])
        return self.detector.score(changed if self.detector.steps > 1 else changed[:, 0])

    def _sequences(self, values: Matrix) -> Matrix:
        """Prepared rows, (n, steps, d), the oldest first."""
        return self.prepare(values).reshape(len(values), self.detector.steps, len(self.names))

    def _shares(self, prepared: Matrix) -> Matrix:
        rows = prepared if self.detector.steps > 1 else prepared[:, 0]
        return self.detector.explain(rows).reshape(prepared.shape)


def leading(contributions: Matrix) -> Places:
    """The features with the largest contributions to each row of (n, d), largest first, (n, `REASONS` at most)."""
    return np.argsort(-contributions, axis=1, kind="stable")[:, :REASONS]


def distances(row: Vector, typical: Matrix) -> Matrix:
    """How far a row (d,) is from each typical row (k, d) in all features but one, (k, d): in each but that one."""
    apart = np.minimum(np.abs(typical - row), FAR)
    return np.asarray(apart.sum(axis=1, keepdims=True) - (1 - _TIE) * apart)


def _expected(values: Vector) -> tuple[float, float, float]:
    """Between what similar rows lie, and what the nearest of them had; rows without a value say nothing."""
    present = values[~np.isnan(values)]
    if not len(present):
        return nan, nan, nan
    low, high = np.quantile(present, USUAL)
    return float(low), float(high), float(present[0])
