from __future__ import annotations

import numpy as np
import pytest

from tocsin.calibration import episodes
from tocsin.records import SECOND
from tocsin.thresholds.base import AlertBudget, Calibration
from tocsin.thresholds.quantile import Quantile

MINUTE = 60 * SECOND


def test_a_row_is_flagged_iff_its_p_value_is_within_the_share(rng: np.random.Generator) -> None:
    threshold = Quantile().fit(Calibration(rng.normal(size=5_000)), AlertBudget(per_row=0.01))
    fresh = rng.normal(size=5_000)
    np.testing.assert_array_equal(threshold.flag(fresh), threshold.p_value(fresh) <= 0.01)


def test_a_budget_a_day_becomes_rows_a_day(rng: np.random.Generator) -> None:
    scores, times = rng.normal(size=14 * 1_440), np.arange(14 * 1_440, dtype=np.int64) * MINUTE
    threshold = Quantile().fit(Calibration(scores, times), AlertBudget(per_day=3.0))
    assert threshold.flag(scores).sum() == pytest.approx(3 * 14, abs=1)
    assert threshold.promise()["served"] == 3.0


def test_rows_that_follow_each_other_ring_less_than_the_budget(rng: np.random.Generator) -> None:
    scores = np.repeat(rng.normal(size=14 * 144), 10)
    times = np.arange(len(scores), dtype=np.int64) * MINUTE
    flagged = Quantile().fit(Calibration(scores, times), AlertBudget(per_day=10.0)).flag(scores)
    assert episodes(times[flagged], None, 120.0).max() + 1 <= 14 * 10 / 9


def test_a_share_smaller_than_one_row_is_served_as_that(rng: np.random.Generator) -> None:
    scores = rng.normal(size=999)
    threshold = Quantile().fit(Calibration(scores), AlertBudget(per_row=1e-6))
    assert threshold.promise()["served"] == pytest.approx(0.001)
    assert threshold.promise()["state"] == "provisional"
    assert threshold.flag(np.array([scores.max(), scores.max() + 1e-9])).tolist() == [False, True]


def test_half_of_the_rows_is_the_most(rng: np.random.Generator) -> None:
    scores = rng.normal(size=1_000)
    assert Quantile().fit(Calibration(scores), AlertBudget(per_row=0.9)).flag(scores).mean() <= 0.5
