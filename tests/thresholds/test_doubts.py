"""What speaks against a promise is said, and nothing where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest

from tocsin import log
from tocsin.records import SECOND, Vector
from tocsin.thresholds.base import AlertBudget, Calibration
from tocsin.thresholds.conformal import Conformal

MINUTE = 60 * SECOND
WEEKS = 14 * 1_440


def promised(scores: Vector, budget: AlertBudget | None = None) -> str | None:
    times = np.arange(len(scores), dtype=np.int64) * MINUTE
    doubts: str | None = (
        Conformal().fit(Calibration(scores, times), budget or AlertBudget(per_day=3.0)).promise()["doubts"]
    )
    return doubts


def test_two_weeks_of_calm_are_beyond_doubt(rng: np.random.Generator) -> None:
    doubted = [promised(rng.normal(size=WEEKS)) for _ in range(20)]
    assert doubted.count(None) >= 18


def test_scores_that_grow_over_the_span_are_told(rng: np.random.Generator, capsys: pytest.CaptureFixture[str]) -> None:
    before = log.counters().get('tocsin_budget_doubted_total{reason="trend"}', 0)
    assert promised(rng.normal(size=WEEKS) + np.linspace(0.0, 1.0, WEEKS)) == "trend"
    assert log.counters()['tocsin_budget_doubted_total{reason="trend"}'] - before == 1
    assert "scores grow over the span" in capsys.readouterr().out
    assert promised(rng.normal(size=WEEKS) - np.linspace(0.0, 1.0, WEEKS)) == "trend"


def test_scores_alike_for_longer_than_a_block_are_told(
    rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert promised(rng.normal(size=WEEKS) + np.repeat(rng.normal(size=WEEKS // 360), 360) * 2.0) == "alike"
    assert "h, a block is 1 h" in capsys.readouterr().out


def test_a_day_and_night_are_alike_until_a_block_is_a_day(rng: np.random.Generator) -> None:
    times = np.arange(4 * WEEKS, dtype=np.int64) * MINUTE
    scores = rng.normal(size=4 * WEEKS) + 2.0 * np.sin(2 * np.pi * np.arange(4 * WEEKS) / 1_440)
    hourly, daily = (
        Conformal(block=block).fit(Calibration(scores, times), AlertBudget(per_day=3.0)).promise()
        for block in (3_600.0, 86_400.0)
    )
    assert (hourly["doubts"], daily["doubts"]) == ("alike", None)


def test_a_budget_held_by_a_few_blocks_is_told(rng: np.random.Generator) -> None:
    assert promised(rng.normal(size=600), AlertBudget(per_day=100.0)) == "few_blocks"


@pytest.mark.parametrize("budget", [AlertBudget(per_day=3.0), AlertBudget(per_row=0.01)])
def test_scores_that_are_all_one_are_told(budget: AlertBudget) -> None:
    assert promised(np.full(WEEKS, 7.0), budget) == "constant"


def test_rows_that_depend_on_each_other_are_told_of_a_budget_in_rows(rng: np.random.Generator) -> None:
    assert promised(np.repeat(rng.normal(size=500), 20), AlertBudget(per_row=0.01)) == "alike"
    assert promised(rng.normal(size=5_000), AlertBudget(per_row=0.01)) is None


def test_without_a_clock_no_order_is_doubted(rng: np.random.Generator) -> None:
    sorted_rows = np.sort(rng.normal(size=2_000))
    assert Conformal().fit(Calibration(sorted_rows), AlertBudget(per_row=0.01)).promise()["doubts"] is None
