"""Values that the candidate's rows lack."""

from __future__ import annotations

from collections.abc import Iterator

from tocsin.evaluation.gates.base import EITHER_WAY, NO_CHAMPION, Asked, Case, gate
from tocsin.records import Judgement


@gate("<= 0.1", within=EITHER_WAY)
def missing(case: Case, asked: Asked) -> Iterator[Judgement]:
    """A field that a collector no longer fills becomes normal when it is missing, and no attack on it is seen."""
    if case.champion is None:
        yield asked.skipped(NO_CHAMPION)
        return
    had = dict(zip(case.champion.fields, case.champion.profile.missing.tolist(), strict=True))
    has = dict(zip(case.candidate.fields, case.candidate.profile.missing.tolist(), strict=True))
    risen = {name: has[name] - share for name, share in had.items() if name in has}
    if not risen:
        yield asked.skipped("the champion's telemetry had other fields")
        return
    worst = max(risen, key=lambda name: risen[name])
    told = f"{worst} is missing in {has[worst]:.1%} of its rows, in {had[worst]:.1%} of the champion's"
    yield asked.judged(risen[worst], told)
