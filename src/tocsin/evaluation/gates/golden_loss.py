"""Attacks that the champion finds and the candidate no longer does."""

from __future__ import annotations

from collections.abc import Iterator

from tocsin.evaluation.gates.base import NO_CHAMPION, NO_PINS, Asked, Case, gate
from tocsin.records import Judgement


@gate("<= 0.02")
def golden_loss(case: Case, asked: Asked) -> Iterator[Judgement]:
    """A floor alone would let a model sink to it, a step at a time.

    Of the share of pinned attacks that it finds less than the champion; a single one is chance.
    """
    if case.pins is None or case.champion is None:
        yield asked.skipped(NO_PINS if case.pins is None else NO_CHAMPION)
        return
    before, now = case.champion.standing, case.candidate.standing
    if before is None or now is None or not len(now.rung):
        yield asked.skipped("one of the two cannot read the pinned rows, or none of them is an attack")
        return
    had, has, of = int(before.rung.sum()), int(now.rung.sum()), len(now.rung)
    lost = (had - has) / of if had - has > 1 else 0.0
    yield asked.judged(lost, f"it finds {has} of {of} pinned attacks, the champion {had}")
