"""Whether what is stored is what was trained."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tocsin.evaluation.gates.base import Asked, Case, gate
from tocsin.records import Judgement


@gate(">= 2", unit="count")
def self_test(case: Case, asked: Asked) -> Iterator[Judgement]:
    """A model that cannot be rebuilt from its files, or says the same of every row, is none.

    Of the different scores that the rebuilt model gives to the test rows.
    """
    if case.replayed:
        yield asked.judged(0, f"its files do not give the model that was trained ({case.replayed})")
        return
    distinct = len(np.unique(case.candidate.scores[np.isfinite(case.candidate.scores)]))
    yield asked.judged(
        distinct, f"different scores on {len(case.candidate.scores):,} test rows, rebuilt from its files"
    )
