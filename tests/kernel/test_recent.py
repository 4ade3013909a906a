"""Exact windows: which values are in, and statistics that are those of the values alone."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.errors import IntegrityError
from tocsin.kernel.entities import LATE
from tocsin.kernel.program import Operation, Program
from tocsin.kernel.run import FeatureMatrix, Kernel
from tocsin.records import Batch, Matrix

STATISTICS = ("mean", "std", "min", "max", "count", "sum")
WINDOW, LIMIT = 60, 16
NAN = float("nan")

Row = tuple[str, int, float]
"""Host, microseconds, value."""


def window(*statistics: str, kind: type[Kernel] = Kernel, limit: int = LIMIT, min_count: int = 1) -> Kernel:
    statistics = statistics or STATISTICS
    constants = {"window_us": WINDOW, "limit": limit, "statistics": statistics, "min_count": min_count}
    return kind(Program((Operation("recent", ("x",), statistics, constants),), statistics, time="time", entity="host"))


def batch(rows: list[Row]) -> Batch:
    return Batch(
        {
            "host": np.array([host for host, _, _ in rows], dtype=object),
            "time": np.array([at for _, at, _ in rows], dtype=np.int64),
            "x": np.array([value for _, _, value in rows], dtype=np.float64),
        }
    )


def run(kernel: Kernel, rows: list[Row]) -> FeatureMatrix:
    return kernel.run(batch(rows), kernel.start())


def column(kernel: Kernel, *rows: tuple[int, float]) -> list[float]:
    values: list[float] = run(kernel, [("a", at, value) for at, value in rows]).values[:, 0].tolist()
    return values


def same_bits(one: Matrix, other: Matrix) -> bool:
    return one.tobytes() == other.tobytes()


def arriving(start: int, steps: list[tuple[str, int, int, float]]) -> list[Row]:
    """Steps and how late a row comes -> times."""
    clocks = (start + np.cumsum([step for _, step, _, _ in steps])).tolist()
    return [(host, clock - late, value) for clock, (host, _, late, value) in zip(clocks, steps, strict=True)]


ordinary = st.one_of(
    st.just(NAN),
    st.integers(-(10**15), 10**15).map(lambda whole: whole / 1_000),
    st.integers(10**12, 10**12 + 3).map(float),
    st.integers(0, 3).map(float),
)
extreme = st.sampled_from([NAN, math.inf, -math.inf, 1e308, -1e308, 1.7e308, 5e-324, -0.0, 1.0])


def streams(values: st.SearchStrategy[float]) -> st.SearchStrategy[list[Row]]:
    """Ties, gaps around the window's length, rows late by less than it, times before 1970."""
    steps = st.tuples(
        st.sampled_from("aab"),
        st.sampled_from([0, 0, 1, 2, 5, 30, 59, 60, 61]),
        st.sampled_from([0, 0, 0, 1, 2, 30, 59]),
        values,
    )
    return st.builds(arriving, st.sampled_from([0, -50, 10**15]), st.lists(steps, min_size=1, max_size=60))


def latest(rows: list[Row]) -> list[int]:
    """Where the window of each row ends."""
    seen: dict[str, int] = {}
    ends = []
    for host, at, _ in rows:
        seen[host] = max(at, seen.get(host, at))
        ends.append(seen[host])
    return ends


def inside(rows: list[Row], row: int, end: int, limit: int = LIMIT) -> list[float]:
    """The values in a row's window, in the order of time and arrival."""
    values = [
        (at, value)
        for host, at, value in rows[: row + 1]
        if host == rows[row][0] and at > end - WINDOW and math.isfinite(value)
    ]
    return [value for _, value in sorted(values, key=lambda pair: pair[0])][-limit:]


@settings(max_examples=150, deadline=None)
@given(rows=streams(ordinary), limit=st.sampled_from([1, 2, 5, 512]))
def test_values_are_those_of_the_last_values_in_the_window_by_exact_arithmetic(rows: list[Row], limit: int) -> None:
    got = run(window(limit=limit), rows).values
    for row, end in enumerate(latest(rows)):
        values = inside(rows, row, end, limit)
        wanted = [min(values, default=NAN), max(values, default=NAN), len(values)]
        np.testing.assert_array_equal(got[row, 2:5], wanted)
        if not values:
            assert np.isnan(got[row, [0, 1, 5]]).all()
            continue
        exact = [Fraction(value) for value in values]
        mean, size = sum(exact) / len(exact), max(map(abs, values))
        assert got[row, 0] == pytest.approx(float(mean), rel=1e-9, abs=1e-15 * size)
        assert got[row, 5] == pytest.approx(float(sum(exact)), rel=1e-9, abs=1e-14 * size)
        if len(exact) > 1:
            deviation = math.sqrt(sum((value - mean) ** 2 for value in exact) / (len(exact) - 1))
            assert got[row, 1] == pytest.approx(deviation, rel=1e-9)


