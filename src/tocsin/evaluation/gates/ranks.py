"""Whether the candidate puts rows into the same order as the champion, and as the model that rows were pinned with."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tocsin.evaluation.gates.base import EITHER_WAY, NO_CHAMPION, NO_PINS, Asked, Case, gate
from tocsin.records import Judgement, Vector


@gate(">= 0.8", within=EITHER_WAY, soft=True)
def agreement(case: Case, asked: Asked) -> Iterator[Judgement]:
    """Columns in another order, another scale, or a better idea: who ranks rows otherwise is for a person to see."""
    if case.champion is None or not len(case.champion.scores):
        yield asked.skipped(NO_CHAMPION if case.champion is None else "the champion cannot read the test rows")
        return
    found = spearman(case.candidate.scores, case.champion.scores)
    yield asked.judged(found, f"rank correlation with the champion on {len(case.candidate.scores):,} test rows")


@gate(">= 0.5", within=EITHER_WAY, soft=True)
def anchor(case: Case, asked: Asked) -> Iterator[Judgement]:
    """Twenty steps that are small each can lead anywhere: the sum of them is held against where they began."""
    now = case.candidate.on_pins
    if case.pins is None or now is None:
        yield asked.skipped(NO_PINS)
        return
    both = now.ready & ~np.isnan(case.pins.usual)
    if not both.any():
        yield asked.skipped("no pinned row has a full window behind it")
        return
    found = spearman(case.pins.usual[both], now.usual[both])
    yield asked.judged(found, f"rank correlation with the anchor on {both.sum():,} pinned rows")


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
