"""Anomalies among the calibration rows do not take the budget, and rows that are merely high are kept."""

from __future__ import annotations

import numpy as np
import pytest

from tocsin import log
from tocsin.records import SECOND, Mask, Vector
from tocsin.thresholds.base import AlertBudget, Calibration
from tocsin.thresholds.conformal import Conformal
from tocsin.thresholds.trimmed import Trimmed

WEEKLY = AlertBudget(per_day=3 / 7)


def five_minutes_apart(scores: Vector) -> Calibration:
    return Calibration(scores, 300 * SECOND * np.arange(len(scores), dtype=np.int64))


def with_incidents(rng: np.random.Generator, rows: int, share: float) -> tuple[Vector, Mask]:
    """Absolute normal scores, some of them replaced by others far out; and which."""
    scores, incident = np.abs(rng.normal(size=rows)), rng.random(rows) < share
    return np.where(incident, rng.uniform(8.0, 80.0, rows), scores), incident


def set_aside() -> int:
    return log.counters().get("tocsin_calibration_rows_set_aside_total", 0)


@pytest.mark.parametrize("rows", [400, 2_000, 8_000])
def test_unmarked_incidents_do_not_lift_the_level(rng: np.random.Generator, rows: int) -> None:
    scores, incident = with_incidents(rng, rows, 0.05)
    before = set_aside()
    level = Trimmed().fit(five_minutes_apart(scores), WEEKLY).promise()["level"]
    assert 2.5 < level < 6.0
    assert set_aside() - before >= incident.sum()
    assert Conformal().fit(five_minutes_apart(scores), WEEKLY).promise()["level"] > 8.0


def test_a_held_budget_is_kept_by_the_rows_that_are_left(rng: np.random.Generator) -> None:
    scores, incident = with_incidents(rng, 20_000, 0.05)
    trimmed = Trimmed().fit(Calibration(scores), AlertBudget(per_row=0.01))
    assert trimmed.promise()["state"] == "held"
    assert trimmed.flag(scores[~incident]).mean() == pytest.approx(0.01, rel=0.05)
    assert trimmed.flag(scores[incident]).all()


def test_where_nothing_stands_apart_a_held_budget_is_that_of_conformal(rng: np.random.Generator) -> None:
    calibration, budget = Calibration(rng.uniform(size=20_000)), AlertBudget(per_row=0.01)
    assert Trimmed().fit(calibration, budget).promise() == Conformal().fit(calibration, budget).promise()


def test_a_level_that_counts_cannot_hold_is_where_the_tail_of_most_rows_holds_it(rng: np.random.Generator) -> None:
    scores = rng.exponential(size=10_000)
    level = Trimmed().fit(Calibration(scores), AlertBudget(per_row=0.001)).promise()["level"]
    assert level >= np.log(1_000) * 0.9  # the true quantile is ln 1000


def test_more_than_a_tenth_is_no_exception_and_stays(rng: np.random.Generator) -> None:
    scores, _ = with_incidents(rng, 5_000, 0.15)
    before = set_aside()
    level = Trimmed().fit(Calibration(scores), AlertBudget(per_row=0.01)).promise()["level"]
    assert set_aside() == before
    assert level > 8.0


def test_scores_that_are_mostly_equal_keep_all_their_rows() -> None:
    scores = np.concatenate([np.zeros(950), np.arange(50.0)])
    before = set_aside()
    Trimmed().fit(Calibration(scores), AlertBudget(per_row=0.01))
    assert set_aside() == before