@settings(max_examples=100, deadline=None)
@given(rows=streams(st.one_of(ordinary, extreme)), limit=st.sampled_from([1, 3, 512]), start=st.integers(0, 59))
def test_history_before_the_window_is_never_felt_even_at_the_limit(rows: list[Row], limit: int, start: int) -> None:
    start = min(start, len(rows) - 1)
    ends = latest(rows)
    before = {host: end for (host, _, _), end in zip(rows[:start], ends[:start], strict=True)}
    settled = [row for row in range(start, len(rows)) if ends[row] - WINDOW >= before.get(rows[row][0], -(10**9))]
    whole, late_start = run(window(limit=limit), rows).values, run(window(limit=limit), rows[start:]).values
    assert same_bits(whole[settled], late_start[[row - start for row in settled]])


@settings(max_examples=60, deadline=None)
@given(rows=streams(st.one_of(ordinary, extreme)), cuts=st.lists(st.integers(0, 60), max_size=5))
def test_any_chunking_gives_the_bits_of_one_pass(rows: list[Row], cuts: list[int]) -> None:
    kernel = window(min_count=2, limit=4)
    whole = run(kernel, rows)
    state = kernel.start()
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    parts = [kernel.run(batch(rows[start:end]), state) for start, end in pairwise(edges)]
    assert same_bits(np.concatenate([part.values for part in parts]), whole.values)
    assert np.concatenate([part.marks for part in parts]).tolist() == whole.marks.tolist()


@settings(max_examples=60, deadline=None)
@given(rows=streams(st.one_of(ordinary, extreme)), limit=st.sampled_from([1, 4, 512]))
def test_row_10_the_sources_give_the_bits_of_the_compiled_kernel(
    sources: type[Kernel], rows: list[Row], limit: int
) -> None:
    compiled, interpreted = (run(window(kind=kind, limit=limit), rows) for kind in (Kernel, sources))
    assert same_bits(compiled.values, interpreted.values)
    assert compiled.marks.tolist() == interpreted.marks.tolist()


@settings(max_examples=60, deadline=None)
@given(rows=streams(ordinary))
def test_row_05_whether_rows_came_in_time_or_late_is_not_felt_by_later_ones(rows: list[Row]) -> None:
    own = [row for row in rows if row[0] == "a"]
    if not own:
        return
    end = ("a", max(at for _, at, _ in own), 0.0)
    in_order = sorted(own, key=lambda row: row[1])
    late, timely = run(window(), [*own, end]).values[-1:], run(window(), [*in_order, end]).values[-1:]
    assert same_bits(late, timely)


def test_row_01_the_window_is_open_at_its_start_and_holds_the_row_itself() -> None:
    assert column(window("sum"), (0, 1.0), (59, 2.0), (60, 4.0), (61, 8.0), (119, 16.0)) == [1, 3, 6, 14, 28]


def test_row_01_times_before_1970_are_in_windows_too() -> None:
    assert column(window("count"), (-60, 1.0), (-1, 1.0), (0, 1.0)) == [1, 2, 2]


def test_row_02_rows_of_other_entities_in_between_change_nothing(rng: np.random.Generator) -> None:
    own: list[Row] = [("a", at, float(at % 7)) for at in range(0, 300, 9)]
    others: list[Row] = [("b", at, 1e9) for at in range(0, 300, 4)]
    mixed = sorted(own + others, key=lambda row: (row[1], rng.random()))
    ours = np.array([host == "a" for host, _, _ in mixed])
    assert same_bits(run(window(), mixed).values[ours], run(window(), own).values)


def test_row_03_ties_are_causal() -> None:
    assert column(window("sum"), (0, 1.0), (1, 9.0), (1, 2.0), (2, 4.0)) == [1, 10, 12, 16]


def test_row_03_of_equal_times_the_first_to_come_is_left_out_first() -> None:
    assert column(window("sum", limit=2), (5, 1.0), (5, 2.0), (5, 4.0), (6, 8.0)) == [1, 3, 6, 12]


def test_row_05_a_late_row_counts_if_its_own_time_is_in_the_window() -> None:
    matrix = run(window("sum"), [("a", 100, 1.0), ("a", 41, 2.0), ("a", 100, 4.0), ("a", 101, 8.0)])
    assert matrix.values[:, 0].tolist() == [1, 3, 7, 13]
    assert matrix.marks.tolist() == [0, LATE, 0, 0]


def test_row_05_a_late_row_among_as_many_later_ones_as_are_kept_is_not_in() -> None:
    assert column(window("sum", limit=2), (10, 1.0), (20, 2.0), (5, 4.0), (10, 8.0), (21, 16.0)) == [1, 3, 3, 10, 18]


