"""Whether the reasons are true: take them away, and see whether the alert goes.

A reason is taken away by giving its feature the value that a normal row like this one had, in all the rows that made
the score. If the three strongest are taken, an alert should be gone; if any three are, it should stay. Taken away one
after another, the score should fall sooner in the order of the reasons than in a random one.

Source: Samek, Binder, Montavon, Lapuschkin and Müller, Evaluating the Visualization of What a Deep Neural Network Has
Learned, IEEE TNNLS 28(11), 2017 (area over the perturbation curve).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tocsin.evaluation.bootstrap import bootstrapped
from tocsin.evaluation.evidence import Evidence, Rescoring, Rows
from tocsin.evaluation.measures import NOTHING_FLAGGED, Figure, missing, rate
from tocsin.model.reasons import REASONS
from tocsin.records import Mask, Matrix, Vector

ALERTS = 200
"""Flagged rows that are tried, evenly from the first to the last."""
TAKEN = 10
"""Features that are taken away one after another."""

FIGURES = ("fidelity_top3", "fidelity_random3", "deletion_gain")


def fidelity_figures(evidence: Evidence) -> dict[str, Figure]:
    """Share of flagged rows that are cleared without their top three reasons, and without any three; and the gain.

    `deletion_gain` is how much the score falls on average while up to ten features are taken away in the order of the
    reasons, over how much it falls in a random order. Falls are shares of what taking all features would bring.
    """
    if evidence.rescoring is None:
        return dict.fromkeys(FIGURES, missing("not measured"))
    rows = np.flatnonzero(evidence.scores.flagged & evidence.ready)
    if not len(rows):
        return dict.fromkeys(FIGURES, missing(NOTHING_FLAGGED))
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, ALERTS).astype(np.intp))]
    deletion = _Deletion(evidence, evidence.rescoring, rows)
    by_reasons = np.argsort(-evidence.explain(rows), axis=1, kind="stable")
    rng = np.random.default_rng(evidence.seed)
    at_random = rng.permuted(np.tile(np.arange(by_reasons.shape[1]), (len(rows), 1)), axis=1)
    remark = f"there are only {by_reasons.shape[1]} features" if by_reasons.shape[1] <= REASONS else ""
    return {
        "fidelity_top3": rate(*deletion.cleared(by_reasons), NOTHING_FLAGGED).remarked(remark),
        "fidelity_random3": rate(*deletion.cleared(at_random), NOTHING_FLAGGED).remarked(remark),
        "deletion_gain": _gain(deletion.falls(by_reasons), deletion.falls(at_random), evidence.seed),
    }


class _Deletion:
    """Flagged rows with features taken away."""

    def __init__(self, evidence: Evidence, rescoring: Rescoring, rows: Rows) -> None:
        self._rescoring, self._level, self._rows = rescoring, evidence.level, rows
        self._normal = rescoring.normal_rows(rows)
        self._score = evidence.scores.score[rows]

    def without(self, taken: Mask) -> Vector:
        """Scores without the features marked, (k, d) -> (k,)."""
        return self._rescoring.score(self._rows, np.where(taken, self._normal, np.nan))

    def cleared(self, order: NDArray[np.intp]) -> tuple[int, int]:
        """Rows below the level once the first three of each order are gone, and all rows."""
        left = self.without(_first(order, REASONS))
        return int(np.count_nonzero(left < self._level)), len(left)

    def falls(self, order: NDArray[np.intp]) -> Vector:
        """Mean fall of each row's score over the features taken one after another, (k,); NaN where none ever falls."""
        width = order.shape[1]
        whole = self._score - self.without(np.ones(order.shape, dtype=bool))
        fallen = [self._score - self.without(_first(order, number)) for number in range(1, min(width, TAKEN) + 1)]
        return np.where(whole > 0, np.mean(fallen, axis=0) / np.where(whole > 0, whole, 1.0), np.nan)


def _first(order: NDArray[np.intp], number: int) -> Mask:
    taken = np.zeros(order.shape, dtype=bool)
    np.put_along_axis(taken, order[:, :number], values=True, axis=1)
    return taken


def _gain(by_reasons: Vector, at_random: Vector, seed: int) -> Figure:
    falls: Matrix = np.stack((by_reasons, at_random), axis=1)
    falls = falls[~np.isnan(falls).any(axis=1)]
    if not len(falls) or falls[:, 1].sum() <= 0:
        return missing("a random order never lowers the scores, so there is nothing to compare with")

    def gain(drawn: Matrix) -> float:
        ours, random = drawn.sum(axis=0).tolist()
        return float(ours / random) if random > 0 else np.nan

    return bootstrapped(falls, gain, seed)
