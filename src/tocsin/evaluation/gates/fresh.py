"""Anomalies that nobody has seen before, found with the levels of two models set to the same share of alerts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tocsin.evaluation.gates.base import NO_CHAMPION, NO_PINS, SHARE, Asked, Case, gate
from tocsin.evaluation.subject import OnPins
from tocsin.records import Judgement, Mask
from tocsin.synthetic.injection import Kind

BUDGET = 0.05
"""Share of the clean rows that either model may ring for."""
FEWEST = 20
"""Anomalies of which a recall can be told."""


@gate("<= 0.1", within=SHARE)
def injected(case: Case, asked: Asked) -> Iterator[Judgement]:
    """Attacks that are made afresh for every candidate: who knows the pinned ones could spare them.

    Both models ring for the same share of the clean rows, so that nobody wins by a lower level.
    """
    yield _lost(case, asked, ("spike", "shift", "ramp", "drop"))


@gate("<= 0.1", within=SHARE)
def held_out(case: Case, asked: Asked) -> Iterator[Judgement]:
    """Usual values that do not belong together, as no pinned attack has them: what no golden set holds is lost first.

    Both models ring for the same share of the clean rows, so that nobody wins by a lower level.
    """
    yield _lost(case, asked, ("swap", "mix"))


def _lost(case: Case, asked: Asked, kinds: Sequence[Kind]) -> Judgement:
    """How much lower the candidate's recall of these kinds is than the champion's."""
    if case.champion is None or case.pins is None or case.kinds is None:
        return asked.skipped(NO_CHAMPION if case.champion is None else NO_PINS)
    before, now = case.champion.on_pins, case.candidate.on_pins
    if before is None or now is None:
        return asked.skipped("one of the two cannot read the pinned rows")
    chosen = np.isin(case.kinds, kinds)
    if chosen.sum() < FEWEST:
        return asked.skipped(f"{chosen.sum()} such anomalies fit into the pinned rows, fewer than {FEWEST}")
    had, has = (float(_found(on_pins)[chosen].mean()) for on_pins in (before, now))
    told = f"it finds {has:.1%} of {chosen.sum()} fresh anomalies ({', '.join(kinds)}), the champion {had:.1%}"
    return asked.judged(max(0.0, had - has), told)


def _found(on_pins: OnPins) -> Mask:
    usual = on_pins.usual[on_pins.ready]
    if not len(usual):
        return np.zeros(len(on_pins.peaks), dtype=bool)
    return np.asarray(on_pins.peaks > np.quantile(usual, 1 - BUDGET, method="higher"))