def test_row_05_a_row_older_than_this_window_but_not_than_another_stays_out() -> None:
    def summing(name: str, window_us: int) -> Operation:
        constants = {"window_us": window_us, "limit": 9, "statistics": ["sum"], "min_count": 1}
        return Operation("recent", ("x",), (name,), constants)

    operations = (summing("long", 600), summing("short", 60))
    kernel = Kernel(Program(operations, ("long", "short"), time="time", entity="host"))
    rows: list[Row] = [("a", 500, 1.0), ("a", 440, 2.0), ("a", 441, 4.0)]
    assert run(kernel, rows).values.tolist() == [[1, 1], [3, 1], [7, 5]]


def test_row_07_statistics_are_missing_until_there_are_enough_values() -> None:
    matrix = run(window("mean", "count", min_count=3), [("a", at, 6.0) for at in range(4)])
    np.testing.assert_array_equal(matrix.values, [[NAN, 1], [NAN, 2], [6, 3], [6, 4]])
    assert matrix.warm.tolist() == [False, False, True, True]


def test_row_07_one_value_has_no_deviation_but_is_warm() -> None:
    matrix = run(window("std"), [("a", 0, 1.0), ("a", 1, 3.0)])
    np.testing.assert_array_equal(matrix.values[:, 0], [NAN, 2**0.5])
    assert matrix.warm.all()


def test_row_08_a_missing_value_stays_out_and_is_no_warm_up() -> None:
    matrix = run(window("mean", "count", min_count=2), [("a", 0, 1.0), ("a", 1, NAN), ("a", 2, 3.0), ("a", 61, NAN)])
    np.testing.assert_array_equal(matrix.values, [[NAN, 1], [NAN, 1], [2, 2], [NAN, 1]])
    assert matrix.warm.tolist() == [False, True, True, True]


def test_row_08_what_a_feature_could_not_compute_is_missing_too() -> None:
    ratio = Operation("ratio", ("x", "below"), ("ratio",), {"offset": 0.0})
    constants = {"window_us": 60, "limit": 9, "statistics": ["count", "max"], "min_count": 1}
    recent = Operation("recent", ("ratio",), ("count", "max"), constants)
    kernel = Kernel(Program((ratio, recent), ("count", "max"), time="time", entity="host"))
    rows = batch([("a", 0, 1.0), ("a", 1, 1e300), ("a", 2, 3.0)]).replace({"below": np.array([1.0, 1e-300, 1.0])})
    assert kernel.run(rows, kernel.start()).values.tolist() == [[1, 1], [1, 1], [2, 3]]


@pytest.mark.parametrize("spike", [1e12, 1e308])
def test_row_09_a_spike_that_left_the_window_leaves_nothing_behind(spike: float, rng: np.random.Generator) -> None:
    calm: list[Row] = [("a", 600 + at, float(x)) for at, x in enumerate(rng.normal(20, 0.1, 90))]
    assert same_bits(run(window(), [("a", 540, spike), *calm]).values[1:], run(window(), calm).values)
    assert same_bits(run(window(), [("a", 590, spike), *calm]).values[-30:], run(window(), calm).values[-30:])


def test_row_09_equal_values_have_no_deviation_at_any_level() -> None:
    assert set(column(window("std"), *[(at, 0.1 + 1e12) for at in range(9)])[1:]) == {0.0}


def test_row_09_steps_of_a_counter_on_a_high_level_are_kept() -> None:
    values = [1e15 + step for step in (0, 1, 3, 6, 10, 15)]
    got = column(window("std"), *enumerate(values))
    assert got[-1] == pytest.approx(float(np.std([0, 1, 3, 6, 10, 15], ddof=1)), rel=1e-12)


def test_row_15_after_a_silence_longer_than_the_window_state_is_as_new(rng: np.random.Generator) -> None:
    before: list[Row] = [("a", at, float(rng.normal())) for at in range(100)]
    after: list[Row] = [("a", 160 + at, float(rng.normal())) for at in range(100)]
    assert same_bits(run(window(), before + after).values[100:], run(window(), after).values)


def test_an_entity_takes_sixteen_bytes_for_each_value_and_eight_more() -> None:
    assert window(limit=128).plan.words * 8 == 16 * 128 + 8


@pytest.mark.parametrize("changed", [{"limit": 0}, {"limit": 513}, {"window_us": 0}, {"window_us": 2**62}])
def test_a_program_with_constants_that_make_no_window_is_refused(changed: dict[str, int]) -> None:
    constants = {"window_us": 1, "limit": 1, "statistics": ["mean"], "min_count": 1, **changed}
    with pytest.raises(IntegrityError, match="window_us of 1 to"):
        Kernel(Program((Operation("recent", ("x",), ("y",), constants),), ("y",), time="time"))
