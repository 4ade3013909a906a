"""Recall of anomalies put into the pinned rows, with the levels of two models set to the same share of alerts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tocsin.evaluation.gates.base import NO_CHAMPION, NO_PINS, Asked, Case
from tocsin.evaluation.standing import Standing
from tocsin.records import Judgement, Mask
from tocsin.synthetic.injection import Kind

BUDGET = 0.05
"""Share of the clean rows that either model may ring for."""
FEWEST = 20
"""Anomalies of which a recall can be told."""


def lost(case: Case, asked: Asked, kinds: Sequence[Kind]) -> Judgement:
    """How much lower the candidate's recall of these kinds is than the champion's."""
    if case.champion is None or case.pins is None or case.kinds is None:
        return asked.skipped(NO_CHAMPION if case.champion is None else NO_PINS)
    before, now = case.champion.standing, case.candidate.standing
    if before is None or now is None:
        return asked.skipped("one of the two cannot read the pinned rows")
    chosen = np.isin(case.kinds, kinds)
    if chosen.sum() < FEWEST:
        return asked.skipped(f"{chosen.sum()} such anomalies fit into the pinned rows, fewer than {FEWEST}")
    had, has = (float(_found(standing)[chosen].mean()) for standing in (before, now))
    told = f"it finds {has:.1%} of {chosen.sum()} fresh anomalies ({', '.join(kinds)}), the champion {had:.1%}"
    return asked.judged(max(0.0, had - has), told)


def _found(standing: Standing) -> Mask:
    usual = standing.usual[standing.ready]
    if not len(usual):
        return np.zeros(len(standing.peaks), dtype=bool)
    return np.asarray(standing.peaks > np.quantile(usual, 1 - BUDGET, method="higher"))
