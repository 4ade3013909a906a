"""Whether candidate and champion find the same rows unusual."""

from __future__ import annotations

from collections.abc import Iterator

from tocsin.evaluation.gates.base import NO_CHAMPION, Asked, Case, gate
from tocsin.evaluation.gates.base_ranks import spearman
from tocsin.records import Judgement


@gate(">= 0.8", soft=True)
def agreement(case: Case, asked: Asked) -> Iterator[Judgement]:
    """Columns in another order, another scale, or a better idea: who ranks rows otherwise is for a person to see."""
    if case.champion is None or not len(case.champion.scores):
        yield asked.skipped(NO_CHAMPION if case.champion is None else "the champion cannot read the test rows")
        return
    found = spearman(case.candidate.scores, case.champion.scores)
    yield asked.judged(found, f"rank correlation with the champion on {len(case.candidate.scores):,} test rows")
