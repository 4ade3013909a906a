"""Anomalies that nobody has seen before, found at an equal budget."""

from __future__ import annotations

from collections.abc import Iterator

from tocsin.evaluation.gates.base import Asked, Case, gate
from tocsin.evaluation.gates.base_recall import lost
from tocsin.records import Judgement


@gate("<= 0.1")
def injected(case: Case, asked: Asked) -> Iterator[Judgement]:
    """Attacks that are made afresh for every candidate: who knows the pinned ones could spare them.

    Both models ring for the same share of the clean rows, so that nobody wins by a lower level.
    """
    yield lost(case, asked, ("spike", "shift", "ramp", "drop"))
