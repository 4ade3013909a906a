"""Windows in panes: which rows are in, in what order they are added up, and what is never left behind."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from statistics import stdev

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tocsin.kernel.entities import LATE
from tocsin.kernel.program import Operation, Program
from tocsin.kernel.run import FeatureMatrix, Kernel
from tocsin.records import SECOND, Batch, Matrix

STATISTICS = ("mean", "std", "min", "max", "count", "sum")
WINDOW_S, PANES = 60, 12
NAN = float("nan")

Row = tuple[str, int, float]
"""Host, seconds, value."""
Steps = list[tuple[str, int, int, float]]
"""Host, seconds since the row before, seconds it comes late, value."""


def program(*statistics: str, window_s: int = WINDOW_S, panes: int = PANES, min_count: int = 1) -> Program:
    statistics = statistics or STATISTICS
    constants = {
        "pane_us": window_s * SECOND // panes, "panes": panes, "statistics": statistics, "min_count": min_count,
    }  # fmt: skip
    return Program((Operation("panes", ("x",), statistics, constants),), statistics, time="time", entity="host")


def window(
    *statistics: str, kind: type[Kernel] = Kernel, window_s: int = WINDOW_S, panes: int = PANES, min_count: int = 1
) -> Kernel:
    return kind(program(*statistics, window_s=window_s, panes=panes, min_count=min_count))


def batch(rows: list[Row]) -> Batch:
    return Batch(
        {
            "host": np.array([host for host, _, _ in rows], dtype=object),
            "time": np.array([seconds for _, seconds, _ in rows], dtype=np.int64) * SECOND,
            "x": np.array([value for _, _, value in rows], dtype=np.float64),
        }
    )


def run(kernel: Kernel, rows: list[Row]) -> FeatureMatrix:
    return kernel.run(batch(rows), kernel.start())


def column(kernel: Kernel, *rows: tuple[int, float]) -> list[float]:
    values: list[float] = run(kernel, [("a", seconds, value) for seconds, value in rows]).values[:, 0].tolist()
    return values


def same_bits(one: Matrix, other: Matrix) -> bool:
    return one.tobytes() == other.tobytes()


def arriving(start: int, steps: Steps) -> list[Row]:
    clocks = (start + np.cumsum([step for _, step, _, _ in steps])).tolist()
    return [(host, clock - late, value) for clock, (host, _, late, value) in zip(clocks, steps, strict=True)]


ordinary = st.one_of(
    st.just(NAN), st.integers(-(10**15), 10**15).map(lambda whole: whole / 1_000), st.integers(0, 3).map(float)
)
extreme = st.sampled_from([NAN, math.inf, -math.inf, 1e308, -1e308, 1.7e308, 5e-324, 0.0, -0.0, 1.0, 3.0, 1e15])


def streams(values: st.SearchStrategy[float]) -> st.SearchStrategy[list[Row]]:
    """Rows that are late by less than the window, gaps of less and of more than a turn, times before 1970."""
    gaps = st.sampled_from([0, 0, 1, 4, 5, 6, 25, 55, 59, 60, 61, 400])
    late = st.sampled_from([0, 0, 0, 1, 5, 12, 30, 55, 59])
    steps = st.lists(st.tuples(st.sampled_from("ab"), gaps, late, values), min_size=1, max_size=60)
    return st.builds(arriving, st.sampled_from([600, 0, -61, -60_003]), steps)


def latest(rows: list[Row]) -> list[int]:
    """Where the window of each row ends."""
    seen: dict[str, int] = {}
    ends = []
    for host, at, _ in rows:
        seen[host] = max(at, seen.get(host, at))
        ends.append(seen[host])
    return ends


def inside(rows: list[Row], row: int, end: int, panes: int = PANES) -> list[float]:
    """The values in the panes of a row's window."""
    pane_s = WINDOW_S // panes
    return [
        value
        for host, at, value in rows[: row + 1]
        if host == rows[row][0] and end // pane_s - panes < at // pane_s and not math.isnan(value)
    ]


@settings(max_examples=100, deadline=None)
@given(rows=streams(ordinary), panes=st.sampled_from([1, 2, 3, 12, 60]))
@example(rows=[("a", 130, 1.0), ("a", 80, 2.0), ("a", 139, 4.0)], panes=12)
def test_values_are_those_of_the_rows_in_the_panes_by_exact_arithmetic(rows: list[Row], panes: int) -> None:
    got = run(window(panes=panes), rows).values
    for row, end in enumerate(latest(rows)):
        values = inside(rows, row, end, panes)
        wanted = [min(values, default=NAN), max(values, default=NAN), len(values)]
        np.testing.assert_array_equal(got[row, 2:5], wanted)
        if not values:
            assert np.isnan(got[row, [0, 1, 5]]).all()
            continue
        exact = [Fraction(value) for value in values]
        mean, size = sum(exact) / len(exact), max(map(abs, values))
        assert got[row, 0] == pytest.approx(float(mean), rel=1e-9, abs=1e-12 * size)
        assert got[row, 5] == pytest.approx(float(sum(exact)), rel=1e-9, abs=1e-12 * size)
        if len(exact) > 1:
            deviation = math.sqrt(sum((value - mean) ** 2 for value in exact) / (len(exact) - 1))
            assert got[row, 1] == pytest.approx(deviation, rel=1e-9, abs=1e-12 * size)


