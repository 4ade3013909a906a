"""How the candidate did on live rows, beside the champion."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from tocsin.evaluation.gates.base import NO_CHAMPION, Asked, Case, gate
from tocsin.records import Judgement

FEWEST = 10
"""Alerts of both together of which a ratio can be told."""


@gate("<= 2", within=(1.0, inf))
def shadow(case: Case, asked: Asked) -> Iterator[Judgement]:
    """Today's telemetry is not the history that a candidate was judged on: whoever rings for nothing there, or no more.

    How many times as often, or as seldom, the candidate would have rung as the champion did on the same live rows.
    """
    beside = case.beside
    if case.champion is None or beside is None:
        yield asked.skipped(NO_CHAMPION if case.champion is None else "it was not scored beside the champion")
        return
    rang, would = beside.alerts
    if not beside.enough or rang + would < FEWEST:
        yield asked.skipped(f"{rang + would} alerts in {beside.rows:,} rows beside the champion tell too little")
        return
    ratio = max(beside.alert_ratio, 1 / beside.alert_ratio)
    told = f"beside the champion it would have rung {would:,} times in {beside.rows:,} rows, the champion rang {rang:,}"
    told += f"; ranks agree by {beside.agreement:.2f}, {beside.errors[1]:,} rows without a score"
    yield asked.judged(ratio, told)
