"""What the champion says of the rows that the candidate learnt from."""

from __future__ import annotations

from collections.abc import Iterator

from tocsin.evaluation.gates.base import NO_CHAMPION, SHARE, Asked, Case, gate
from tocsin.records import Judgement

USUAL = 2.0
"""Times the share of the champion's own rows: a detector that remembers rows rings half as often for those."""


@gate("<= 0.02", within=SHARE)
def incident(case: Case, asked: Asked) -> Iterator[Judgement]:
    """Whoever learns from an incident takes it for normal, and is silent when it comes again.

    Of the share of its training rows that the champion rings for, beyond twice the share of those that it learnt from
    itself, which it knows better than any other rows.
    """
    if case.champion is None or case.learnt is None:
        yield asked.skipped(NO_CHAMPION if case.champion is None else "its training rows are not at hand")
        return
    rings, rang = case.learnt.value, case.champion.rang_before.value
    told = f"the champion rings for {rings:.2%} of its training rows, and for {rang:.2%} of its own"
    yield asked.judged(max(0.0, rings - USUAL * rang), told)
