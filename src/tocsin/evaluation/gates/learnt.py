"""How much the candidate learnt from: rows, and hosts, services or links."""

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


@gate(">= 0.7")
def entities(case: Case, asked: Asked) -> Iterator[Judgement]:
    """A collector that lost some of its hosts is silent about them, and its model has never seen them."""
    if case.champion is None:
        yield asked.skipped(NO_CHAMPION)
        return
    had, has = (int(subject.training.counts[1]) for subject in (case.champion, case.candidate))
    if not had:
        yield asked.skipped("the telemetry names no entity")
        return
    yield asked.judged(has / had, f"it learnt from {has:,} entities, the champion from {had:,}")
