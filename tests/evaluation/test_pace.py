from __future__ import annotations

import numpy as np
import pytest

from tocsin.evaluation.pace import watched_days
from tocsin.records import DAY


def test_days_that_hold_rows_are_counted_and_gaps_are_not() -> None:
    def days(*places: float) -> tuple[float, float]:
        found = watched_days((np.array(places) * DAY).astype(np.int64))
        return found.days, found.gap_days

    hourly = np.arange(25) / 24
    assert days(*hourly, *(10 + hourly)) == pytest.approx((2.0, 9.0))
    assert days(*range(20), 60) == pytest.approx((19.0, 41.0))
    assert days(*np.arange(0, 100, 7)) == pytest.approx((98.0, 0.0))
    assert days(5, 5) == (0.0, 0.0)
