"""When the candidate's rows were measured: not before the champion's, and not in the future."""

from __future__ import annotations

from collections.abc import Iterator

from tocsin.evaluation.gates.base import NO_CHAMPION, NO_CLOCK, Asked, Case, gate
from tocsin.records import DAY, SECOND, Judgement


@gate("<= 0.05")
def freshness(case: Case, asked: Asked) -> Iterator[Judgement]:
    """A copy of last month's telemetry, or a source that stopped, takes the champion back to where it has been.

    Of how much the champion's last training row is newer, as a share of the span that it learnt from.
    """
    if case.champion is None or not len(case.champion.training.span) or not len(case.candidate.training.span):
        yield asked.skipped(NO_CHAMPION if case.champion is None else NO_CLOCK)
        return
    first, before = case.champion.training.span.tolist()
    behind = max(0, before - int(case.candidate.training.span[1]))
    told = f"its last training row is {behind / DAY:.3g} days older than the champion's"
    yield asked.judged(behind / max(before - first, 1), told)


@gate("<= 5m", unit="s")
def future(case: Case, asked: Asked) -> Iterator[Judgement]:
    """A clock that runs ahead, or a time zone that was lost: hours of the day and windows are then wrong as well."""
    if case.last is None:
        yield asked.skipped(NO_CLOCK)
        return
    ahead = max(0.0, case.last / SECOND - case.now.timestamp())
    yield asked.judged(ahead, "the last row that was read lies in the future" if ahead else "no row lies in the future")
