"""How long a single row takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tocsin.evaluation.comparison import Comparison
from tocsin.evaluation.gates.base import NO_CHAMPION, Asked, Case, gate
from tocsin.records import Judgement

SLOWEST = Comparison.parse("<= 1s", "ms")


@gate("<= 3")
def latency(case: Case, asked: Asked) -> Iterator[Judgement]:
    """A stream that fed the champion would overrun a slower model, which is then late for every alert.

    Of the median over the champion's, both measured in turns in the same run: a percentile of so few rows would tell
    what else the machine was doing. The 99th percentile must not be above a second, whoever is champion.
    """
    if (slowest := case.report["figures"]["latency_p99_ms"]["value"]) is not None:
        yield replace(asked, bound=SLOWEST).judged(slowest, "99th percentile of single rows")
    if case.champion is None or not case.champion.latency_ms:
        yield asked.skipped(NO_CHAMPION)
        return
    had, has = case.champion.latency_ms, case.candidate.latency_ms
    yield asked.judged(has / had, f"median of single rows {has:.3g} ms, the champion's {had:.3g} ms")
