"""Anomalies of kinds that are not pinned, found at an equal budget."""

from __future__ import annotations

from collections.abc import Iterator

from tocsin.evaluation.gates.base import Asked, Case, gate
from tocsin.evaluation.gates.base_recall import lost
from tocsin.records import Judgement


@gate("<= 0.1")
def held_out(case: Case, asked: Asked) -> Iterator[Judgement]:
    """Usual values that do not belong together, as no pinned attack has them: what no golden set holds is lost first.

    Both models ring for the same share of the clean rows, so that nobody wins by a lower level.
    """
    yield lost(case, asked, ("swap", "mix"))
