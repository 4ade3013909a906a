from __future__ import annotations

import numpy as np
import pytest

from tocsin.records import SECOND
from tocsin.thresholds.base import AlertBudget, Calibration
from tocsin.thresholds.fixed import Fixed


def test_rows_are_flagged_from_the_level_that_was_set(rng: np.random.Generator) -> None:
    threshold = Fixed(level=2.5).fit(Calibration(rng.normal(size=2_000)), AlertBudget(per_row=0.5))
    assert threshold.flag(np.array([2.4, 2.5, 9.0])).tolist() == [False, True, True]
    assert threshold.ease(np.array([2.4, 2.5, 9.0])).tolist() == [np.inf, 0.25, 0.25]


def test_it_promises_what_was_counted(rng: np.random.Generator, capsys: pytest.CaptureFixture[str]) -> None:
    scores, times = rng.normal(size=14 * 1_440), np.arange(14 * 1_440, dtype=np.int64) * 60 * SECOND
    promise = Fixed(level=3.0).fit(Calibration(scores, times), AlertBudget(per_day=1.0)).promise()
    assert promise["state"] == "fixed"
    assert promise["served"] == pytest.approx((scores >= 3.0).sum() / 14, rel=0.1)
    low, high = promise["interval"]
    assert low < promise["served"] < high
    assert "Alert budget not held." in capsys.readouterr().out


def test_a_level_that_every_row_reaches_promises_every_row(rng: np.random.Generator) -> None:
    promise = Fixed(level=-9.0).fit(Calibration(rng.normal(size=2_000)), AlertBudget(per_row=0.01)).promise()
    assert promise["served"] == 1.0
    assert promise["interval"] == [1.0, 1.0]


def test_a_level_that_rings_less_than_budgeted_is_no_news(
    rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    Fixed(level=9.0).fit(Calibration(rng.normal(size=2_000)), AlertBudget(per_row=0.01))
    assert "Alert budget not held." not in capsys.readouterr().out


@pytest.mark.parametrize("level", [np.inf, np.nan])
def test_a_level_that_is_no_number_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match="wanted a finite number"):
        Fixed(level=level)
