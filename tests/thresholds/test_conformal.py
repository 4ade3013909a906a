from __future__ import annotations

import numpy as np
import orjson
import pytest

from tocsin.calibration import alerts_band, episodes, rows_band
from tocsin.errors import DataError, IntegrityError
from tocsin.records import DAY, SECOND, Times, Vector
from tocsin.thresholds.base import AlertBudget, Calibration
from tocsin.thresholds.conformal import Conformal

MINUTE = 60 * SECOND
PER_DAY = AlertBudget(per_day=3.0)


def minutes(rows: int) -> Times:
    return np.arange(rows, dtype=np.int64) * MINUTE


def fitted(scores: Vector, budget: AlertBudget = PER_DAY, times: Times | None = None) -> Conformal:
    return Conformal().fit(Calibration(scores, minutes(len(scores)) if times is None else times), budget)


def autocorrelated(rng: np.random.Generator, rows: int, columns: int, phi: float = 0.98) -> Vector:
    series = rng.normal(size=(rows, columns))
    for row in range(1, rows):
        series[row] = phi * series[row - 1] + np.sqrt(1.0 - phi**2) * series[row]
    return series


def test_a_budget_a_day_is_kept_on_autocorrelated_scores(rng: np.random.Generator) -> None:
    half, seeds = 14 * 1_440, 40
    series = autocorrelated(rng, 2 * half, seeds)
    realised = []
    for scores in series.T:
        flagged = fitted(scores[:half]).flag(scores[half:])
        realised.append((episodes(minutes(half)[flagged], None, 120.0).max(initial=-1) + 1) / 14)
    assert 0.6 * 3.0 < np.mean(realised) < 1.2 * 3.0


def test_a_budget_in_rows_is_beta_binomial(rng: np.random.Generator) -> None:
    rows, inside = 4_999, 0
    low, high = rows_band(49, rows, 0.99)
    for _ in range(200):
        threshold = Conformal().fit(Calibration(rng.normal(size=rows)), AlertBudget(per_row=0.01))
        inside += low <= threshold.flag(rng.normal(size=rows)).sum() <= high
    assert inside >= 193


def test_a_row_is_flagged_iff_its_p_value_is_within_the_rate(rng: np.random.Generator) -> None:
    threshold = Conformal().fit(Calibration(rng.normal(size=5_000)), AlertBudget(per_row=0.01))
    fresh = rng.normal(size=5_000)
    np.testing.assert_array_equal(threshold.flag(fresh), threshold.p_value(fresh) <= 0.01)


