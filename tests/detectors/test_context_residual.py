"""What is usual at this hour of this day, what the last rows say, and what is learnt of both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.detectors.context_residual import ContextResidual, _regimes
from tocsin.errors import DataError, IntegrityError, SchemaError
from tocsin.records import Matrix, Vector

NAMES = ("hour", "day", "load")
HOURLY = 12
"""Rows of an hour."""


def calendar(days: range) -> Matrix:
    """Hour and day of the week of every row, (n, 2)."""
    rows = np.arange(days.start * 24 * HOURLY, days.stop * 24 * HOURLY)
    return np.column_stack([rows // HOURLY % 24, rows // HOURLY // 24 % 7]).astype(float)


def usual_load(when: Matrix) -> Vector:
    """Nights of 100, working hours of 1,000, and two days of the week of 300."""
    hour, day = when.T
    off = (day == 2) | (day == 4)
    return np.where(off, 300.0, np.where((hour >= 7) & (hour < 15), 1_000.0, 100.0))


def rows_of(rng: np.random.Generator, days: range) -> Matrix:
    when = calendar(days)
    level = usual_load(when)
    return np.column_stack([when, level + 0.1 * level * rng.normal(size=len(level))])


def met(names: tuple[str, ...] = NAMES, **parameters: Any) -> ContextResidual:
    detector = ContextResidual(context=("hour", "day"), **parameters)
    detector.meet(names)
    return detector


def sequences(rows: Matrix, steps: int) -> Matrix:
    return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(rows, steps, axis=0).transpose(0, 2, 1))


def test_the_same_value_is_usual_at_noon_and_strange_at_night(rng: np.random.Generator) -> None:
    detector = met().fit(rows_of(rng, range(7)))
    noon, night, day_off = (
        detector.score(np.array([[hour, day, 1_000.0]]))[0] for hour, day in ((12, 0), (2, 0), (12, 2))
    )
    assert noon < 1
    assert min(night, day_off) > 10


def test_a_week_of_168_cells_makes_three_regimes_in_honest_deviations(rng: np.random.Generator) -> None:
    detector = met().fit(rows_of(rng, range(7)))
    center, down, up = detector.state()["usual"][:, :-1, 2]
    assert center == pytest.approx([100, 300, 1_000], rel=0.02)
    assert down == pytest.approx(0.1 * center, rel=0.15)
    assert up == pytest.approx(0.1 * center, rel=0.15)
    scores = detector.score(rows_of(rng, range(7, 14)))
    assert np.mean(scores < 2) == pytest.approx(0.954, abs=0.02)


def test_anomalies_in_the_history_do_not_move_its_regimes(rng: np.random.Generator) -> None:
    history = rows_of(rng, range(14))
    wrong = rng.random(len(history)) < 0.04
    history[wrong, 2] *= rng.choice([0.1, 10.0], wrong.sum())
    usual = met().fit(history).state()["usual"][0, :-1, 2]
    assert usual == pytest.approx([100, 300, 1_000], rel=0.03)


def test_a_day_that_was_never_seen_goes_by_its_hours(rng: np.random.Generator) -> None:
    history = rows_of(rng, range(2))
    detector = met().fit(history)
    sunday = np.array([[12.0, 6.0, 1_000.0], [2.0, 6.0, 1_000.0]])
    noon, night = detector.score(sunday)
    assert noon < 1
    assert night > 10


def test_an_hour_that_was_never_seen_goes_by_all_rows(rng: np.random.Generator) -> None:
    history = rows_of(rng, range(7))
    detector = met().fit(history[history[:, 0] < 20])
    late = np.array([[22.0, 0.0, 300.0]])
    assert detector.score(late)[0] < 3


def test_cells_of_too_few_rows_are_pooled_by_their_hour(rng: np.random.Generator) -> None:
    when = np.repeat(calendar(range(21))[::HOURLY], 1, axis=0)
    load = np.where(when[:, 0] < 12, 10.0, 50.0) + rng.normal(size=len(when))
    detector = met().fit(np.column_stack([when, load]))
    early, late = detector.score(np.array([[3.0, 1.0, 50.0], [15.0, 1.0, 50.0]]))
    assert late < 3
    assert early > 20


def test_without_context_it_is_a_robust_z_score(rng: np.random.Generator) -> None:
    detector = ContextResidual().fit(rng.normal(50.0, 4.0, size=(20_000, 1)))
    assert detector.score(np.array([[62.0], [38.0]])) == pytest.approx([3.0, 3.0], rel=0.05)


def test_upwards_and_downwards_have_a_deviation_each(rng: np.random.Generator) -> None:
    detector = ContextResidual().fit(rng.exponential(size=(20_000, 1)))
    low, high = detector.score(np.log(2.0) + np.array([[-0.5], [0.5]]))
    assert low > 2 * high


def test_one_sided_columns_are_blind_to_the_other_side(rng: np.random.Generator) -> None:
    detector = ContextResidual(upper=("errors",), lower=("success",))
    detector.meet(("errors", "success", "load"))
    detector.fit(rng.normal(size=(1_000, 3)))
    shares = detector.explain(np.array([[-9.0, 9.0, 0.0], [9.0, -9.0, -9.0]]))
    assert shares[0, :2].tolist() == [0.0, 0.0]
    assert (shares[1] > 7).all()


def test_context_columns_are_no_reason(rng: np.random.Generator) -> None:
    detector = met().fit(rows_of(rng, range(7)))
    x = rows_of(rng, range(7, 8))
    shares = detector.explain(x)
    assert not shares[:, :2].any()
    assert shares.max(axis=1).tolist() == detector.score(x).tolist()


def test_a_holiday_goes_by_the_last_rows_and_a_working_morning_by_the_calendar(rng: np.random.Generator) -> None:
    detector = met(recent=12).fit(sequences(rows_of(rng, range(14)), 13))
    holiday = rows_of(rng, range(14, 15))
    holiday[:, 2] = 300.0 + 30.0 * rng.normal(size=len(holiday))
    working = rows_of(rng, range(14, 15))
    for day in (holiday, working):
        assert np.mean(detector.score(sequences(day, 13)) > 5) == 0
    assert np.mean(met().fit(rows_of(rng, range(14))).score(holiday) > 5) > 0.9


def test_a_point_stands_out_from_the_calendar_and_from_the_last_rows(rng: np.random.Generator) -> None:
    detector = met(recent=12).fit(sequences(rows_of(rng, range(14)), 13))
    day = sequences(rows_of(rng, range(14, 15)), 13)
    day[:, -1, 2] *= 0.1
    shares = detector.explain(day)
    assert np.mean(detector.score(day) > 5) > 0.95  # all but the minutes after a rise
    assert not shares[:, :-1].any()
    assert shares[:, -1].max(axis=1).tolist() == detector.score(day).tolist()


def services(rng: np.random.Generator, days: range) -> tuple[Matrix, Matrix]:
    """Two services with levels of their own that never change, and the rows of the second."""
    each = [
        np.column_stack([np.full(days.stop * 24 * HOURLY, code), calendar(range(days.stop)), latency])
        for code, level in ((0.0, 20.0), (1.0, 80.0))
        for latency in [rng.normal(level, 2.0, days.stop * 24 * HOURLY)]
    ]
    return np.vstack(each), each[1]


def each_service(**parameters: Any) -> ContextResidual:
    detector = ContextResidual(each="service", context=("hour", "day"), **parameters)
    detector.meet(("service", "hour", "day", "latency"))
    return detector


def test_each_service_has_levels_of_its_own(rng: np.random.Generator) -> None:
    history, _ = services(rng, range(3))
    detector = each_service().fit(history)
    own, others, unknown = detector.score(np.array([[service, 3.0, 1.0, 80.0] for service in (1.0, 0.0, 2.0)]))
    assert own < 2
    assert others > 20
    assert unknown < 3


def test_a_service_of_one_level_is_not_forgiven_by_the_last_rows(rng: np.random.Generator) -> None:
    _, search = services(rng, range(3))
    history = np.vstack([sequences(part, 7) for part in np.split(services(rng, range(3))[0], 2)])
    detector = each_service(recent=6).fit(history)
    slow = sequences(search + np.array([0.0, 0.0, 0.0, 40.0]), 7)
    assert detector.score(slow).min() > 15


def test_many_cells_are_joined_in_bundles(rng: np.random.Generator) -> None:
    cells = np.repeat(np.arange(3_000), 6)
    values = np.where(cells % 3 == 0, 50.0, 10.0) + rng.normal(size=len(cells))
    center, _, _ = _regimes(values, cells, 2.0, 1e-3)
    assert center == pytest.approx([10.0, 50.0], abs=1.0)


def test_a_column_of_one_regime_is_not_forgiven_by_the_last_rows(rng: np.random.Generator) -> None:
    latency = np.column_stack([calendar(range(7)), rng.normal(50.0, 5.0, 7 * 24 * HOURLY)])
    detector = met(recent=6).fit(sequences(latency, 7))
    slow = sequences(np.column_stack([calendar(range(1)), np.full(24 * HOURLY, 90.0)]), 7)
    assert detector.score(slow).min() > 6


def test_without_context_the_last_rows_forgive_nothing(rng: np.random.Generator) -> None:
    detector = ContextResidual(recent=6).fit(sequences(rng.normal(size=(500, 1)), 7))
    assert detector.score(np.full((1, 7, 1), 9.0))[0] > 7


def test_mostly_equal_values_are_measured_by_the_others() -> None:
    errors = np.where(np.arange(1_000) % 50 == 0, 3.0, 0.0)[:, None]
    assert ContextResidual().fit(errors).score(np.array([[0.0], [3.0]]))[1] < 40


@given(
    levels=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=6, unique=True),
    alike=st.floats(0.5, 4.0),
    seed=st.integers(0, 99),
)
def test_regimes_stand_apart_and_rise(levels: list[float], alike: float, seed: int) -> None:
    cells = np.repeat(np.arange(len(levels)), 40)
    values = np.repeat(levels, 40) + np.random.default_rng(seed).normal(size=len(cells))
    center, down, up = _regimes(values, cells, alike, 1e-3)
    assert (np.diff(center) > 0).all()
    assert len(center) <= len(levels)
    assert (down > 0).all()
    assert (up > 0).all()


def test_a_column_that_is_not_there_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(SchemaError, match=r'"day".*\n?.*did you mean "days"'):
        ContextResidual(context=("day",)).meet(("days", "load"))


@pytest.mark.parametrize(
    ("parameters", "names", "said"),
    [
        ({"context": ("hour",), "upper": ("hour",)}, NAMES, '"hour" twice'),
        ({"context": ("hour", "day", "load")}, NAMES, "context columns alone"),
    ],
)
def test_columns_that_cannot_be_judged_are_refused(
    parameters: dict[str, Any], names: tuple[str, ...], said: str
) -> None:
    with pytest.raises(SchemaError, match=said):
        ContextResidual(**parameters).meet(names)


def test_names_come_before_rows(rng: np.random.Generator) -> None:
    with pytest.raises(SchemaError, match="0 names of 3 columns"):
        ContextResidual(context=("hour",)).fit(rng.normal(size=(100, 3)))


def test_a_context_of_measured_numbers_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(DataError, match="5000 x 5000 values of hour, day"):
        met().fit(rng.normal(size=(5_000, 3)))


@pytest.mark.parametrize(
    ("parameters", "said"),
    [({"recent": -1}, "recent is -1"), ({"alike": 0.0}, "alike is 0"), ({"min_scale": np.nan}, "min_scale is nan")],
)
def test_parameters_out_of_range_are_refused(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ContextResidual(**parameters)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("context", lambda found: found * 0),
        ("context", lambda found: found + 9),
        ("side", lambda found: found + np.int8(2)),
        ("side", lambda found: found.astype(np.float64)),
        ("values", lambda found: found[:-1]),
        ("values", lambda found: found * np.nan),
        ("values", lambda found: found[::-1].copy()),
        ("sizes", lambda found: found * 1_000),
        ("sizes", lambda found: -found),
        ("regime", lambda found: found + np.int32(99)),
        ("regime", lambda found: found[:-1]),
        ("seasonal", lambda found: found[:0]),
        ("seasonal", lambda found: found.astype(np.int8)),
        ("usual", lambda found: found * 0.0),
        ("usual", lambda found: np.full_like(found, np.inf)),
        ("usual", lambda found: found[:, ::-1]),
        ("usual", lambda found: found[:, :1]),
    ],
)
def test_a_damaged_state_is_refused(rng: np.random.Generator, name: str, change: Any) -> None:
    detector = met().fit(rows_of(rng, range(7)))
    state = detector.state()
    with pytest.raises(IntegrityError, match=f"context_residual.{name}"):
        ContextResidual.restore(detector.parameters(), {**state, name: change(state[name])}, 3)


def test_a_restored_detector_needs_no_names(rng: np.random.Generator) -> None:
    detector = met(recent=3).fit(sequences(rows_of(rng, range(7)), 4))
    again = ContextResidual.restore(detector.parameters(), detector.state(), 3)
    x = sequences(rows_of(rng, range(7, 8)), 4)
    assert again.score(x).tolist() == detector.score(x).tolist()
