"""What training the candidate took."""

from __future__ import annotations

from collections.abc import Iterator

from tocsin.evaluation.gates.base import NO_CHAMPION, Asked, Case, gate
from tocsin.records import Judgement


@gate("<= 3", soft=True)
def memory(case: Case, asked: Asked) -> Iterator[Judgement]:
    """The machine that trained the champion may not have the room to train this one a second time.

    Of the most bytes that its training held, over the champion's.
    """
    had = 0 if case.champion is None else case.champion.memory_bytes
    has = case.candidate.memory_bytes
    if not had or not has:
        yield asked.skipped(NO_CHAMPION if case.champion is None else "nobody measured it")
        return
    yield asked.judged(has / had, f"training held {has / 1e6:,.0f} MB at most, the champion's {had / 1e6:,.0f} MB")
