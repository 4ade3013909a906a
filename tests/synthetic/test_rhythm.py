from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from tocsin.records import DAY, SECOND
from tocsin.synthetic.plan import Plan
from tocsin.synthetic.rhythm import ALWAYS, HOUR, OFFICE, arrivals, wandering, weekend


def test_weekends_are_those_of_the_calendar() -> None:
    days = [datetime.fromtimestamp(day * 86_400 + 3_600, UTC) for day in range(0, 60_000, 11)]
    times = np.array([round(day.timestamp()) * SECOND for day in days])
    assert weekend(times).tolist() == [day.weekday() >= 5 for day in days]
    assert [bool(weekend(int(time))) for time in times[:20]] == weekend(times[:20]).tolist()


def test_arrivals_follow_the_hours_and_rest_at_weekends(rng: np.random.Generator) -> None:
    plan = Plan(days=28)
    times = arrivals(rng, plan, 2_000.0, OFFICE, 0.25)
    assert plan.begin <= times.min() <= times.max() < plan.end
    resting = weekend(times)
    assert resting.sum() / 8 == pytest.approx(0.25 * (~resting).sum() / 20, rel=0.05)
    by_hour = np.bincount(times // HOUR % 24, minlength=24)
    assert by_hour / len(times) == pytest.approx(np.array(OFFICE) / sum(OFFICE), abs=0.01)
    steady = arrivals(rng, plan, 2_000.0, ALWAYS, 1.0)
    assert len(steady) == pytest.approx(28 * 2_000, rel=0.02)


def test_what_wanders_keeps_its_variance_and_remembers_a_share(rng: np.random.Generator) -> None:
    values = wandering(rng, (20_000, 3), 0.9)
    assert values.mean() == pytest.approx(0.0, abs=0.1)
    assert values.std(axis=0) == pytest.approx(np.ones(3), abs=0.1)
    for column in values.T:
        assert np.corrcoef(column[1:], column[:-1])[0, 1] == pytest.approx(0.9, abs=0.02)


def test_a_plan_reads_at_least_once_and_never_behind_its_end() -> None:
    assert Plan(days=0.001).times.tolist() == [Plan().begin]
    for plan in (Plan(days=1.3, interval_s=97.3), Plan(days=0.5, interval_s=7_200)):
        assert len(plan.times) == plan.steps
        assert plan.times[0] == plan.begin
        assert plan.times[-1] + plan.interval_s * SECOND <= plan.end + DAY // 86_400
