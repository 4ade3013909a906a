"""How much the candidate learnt from."""

from __future__ import annotations

from collections.abc import Iterator

from tocsin.evaluation.gates.base import NO_CHAMPION, Asked, Case, gate
from tocsin.records import Judgement


@gate(">= 0.5")
def rows(case: Case, asked: Asked) -> Iterator[Judgement]:
    """Half of the rows are gone: a source that broke off teaches what is left of a day to be all of it."""
    if case.champion is None:
        yield asked.skipped(NO_CHAMPION)
        return
    had, has = (int(subject.training.counts[0]) for subject in (case.champion, case.candidate))
    yield asked.judged(has / max(had, 1), f"it learnt from {has:,} rows, the champion from {had:,}")
