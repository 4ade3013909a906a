"""Rows that nobody can have measured yet."""

from __future__ import annotations

from collections.abc import Iterator

from tocsin.evaluation.gates.base import NO_CLOCK, Asked, Case, gate
from tocsin.records import SECOND, Judgement


@gate("<= 5m", unit="s")
def future(case: Case, asked: Asked) -> Iterator[Judgement]:
    """A clock that runs ahead, or a time zone that was lost: hours of the day and windows are then wrong as well."""
    if case.last is None:
        yield asked.skipped(NO_CLOCK)
        return
    ahead = max(0.0, case.last / SECOND - case.now.timestamp())
    yield asked.judged(ahead, "the last row that was read lies in the future" if ahead else "no row lies in the future")
