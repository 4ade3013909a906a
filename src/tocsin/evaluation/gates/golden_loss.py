"""Attacks that the anchor finds and the candidate no longer does."""

from __future__ import annotations

from collections.abc import Iterator

from tocsin.evaluation.gates.base import NO_CHAMPION, NO_PINS, Asked, Case, gate
from tocsin.records import Judgement


@gate("<= 0.02")
def golden_loss(case: Case, asked: Asked) -> Iterator[Judgement]:
    """A floor alone would let a model sink to it, a step at a time.

    Of the share of pinned attacks that it finds less than the anchor, which finds them all, or would a chain of
    champions lose a little each time; a single attack is chance.
    """
    if case.pins is None or case.champion is None:
        yield asked.skipped(NO_PINS if case.pins is None else NO_CHAMPION)
        return
    now = case.candidate.standing
    if now is None or not len(now.rung):
        yield asked.skipped("it cannot read the pinned rows, or none of them is an attack")
        return
    lost, of = int((~now.rung).sum()), len(now.rung)
    yield asked.judged(lost / of if lost > 1 else 0.0, f"it finds {of - lost} of {of} pinned attacks")
