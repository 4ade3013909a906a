"""Attacks that must always be found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tocsin.evaluation.gates.base import NO_PINS, Asked, Case, gate
from tocsin.records import Judgement

NAMED = 10
"""Attacks named in a sentence."""


@gate(">= 0.9")
def golden(case: Case, asked: Asked) -> Iterator[Judgement]:
    """Poison moves a model so slowly that neither false alarms nor the last champion show it; these rows never move.

    Of the attacks that the anchor rang for. What not even the anchor finds is named, and is no part of it.
    """
    standing = case.candidate.standing
    if case.pins is None:
        yield asked.skipped(NO_PINS)
        return
    if uncovered := case.pins.uncovered:
        told = f"{len(uncovered)} attacks, which not even the anchor rings for ({_named(uncovered)})"
        yield Judgement(asked.name, "covered", told, passed=False, reason=f"golden does not cover {told}", asked=False)
    if standing is None:
        yield asked.judged(0.0, "it cannot read the pinned rows; if the telemetry is another one, pin anew")
        return
    if not len(standing.rung):
        yield asked.skipped("the anchor rings for no attack at all")
        return
    missed = dict.fromkeys(np.array(case.pins.attacks)[~standing.rung].tolist())
    told = f"of {len(standing.rung)} pinned attacks it misses {_named(tuple(missed)) if missed else 'none'}"
    yield asked.judged(float(standing.rung.mean()), told)


def _named(attacks: Sequence[str]) -> str:
    more = len(attacks) - NAMED
    return ", ".join(attacks[:NAMED]) + (f" and {more} more" if more > 0 else "")