@settings(max_examples=100, deadline=None)
@given(rows=streams(st.one_of(ordinary, extreme)), panes=st.sampled_from([1, 2, 12, 60]), start=st.integers(0, 59))
def test_history_before_the_window_is_never_felt(rows: list[Row], panes: int, start: int) -> None:
    start = min(start, len(rows) - 1)
    ends, pane_s = latest(rows), WINDOW_S // panes
    before = {host: end for (host, _, _), end in zip(rows[:start], ends[:start], strict=True)}
    settled = [
        row
        for row in range(start, len(rows))
        if (ends[row] // pane_s - panes + 1) * pane_s > before.get(rows[row][0], -(10**9))
    ]
    whole, late_start = run(window(panes=panes), rows).values, run(window(panes=panes), rows[start:]).values
    assert same_bits(whole[settled], late_start[[row - start for row in settled]])


@settings(max_examples=60, deadline=None)
@given(rows=streams(st.one_of(ordinary, extreme)), cuts=st.lists(st.integers(0, 60), max_size=5))
def test_any_chunking_gives_the_bits_of_one_pass(rows: list[Row], cuts: list[int]) -> None:
    kernel = window(min_count=2)
    whole = run(kernel, rows)
    state = kernel.start()
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    parts = [kernel.run(batch(rows[start:end]), state) for start, end in pairwise(edges)]
    assert same_bits(np.concatenate([part.values for part in parts]), whole.values)
    assert np.concatenate([part.marks for part in parts]).tolist() == whole.marks.tolist()


@settings(max_examples=60, deadline=None)
@given(rows=streams(st.one_of(ordinary, extreme)), panes=st.sampled_from([1, 12, 60]))
def test_row_10_the_sources_give_the_bits_of_the_compiled_kernel(
    sources: type[Kernel], rows: list[Row], panes: int
) -> None:
    compiled, interpreted = (run(window(kind=kind, panes=panes), rows) for kind in (Kernel, sources))
    assert same_bits(compiled.values, interpreted.values)
    assert compiled.marks.tolist() == interpreted.marks.tolist()


def test_polars_agrees_where_no_two_rows_share_a_time_and_panes_are_exact(rng: np.random.Generator) -> None:
    polars = pytest.importorskip("polars")
    times, values = np.sort(rng.choice(2_000, 400, replace=False)), rng.normal(50, 9, 400)
    frame = polars.DataFrame({"at": times, "x": values})
    by_time = frame.select(
        mean=polars.col("x").rolling_mean_by("at", "60i"), max=polars.col("x").rolling_max_by("at", "60i")
    )
    # One pane per second over whole seconds is the exact window (t - 60 s, t].
    got = run(window("mean", "max", panes=60), [("a", int(at), x) for at, x in zip(times, values, strict=True)]).values
    np.testing.assert_allclose(got, by_time.to_numpy(), rtol=1e-9)


def test_row_01_the_window_ends_at_the_row_and_begins_with_its_oldest_pane() -> None:
    start = 600
    assert column(window("count"), (start, 1.0), (start + 59, 1.0)) == [1, 2]
    assert column(window("count"), (start, 1.0), (start + 60, 1.0)) == [1, 1]
    # The oldest pane leaves as a whole: 57 s lie in (W - g, W], where the pane's edge decides.
    assert column(window("count"), (start + 4, 1.0), (start + 61, 1.0)) == [1, 1]
    assert column(window("count"), (start + 4, 1.0), (start + 59, 1.0)) == [1, 2]


def test_row_01_a_window_of_one_pane_begins_anew_with_each() -> None:
    assert column(window("sum", panes=1), (600, 1.0), (659, 2.0), (660, 4.0), (661, 8.0)) == [1, 3, 4, 12]


def test_row_01_a_window_of_the_most_panes_moves_with_each_of_them() -> None:
    got = column(window("count", window_s=1_024, panes=1_024), *[(second, 1.0) for second in range(3_000)])
    assert got == [min(second + 1, 1_024) for second in range(3_000)]


def test_row_01_times_before_1970_have_panes_too() -> None:
    assert column(window("sum"), (-70, 1.0), (-61, 2.0), (-1, 4.0), (0, 8.0)) == [1, 3, 4, 12]


def test_row_02_rows_of_other_entities_in_between_change_nothing(rng: np.random.Generator) -> None:
    own: list[Row] = [("a", at, float(at % 7)) for at in range(0, 300, 9)]
    others: list[Row] = [("b", at, 1e9) for at in range(0, 300, 4)]
    mixed = sorted(own + others, key=lambda row: (row[1], rng.random()))
    ours = np.array([host == "a" for host, _, _ in mixed])
    assert same_bits(run(window(), mixed).values[ours], run(window(), own).values)


def test_row_03_ties_are_causal() -> None:
    kernel = window("sum", window_s=2, panes=2)
    assert column(kernel, (0, 1.0), (1, 9.0), (1, 2.0), (2, 4.0)) == [1, 10, 12, 15]


@settings(max_examples=60, deadline=None)
@given(rows=streams(ordinary), end=st.integers(1, 60))
def test_row_03_no_row_sees_one_that_comes_after_it(rows: list[Row], end: int) -> None:
    assert same_bits(run(window(), rows[:end]).values, run(window(), rows).values[:end])


@pytest.mark.parametrize("now", [100, 130], ids=["into this turn", "into the last turn"])
def test_row_05_a_late_row_enters_and_leaves_with_the_pane_of_its_own_time(now: int) -> None:
    matrix = run(window("count"), [("a", now, 1.0), ("a", now - 30, 1.0), ("a", now + 29, 1.0), ("a", now + 30, 1.0)])
    assert matrix.values[:, 0].tolist() == [1, 2, 3, 3]
    assert matrix.marks.tolist() == [0, LATE, 0, 0]


def test_row_05_windows_end_at_the_latest_time_also_for_a_late_row() -> None:
    assert column(window("sum"), (100, 1.0), (130, 2.0), (75, 4.0), (131, 8.0)) == [1, 3, 7, 15]


def test_row_05_a_row_whose_pane_the_window_has_left_is_told_the_window_without_it() -> None:
    # Less late than the window is long, and yet twelve panes back.
    assert column(window("count"), (660, 1.0), (604, 1.0), (605, 1.0), (661, 1.0)) == [1, 1, 2, 3]


def test_row_07_statistics_are_missing_until_there_are_enough_values() -> None:
    matrix = run(window("mean", "count", min_count=3), [("a", at, 6.0) for at in range(4)])
    np.testing.assert_array_equal(matrix.values, [[NAN, 1], [NAN, 2], [6, 3], [6, 4]])
    assert matrix.warm.tolist() == [False, False, True, True]


def test_row_07_one_value_has_no_deviation_but_is_warm() -> None:
    matrix = run(window("std"), [("a", 0, 1.0), ("a", 1, 3.0)])
    np.testing.assert_array_equal(matrix.values[:, 0], [NAN, 2**0.5])
    assert matrix.warm.all()


def test_row_08_a_missing_value_stays_out_and_is_no_warm_up() -> None:
    matrix = run(window("mean", "count", min_count=2), [("a", 0, 1.0), ("a", 1, NAN), ("a", 2, 3.0), ("a", 3, NAN)])
    np.testing.assert_array_equal(matrix.values, [[NAN, 1], [NAN, 1], [2, 2], [2, 2]])
    assert matrix.warm.tolist() == [False, True, True, True]


def test_row_08_time_moves_on_with_a_missing_value() -> None:
    assert column(window("count"), (0, 1.0), (61, NAN), (62, 1.0)) == [1, 0, 1]


@pytest.mark.parametrize("spike", [1e12, 1e308, math.inf])
def test_row_09_a_spike_that_left_the_window_leaves_nothing_behind(spike: float, rng: np.random.Generator) -> None:
    calm: list[Row] = [("a", 600 + at, float(x)) for at, x in enumerate(rng.normal(20, 0.1, 90))]
    assert same_bits(run(window(), [("a", 500, spike), *calm]).values[1:], run(window(), calm).values)
    assert same_bits(run(window(), [("a", 590, spike), *calm]).values[-30:], run(window(), calm).values[-30:])


def test_row_09_a_small_deviation_on_a_large_level_is_kept(rng: np.random.Generator) -> None:
    values = 1e9 + rng.normal(size=60)
    got = column(window("std"), *[(600 + second, float(value)) for second, value in enumerate(values)])
    assert got[-1] == pytest.approx(stdev(values.tolist()), rel=1e-6)


def test_numbers_too_large_to_square_are_missing_and_soon_forgotten() -> None:
    got = column(window("std"), (0, 1e300), (1, -1e300), (100, 1.0), (101, 3.0))
    np.testing.assert_array_equal(got, [NAN, NAN, NAN, 2**0.5])


def test_row_15_after_a_silence_longer_than_the_window_state_is_as_new(rng: np.random.Generator) -> None:
    before: list[Row] = [("a", at, float(rng.normal())) for at in range(100)]
    after: list[Row] = [("a", 165 + at, float(rng.normal())) for at in range(100)]
    assert same_bits(run(window(), before + after).values[100:], run(window(), after).values)


def test_row_16_another_entity_changes_nothing() -> None:
    alone = run(window(), [("a", 0, 1.0), ("a", 5, 2.0)]).values
    beside = run(window(), [("a", 0, 1.0), ("b", 1, 1e12), ("a", 5, 2.0)]).values
    assert same_bits(beside[[0, 2]], alone)