@pytest.mark.parametrize(
    ("per_day", "state"), [(3.0, "held"), (1.0, "provisional"), (0.1, "extrapolated"), (0.01, "extrapolated")]
)
def test_the_promise_tells_how_well_the_budget_is_kept(
    rng: np.random.Generator, per_day: float, state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    promise = fitted(rng.normal(size=14 * 1_440), AlertBudget(per_day=per_day)).promise()
    assert promise["state"] == state
    assert promise["asked"] == promise["served"] == per_day
    low, high = promise["interval"]
    assert 0 <= low <= high
    assert low <= per_day
    assert promise["days"] == pytest.approx(14.0)
    assert promise["days_needed"] == pytest.approx(20.0 / per_day)
    assert promise["blocks"] == 14 * 24
    assert ("Alert budget not held." in capsys.readouterr().out) == (state != "held")


def test_a_budget_far_beyond_the_data_becomes_the_smallest_that_can_be_served(rng: np.random.Generator) -> None:
    promise = fitted(rng.normal(size=14 * 1_440), AlertBudget(per_day=1e-4)).promise()
    assert promise["state"] == "extrapolated"
    assert promise["served"] == pytest.approx(0.1 / 14.0)


def test_without_enough_peaks_the_smallest_budget_that_can_be_counted_is_served(rng: np.random.Generator) -> None:
    scores = rng.normal(size=150)
    threshold = fitted(scores, AlertBudget(per_day=1.0))
    assert threshold.promise()["state"] == "provisional"
    assert threshold.promise()["served"] == pytest.approx(-np.log(0.2) / threshold.promise()["days"])
    assert not threshold.flag(scores).any()


def test_a_smaller_budget_never_has_a_lower_level(rng: np.random.Generator) -> None:
    scores = autocorrelated(rng, 7 * 1_440, 1)[:, 0]
    budgets = (100.0, 30.0, 3.0, 2.8, 1.0, 0.4, 0.3, 0.05, 0.01)
    levels = [fitted(scores, AlertBudget(per_day=budget)).promise()["level"] for budget in budgets]
    assert levels == sorted(levels)


def test_an_extrapolated_level_rings_about_as_often_as_it_says(rng: np.random.Generator) -> None:
    levels = [fitted(rng.gumbel(size=2 * 1_440), AlertBudget(per_day=0.5)).promise()["level"] for _ in range(40)]
    rate = 1_440 * (1.0 - np.exp(-np.exp(-np.array(levels))))
    assert 0.25 < np.median(rate) < 0.75


def test_one_incident_in_the_calibration_rows_does_not_take_the_whole_budget(rng: np.random.Generator) -> None:
    scores = rng.normal(size=28 * 1_440)
    incident = scores.copy()
    incident[20_000:20_060:3] += 10.0
    quiet = fitted(incident).flag(scores)
    assert quiet.sum() > 0.5 * 3 * 28


def test_the_interval_is_wider_where_alerts_come_in_clumps(rng: np.random.Generator) -> None:
    intervals = [fitted(scores).promise()["interval"] for scores in autocorrelated(rng, 28 * 1_440, 12).T]
    single_low, single_high = alerts_band(84, 1.0, 0.9)
    assert np.mean(np.diff(intervals)) > 1.2 * (single_high - single_low) / 28


def test_constant_scores_never_ring() -> None:
    for budget in (PER_DAY, AlertBudget(per_day=0.1), AlertBudget(per_row=0.01), AlertBudget(per_row=1e-6)):
        threshold = fitted(np.full(20_000, 7.0), budget)
        assert threshold.flag(np.array([7.0, 7.0 + 1e-9])).tolist() == [False, True]


def test_scores_with_heavy_ties_do_not_ring_all_the_time(rng: np.random.Generator) -> None:
    scores = rng.choice([0.0, 0.0, 0.0, 1.0], size=20_000)
    assert fitted(scores).flag(scores).sum() == 0


def test_the_order_of_rows_and_the_number_of_entities_are_free(rng: np.random.Generator) -> None:
    scores, times = rng.normal(size=20_000), np.sort(rng.integers(0, 14 * DAY, 20_000))
    hosts = rng.choice(np.array(["a", "b", "c"], dtype=object), 20_000)
    shuffled = rng.permutation(20_000)
    promises = [
        Conformal().fit(Calibration(scores[rows], times[rows], hosts[rows]), PER_DAY).promise()
        for rows in (np.arange(20_000), shuffled)
    ]
    assert promises[0] == promises[1]


def test_a_span_shorter_than_a_block_is_one_block(rng: np.random.Generator) -> None:
    promise = fitted(rng.normal(size=1_000), times=np.arange(1_000, dtype=np.int64) * SECOND).promise()
    assert (promise["blocks"], promise["state"]) == (1, "provisional")
    assert promise["days"] == pytest.approx(1_000 / 86_400)


def test_hours_without_rows_are_blocks_too(rng: np.random.Generator) -> None:
    times = np.concatenate([minutes(2_000), minutes(2_000) + 13 * DAY])
    assert fitted(rng.normal(size=4_000), times=times).promise()["blocks"] == round((13 * 1_440 + 2_000) / 60)


def test_the_state_is_json_and_arrays_and_small(rng: np.random.Generator) -> None:
    state = fitted(rng.normal(size=20_000)).state()
    assert sum(value.nbytes for value in state.values() if isinstance(value, np.ndarray)) < 32_000
    orjson.dumps({name: value for name, value in state.items() if not isinstance(value, np.ndarray)})


def test_a_state_without_a_usable_level_is_refused(rng: np.random.Generator) -> None:
    state = fitted(rng.normal(size=20_000)).state()
    for promise in ({"level": 1.0}, {**state["promise"], "level": float("nan")}, {**state["promise"], "more": 1}):
        with pytest.raises(IntegrityError, match=r"conformal\.promise"):
            Conformal.restore({}, {**state, "promise": promise})
    with pytest.raises(IntegrityError, match="levels that rise"):
        Conformal.restore({}, {**state, "levels": state["levels"][::-1]})
    with pytest.raises(IntegrityError, match="unknown: more"):
        Conformal.restore({}, {**state, "more": np.zeros(1)})


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_score_that_is_no_number_is_refused_in_fit(bad: float) -> None:
    with pytest.raises(DataError, match="1 scores that are no finite number"):
        fitted(np.append(np.zeros(200), bad))


def test_a_nan_score_is_refused_and_never_passes_for_normal(rng: np.random.Generator) -> None:
    threshold = fitted(rng.normal(size=2_000))
    for decide in (threshold.flag, threshold.p_value):
        with pytest.raises(DataError, match="NaN"):
            decide(np.array([0.0, np.nan]))


def test_a_budget_a_day_without_a_clock_hints_at_a_rate(rng: np.random.Generator) -> None:
    with pytest.raises(DataError, match="write the budget as a rate"):
        Conformal().fit(Calibration(rng.normal(size=200)), PER_DAY)
    with pytest.raises(DataError, match="all calibration rows share one moment"):
        fitted(rng.normal(size=200), times=np.zeros(200, dtype=np.int64))


def test_a_block_is_at_least_a_minute_and_never_shorter_than_the_cooldown(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="at least 1m"):
        Conformal(block=30.0)
    budget = AlertBudget(per_day=3.0, cooldown_s=6 * 3_600.0)
    assert fitted(rng.normal(size=14 * 1_440), budget).promise()["blocks"] == 14 * 4


@pytest.mark.parametrize("per_day", [np.inf, 1.7e308, 99_999_999_999_999_999_999 * 1_440.0])
def test_a_budget_beyond_any_number_of_rows_is_no_error(rng: np.random.Generator, per_day: float) -> None:
    scores = rng.normal(size=2_000)
    threshold = fitted(scores, AlertBudget(per_day=per_day))
    assert threshold.promise()["state"] == "held"
    assert threshold.flag(scores).sum() == pytest.approx(1_000, abs=1)
    assert all(value is not None for value in orjson.loads(orjson.dumps(threshold.promise()["interval"])))
    assert np.isfinite(threshold.promise()["asked"])


@pytest.mark.parametrize("budget", [AlertBudget(per_day=1e-320), AlertBudget(per_row=1e-320)])
def test_a_budget_next_to_nothing_is_no_error(rng: np.random.Generator, budget: AlertBudget) -> None:
    promise = fitted(rng.normal(size=2_000), budget).promise()
    assert promise["state"] != "held"
    assert np.isfinite(promise["served"])
    assert (promise["days_needed"] or promise["rows_needed"]) == 1e12


def test_a_cooldown_longer_than_the_span_is_no_error(rng: np.random.Generator) -> None:
    for cooldown_s in (1e23 * 86_400, np.inf):
        assert fitted(rng.normal(size=2_000), AlertBudget(per_day=3.0, cooldown_s=cooldown_s)).promise()["blocks"] == 1


@pytest.mark.parametrize("per_day", [0.0, -1.0, np.nan])
def test_a_budget_that_is_no_number_above_0_is_refused(rng: np.random.Generator, per_day: float) -> None:
    with pytest.raises(DataError, match="wanted a number greater than 0"):
        fitted(rng.normal(size=200), AlertBudget(per_day=per_day))


def test_no_calibration_rows_hint_at_rows_of_one_moment() -> None:
    with pytest.raises(
        DataError, match=r"no calibration rows, wanted at least 100\n.*rows of one moment stay together"
    ):
        fitted(np.zeros(0))


def test_the_log_line_prints_plain_numbers(rng: np.random.Generator, capsys: pytest.CaptureFixture[str]) -> None:
    Conformal().fit(Calibration(rng.normal(size=400)), AlertBudget(per_row=0.005))
    Conformal().fit(Calibration(rng.normal(size=400)), AlertBudget(per_row=0.00001))
    told = capsys.readouterr().out
    assert "4000 rows" in told
    assert "0.00001/row" in told
    assert "e+0" not in told
    assert "e-0" not in told


def test_what_is_served_as_asked_is_so_to_the_last_digit(rng: np.random.Generator) -> None:
    scores, times = rng.normal(size=20_000), np.arange(20_000, dtype=np.int64) * 61 * SECOND
    for per_day in (0.1, 0.07, 0.03):
        promise = fitted(scores, AlertBudget(per_day=per_day), times).promise()
        assert promise["served"] == promise["asked"] == per_day
