"""Attacks that must always be found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tocsin.evaluation.gates.base import NO_CHAMPION, NO_PINS, SHARE, Asked, Case, gate
from tocsin.records import Judgement

NAMED = 3
"""Attacks named in a sentence."""


@gate(">= 0.9", within=SHARE)
def golden(case: Case, asked: Asked) -> Iterator[Judgement]:
    """Poison moves a model so slowly that neither false alarms nor the last champion show it; these rows never move.

    Of the attacks that the anchor rang for. What not even the anchor finds is named, and is no part of it.
    """
    on_pins = case.candidate.on_pins
    if case.pins is None:
        yield asked.skipped(NO_PINS)
        return
    if uncovered := case.pins.uncovered:
        told = f"{len(uncovered)} attacks, which not even the anchor rings for ({_named(uncovered)})"
        yield Judgement(asked.name, "covered", told, passed=False, reason=f"golden does not cover {told}", asked=False)
    if on_pins is None:
        yield asked.judged(0.0, "it cannot read the pinned rows; if the telemetry is another one, pin anew")
        return
    if not len(on_pins.rung):
        yield asked.skipped("the anchor rings for no attack at all")
        return
    missed = dict.fromkeys(np.array(case.pins.attacks)[~on_pins.rung].tolist())
    told = f"of {len(on_pins.rung)} pinned attacks it misses {_named(tuple(missed)) if missed else 'none'}"
    yield asked.judged(float(on_pins.rung.mean()), told)


@gate("<= 0.02", within=SHARE)
def golden_loss(case: Case, asked: Asked) -> Iterator[Judgement]:
    """A floor alone would let a model sink to it, a step at a time.

    Of the share of pinned attacks that it finds less than the anchor, which finds them all, or would a chain of
    champions lose a little each time; a single attack is chance.
    """
    if case.pins is None or case.champion is None:
        yield asked.skipped(NO_PINS if case.pins is None else NO_CHAMPION)
        return
    now = case.candidate.on_pins
    if now is None or not len(now.rung):
        yield asked.skipped("it cannot read the pinned rows, or none of them is an attack")
        return
    lost, of = int((~now.rung).sum()), len(now.rung)
    yield asked.judged(lost / of if lost > 1 else 0.0, f"it finds {of - lost} of {of} pinned attacks")


def _named(attacks: Sequence[str]) -> str:
    more = len(attacks) - NAMED
    return ", ".join(attacks[:NAMED]) + (f" and {more} more" if more > 0 else "")
