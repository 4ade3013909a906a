"""Which part of the week the candidate has seen."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tocsin.evaluation.gates.base import NO_CHAMPION, NO_CLOCK, Asked, Case, gate
from tocsin.evaluation.subject import Subject
from tocsin.records import DAY, Judgement


@gate(">= 0.5")
def coverage(case: Case, asked: Asked) -> Iterator[Judgement]:
    """A model that never saw a Sunday rings on every Sunday, or learns from two days what a fortnight showed."""
    if case.champion is None or not len(case.champion.training.span) or not len(case.candidate.training.span):
        yield asked.skipped(NO_CHAMPION if case.champion is None else NO_CLOCK)
        return
    (had, on), (has, seen) = _covered(case.champion), _covered(case.candidate)
    told = f"it covers {has:.3g} days on {seen} days of the week, the champion {had:.3g} on {on}"
    yield asked.judged(min(has / had if had else 1.0, seen / max(on, 1)), told)


def _covered(subject: Subject) -> tuple[float, int]:
    first, last = subject.training.span.tolist()
    return (last - first) / DAY, int(np.count_nonzero(subject.profile.weekdays))
