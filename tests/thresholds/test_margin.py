from __future__ import annotations

import numpy as np
import pytest

from tocsin.records import SECOND
from tocsin.thresholds.base import AlertBudget, Calibration
from tocsin.thresholds.conformal import Conformal
from tocsin.thresholds.margin import Margin

HOURLY = AlertBudget(per_day=24.0, cooldown_s=30.0)


def half_a_minute(rng: np.random.Generator) -> Calibration:
    return Calibration(rng.normal(10.0, 1.0, 120), np.arange(120, dtype=np.int64) * SECOND // 4)


def test_a_short_history_gets_a_level_well_beyond_its_highest_score(rng: np.random.Generator) -> None:
    history = half_a_minute(rng)
    level = Margin(times=3.0).fit(history, HOURLY).promise()["level"]
    median, highest = np.median(history.scores), history.scores.max()
    assert level - median == pytest.approx(3.0 * (highest - median))


def test_the_level_moves_with_the_scores_unit_and_origin(rng: np.random.Generator) -> None:
    history = half_a_minute(rng)
    one = Margin().fit(history, HOURLY).promise()["level"]
    other = Margin().fit(Calibration(history.scores * 40.0 - 7.0, history.times), HOURLY).promise()["level"]
    assert other == pytest.approx(one * 40.0 - 7.0)


def test_scores_that_never_move_leave_room_for_the_least_distance() -> None:
    still = Calibration(np.zeros(120), np.arange(120, dtype=np.int64) * SECOND)
    margin = Margin(times=3.0, least=5.0).fit(still, HOURLY)
    assert margin.flag(np.array([0.0, 4.9, 5.1])).tolist() == [False, False, True]


def test_a_budget_that_counts_hold_needs_no_margin(rng: np.random.Generator) -> None:
    scores, budget = rng.normal(size=10_000), AlertBudget(per_row=0.01)
    with_margin, without = (kind().fit(Calibration(scores), budget).promise() for kind in (Margin, Conformal))
    assert with_margin == without


def test_what_it_promises_is_only_how_often_at_most(rng: np.random.Generator) -> None:
    history = half_a_minute(rng)
    promise, counted = (kind().fit(history, HOURLY).promise() for kind in (Margin, Conformal))
    assert promise["state"] == "provisional"
    assert promise["interval"] == [0.0, counted["interval"][1]]
    assert promise["level_p"] <= counted["level_p"]


@pytest.mark.parametrize(("name", "value"), [("times", 0.5), ("least", -1.0), ("times", float("nan"))])
def test_a_margin_that_is_none_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is .*, wanted a number of at least"):
        Margin(**{name: value})
