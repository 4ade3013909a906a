"""Windows: which rows are in, in what order they are added up, and what is never left behind."""

from __future__ import annotations

from itertools import pairwise
from statistics import fmean, stdev

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin import observe
from tocsin.kernel.program import Operation, Program
from tocsin.kernel.run import FeatureMatrix, Kernel
from tocsin.records import SECOND, Batch, Matrix

STATISTICS = ("mean", "std", "min", "max", "count", "sum")
WINDOW_S, PANES = 60, 12
PANE_S = WINDOW_S // PANES
NAN = float("nan")

Row = tuple[str, int, float]
"""Host, seconds, value."""


def window(*statistics: str, window_s: int = WINDOW_S, panes: int = PANES, min_count: int = 1) -> Kernel:
    statistics = statistics or STATISTICS
    constants = {
        "pane_us": window_s * SECOND // panes, "panes": panes, "statistics": statistics, "min_count": min_count,
    }  # fmt: skip
    operation = Operation("panes", ("x",), statistics, constants)
    return Kernel(Program((operation,), statistics, time="time", entity="host"))


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


def arriving(steps: list[Row]) -> list[Row]:
    """Steps in seconds -> times; a step back makes a late row."""
    times = np.cumsum([step for _, step, _ in steps]).tolist()
    return [(host, at, value) for (host, _, value), at in zip(steps, times, strict=True)]


streams = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.sampled_from([0, 0, 1, 4, 5, 30, 61, 400, -7]),
        st.one_of(
            st.just(NAN), st.integers(-(10**15), 10**15).map(lambda whole: whole / 1_000), st.integers(0, 3).map(float)
        ),
    ),
    min_size=1,
    max_size=60,
).map(arriving)


def effective_times(rows: list[Row]) -> list[int]:
    latest: dict[str, int] = {}
    times = []
    for host, at, _ in rows:
        latest[host] = max(at, latest.get(host, at))
        times.append(latest[host])
    return times


@settings(max_examples=60, deadline=None)
@given(rows=streams, cuts=st.lists(st.integers(0, 60), max_size=5))
def test_any_chunking_gives_the_bits_of_one_pass(rows: list[Row], cuts: list[int]) -> None:
    kernel = window(min_count=2)
    whole = run(kernel, rows)
    state = kernel.start()
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    parts = [kernel.run(batch(rows[start:end]), state) for start, end in pairwise(edges)]
    assert same_bits(np.concatenate([part.values for part in parts]), whole.values)
    assert np.concatenate([part.warm for part in parts]).tolist() == whole.warm.tolist()


@settings(max_examples=60, deadline=None)
@given(rows=streams, start=st.integers(0, 59))
def test_history_before_the_window_is_never_felt(rows: list[Row], start: int) -> None:
    start = min(start, len(rows) - 1)
    times = effective_times(rows)
    first = {host: time for (host, _, _), time in reversed(list(zip(rows[start:], times[start:], strict=True)))}
    settled = [
        row for row in range(start, len(rows)) if times[row] - first[rows[row][0]] >= WINDOW_S + PANE_S
    ]  # fmt: skip
    kernel = window()
    whole, late_start = run(kernel, rows).values, run(kernel, rows[start:]).values
    assert same_bits(whole[settled], late_start[[row - start for row in settled]])


@settings(max_examples=60, deadline=None)
@given(rows=streams)
def test_values_are_those_of_the_rows_in_the_panes(rows: list[Row]) -> None:
    got, times = run(window(), rows).values, effective_times(rows)
    for row, (host, _, _) in enumerate(rows):
        last = times[row] // PANE_S
        inside = [
            rows[earlier][2]
            for earlier in range(row + 1)
            if rows[earlier][0] == host
            and last - PANES < times[earlier] // PANE_S <= last
            and not np.isnan(rows[earlier][2])
        ]
        wanted = [
            fmean(inside) if inside else NAN,
            stdev(inside) if len(inside) > 1 else NAN,
            min(inside, default=NAN),
            max(inside, default=NAN),
            len(inside),
            sum(inside) if inside else NAN,
        ]
        size = max(map(abs, inside), default=0.0)
        np.testing.assert_allclose(got[row], wanted, rtol=1e-9, atol=1e-9 * size)


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


def test_row_05_a_late_row_counts_as_arriving_at_the_latest_time() -> None:
    in_order = [("a", 100, 1.0), ("a", 100, 2.0), ("a", 159, 4.0), ("a", 160, 8.0)]
    late = [("a", 100, 1.0), ("a", 10, 2.0), ("a", 159, 4.0), ("a", 160, 8.0)]
    assert same_bits(run(window(), late).values, run(window(), in_order).values)


def test_row_05_a_late_row_stays_as_long_as_a_row_of_the_latest_time() -> None:
    assert column(window("count"), (100, NAN), (10, 5.0), (150, 1.0), (161, 1.0)) == [0, 1, 2, 2]


def test_row_05_late_rows_are_counted() -> None:
    before = observe.counters().get("tocsin_rows_late_total", 0)
    run(window(), [("a", 100, 1.0), ("a", 10, 2.0), ("b", 10, 2.0)])
    assert observe.counters()["tocsin_rows_late_total"] == before + 1


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


def test_row_09_a_spike_that_left_the_window_leaves_nothing_behind(rng: np.random.Generator) -> None:
    calm: list[Row] = [("a", 600 + at, float(x)) for at, x in enumerate(rng.normal(20, 0.1, 90))]
    assert same_bits(run(window(), [("a", 500, 1e15), *calm]).values[1:], run(window(), calm).values)


def test_row_09_a_small_deviation_on_a_large_level_is_kept(rng: np.random.Generator) -> None:
    values = 1e9 + rng.normal(size=60)
    got = column(window("std"), *[(600 + second, float(value)) for second, value in enumerate(values)])
    assert got[-1] == pytest.approx(stdev(values.tolist()), rel=1e-6)


def test_numbers_too_large_to_square_are_missing_and_soon_forgotten() -> None:
    got = column(window("std"), (0, 1e300), (1, -1e300), (100, 1.0), (101, 3.0))
    np.testing.assert_array_equal(got, [NAN, NAN, NAN, 2**0.5])


def test_row_15_after_a_silence_longer_than_the_window_state_is_as_new(rng: np.random.Generator) -> None:
    before: list[Row] = [("a", at, float(rng.normal())) for at in range(100)]
    after: list[Row] = [("a", 100 + WINDOW_S + PANE_S + at, float(rng.normal())) for at in range(100)]
    assert same_bits(run(window(), before + after).values[100:], run(window(), after).values)


def test_row_16_another_entity_changes_nothing() -> None:
    alone = run(window(), [("a", 0, 1.0), ("a", 5, 2.0)]).values
    beside = run(window(), [("a", 0, 1.0), ("b", 1, 1e12), ("a", 5, 2.0)]).values
    assert same_bits(beside[[0, 2]], alone)
