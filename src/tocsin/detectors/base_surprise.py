"""What a score says beside others: how rarely normal rows score as high, on a scale that all detectors share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from tocsin.arrays import Array, checked
from tocsin.calibration import ScoreRanks
from tocsin.errors import IntegrityError
from tocsin.records import Vector

TAIL_SHARE = 0.1
MOST_IN_TAIL = 200
"""Highest scores whose mean excess is the measure of everything beyond them."""
MAX_SURPRISE = 1_000.0
# Scores further out count as this far out, and no scale is smaller than one part of it: no quotient overflows.
_FURTHEST = 1e150
# Scores of one row differ by some 1e-15 of themselves between machines; what is made of them must not by 1e-9.
_ROUNDING = 1e-5
_ARRAYS = {
    "levels": Array(("levels",), least=-_FURTHEST, most=_FURTHEST),
    "surprises": Array(("levels",), least=0, most=MAX_SURPRISE),
    "scale": Array((1,), least=1.0 / _FURTHEST, most=2.0 * _FURTHEST),
}


@dataclass(frozen=True, slots=True, eq=False)
class Surprise:
    """Scores -> minus the logarithm of their p-values, without ties among scores that differ.

    Between two learnt scores the logarithm runs straight on. Beyond the highest, where counting ends, it grows with
    the logarithm of the distance: a tail in which no detector can shout all others down.

    Parameters
    ----------
    levels
        Scores of normal rows that the detector has not learnt from, ascending and distinct, (m,).
    surprises
        -log p at each of them, (m,), ascending.
    scale
        Mean excess of the highest scores, (1,): the distance beyond all levels that halves p.
    """

    levels: Vector
    surprises: Vector
    scale: Vector

    @classmethod
    def of(cls, scores: Vector) -> Self:
        """Learn from scores (n,), n >= 1, finite; keeps a few thousand numbers, however many there are."""
        scores = _bounded(scores)
        ranks = ScoreRanks.of(scores)
        tail = np.sort(scores)[-min(max(2, round(TAIL_SHARE * len(scores))), MOST_IN_TAIL) :]
        scale = max(float(np.mean(tail - tail[0])), 1.0 / _FURTHEST)
        levels = _apart(np.unique(np.concatenate([ranks.grid, ranks.top])), scale)
        return cls(levels, -np.log(ranks.p_value(levels)), np.array([scale]))

    def __call__(self, scores: Vector) -> Vector:
        """-log p of scores (n,): 0 for the most usual, (n,) float64, growing with the score."""
        scores = _bounded(scores)
        beyond = np.maximum(scores - self.levels[-1], 0.0) / self.scale
        return np.asarray(np.interp(scores, self.levels, self.surprises) + np.log1p(beyond))

    def state(self) -> dict[str, Vector]:
        """Arrays by name."""
        return {"levels": self.levels, "surprises": self.surprises, "scale": self.scale}

    @classmethod
    def restore(cls, state: Mapping[str, Any], where: str) -> Self:
        """What `state` wrote.

        Raises
        ------
        IntegrityError
            If an array is missing, or could give anything but finite surprise that grows with the score.
        """
        whole = cls(**checked(state, _ARRAYS, where))
        if not len(whole.levels) or (np.diff(whole.levels) <= 0).any() or (np.diff(whole.surprises) < 0).any():
            raise IntegrityError(where, "scores and surprises that do not fit", "some that ascend together")
        return whole


def _bounded(scores: Vector) -> Vector:
    return np.clip(scores, -_FURTHEST, _FURTHEST)


def _apart(levels: Vector, scale: float) -> Vector:
    """Of ascending levels those that are no rounding of each other, on this machine or on another."""
    kept = [levels[0]]
    for level in levels[1:]:
        if level - kept[-1] > _ROUNDING * max(abs(level), scale):
            kept.append(level)
    return np.array(kept)
