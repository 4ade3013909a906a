"""How far the candidate has come from the model that the rows were pinned with."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tocsin.evaluation.gates.base import NO_PINS, Asked, Case, gate
from tocsin.evaluation.gates.base_ranks import spearman
from tocsin.records import Judgement


@gate(">= 0.5", soft=True)
def anchor(case: Case, asked: Asked) -> Iterator[Judgement]:
    """Twenty steps that are small each can lead anywhere: the sum of them is held against where they began."""
    now = case.candidate.standing
    if case.pins is None or now is None:
        yield asked.skipped(NO_PINS)
        return
    both = now.ready & ~np.isnan(case.pins.usual)
    if not both.any():
        yield asked.skipped("no pinned row has a full window behind it")
        return
    found = spearman(case.pins.usual[both], now.usual[both])
    yield asked.judged(found, f"rank correlation with the anchor on {both.sum():,} pinned rows")
