"""What room the candidate takes: on a disk and on the way to an edge device, and in memory while it is trained."""

from __future__ import annotations

from collections.abc import Iterator

from tocsin.evaluation.gates.base import NO_CHAMPION, Asked, Case, gate
from tocsin.records import Judgement


@gate("<= 1")
def size(case: Case, asked: Asked) -> Iterator[Judgement]:
    """A model that does not fit is found out by the machine that has to hold it, at the time when it is needed.

    Of its bytes, as a share of `registry.max_size`.
    """
    share = case.size_bytes / case.max_size_bytes
    yield asked.judged(share, f"{case.size_bytes / 1e6:.3g} MB of {case.max_size_bytes / 1e6:.3g} MB")


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
