"""Damped statistics: how fast values fade, what is forgotten, and what begins anew."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.errors import IntegrityError
from tocsin.kernel.arithmetic import FORGOTTEN
from tocsin.kernel.program import Operation, Program
from tocsin.kernel.run import FeatureMatrix, Kernel
from tocsin.records import SECOND, Batch

HALF_LIFE_S = 10
HORIZON_S = 2 * FORGOTTEN * HALF_LIFE_S
STATISTICS = ("weight", "mean", "std")
NAN = float("nan")

Row = tuple[int, float]
"""Seconds, value."""


def program(**changed: object) -> Program:
    constants = {"half_life_us": HALF_LIFE_S * SECOND, "statistics": STATISTICS, **changed}
    return Program((Operation("decay", ("x",), STATISTICS, constants),), STATISTICS, time="time")


def decay(**changed: object) -> Kernel:
    return Kernel(program(**changed))


def batch(rows: list[Row]) -> Batch:
    times, values = zip(*rows, strict=True)
    return Batch({"time": np.array(times, dtype=np.int64) * SECOND, "x": np.array(values, dtype=np.float64)})


def run(*rows: Row) -> FeatureMatrix:
    kernel = decay()
    return kernel.run(batch(list(rows)), kernel.start())


def arriving(steps: list[Row]) -> list[Row]:
    times = np.cumsum([step for step, _ in steps]).tolist()
    return [(at, value) for at, (_, value) in zip(times, steps, strict=True)]


streams = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1, 4, 30, 400, 640, 5_000, -7]),
        st.one_of(st.just(NAN), st.integers(-(10**6), 10**6).map(lambda whole: whole / 1_000)),
    ),
    min_size=1,
    max_size=40,
).map(arriving)


@settings(max_examples=60, deadline=None)
@given(rows=streams, cuts=st.lists(st.integers(0, 40), max_size=5))
def test_any_chunking_gives_the_bits_of_one_pass(rows: list[Row], cuts: list[int]) -> None:
    kernel = decay()
    state = kernel.start()
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    parts = [kernel.run(batch(rows[start:end]), state).values for start, end in pairwise(edges) if start < end]
    assert np.concatenate(parts).tobytes() == run(*rows).values.tobytes()


@settings(max_examples=60, deadline=None)
@given(rows=streams)
def test_values_are_those_of_exact_weights(rows: list[Row]) -> None:
    got = run(*rows).values
    times = np.maximum.accumulate([at for at, _ in rows]).tolist()
    present: list[tuple[int, Fraction]] = []
    for row, (at, (_, value)) in enumerate(zip(times, rows, strict=True)):
        if present and at - present[-1][0] >= FORGOTTEN * HALF_LIFE_S:
            present.clear()
        if not np.isnan(value):
            present.append((at, Fraction(value)))
        weights = [Fraction(2.0 ** ((earlier - at) / HALF_LIFE_S)) for earlier, _ in present]
        total = sum(weights, Fraction(0))
        if not present:
            np.testing.assert_array_equal(got[row], [0, NAN, NAN])
            continue
        weighted = list(zip(weights, (x for _, x in present), strict=True))
        mean = sum((w * x for w, x in weighted), Fraction(0)) / total
        variance = sum((w * (x - mean) ** 2 for w, x in weighted), Fraction(0)) / total
        size = max(abs(x) for _, x in present)
        np.testing.assert_allclose(got[row, :2], [float(total), float(mean)], rtol=1e-9, atol=1e-9 * float(size))
        if not np.isnan(got[row, 2]):
            assert got[row, 2] == pytest.approx(sqrt(variance), rel=1e-6, abs=1e-9 * float(size) + 1e-9)


@settings(max_examples=60, deadline=None)
@given(rows=streams, start=st.integers(1, 39))
def test_row_15_history_before_the_horizon_is_never_felt(rows: list[Row], start: int) -> None:
    start = min(start, len(rows) - 1)
    times = np.maximum.accumulate([at for at, _ in rows])
    settled = np.flatnonzero((times >= times[start - 1] + HORIZON_S) & (np.arange(len(rows)) >= start))
    rows = [(int(at), value) for at, (_, value) in zip(times, rows, strict=True)]
    assert run(*rows).values[settled].tobytes() == run(*rows[start:]).values[settled - start].tobytes()


def test_row_15_a_level_of_long_ago_leaves_no_trace_in_a_constant(rng: np.random.Generator) -> None:
    # 0.1 is no sum of powers of two: from elsewhere, a mean would stop moving a last digit away from it.
    constant = [(at, 0.1) for at in range(100, 100 + 2 * HORIZON_S)]
    before = [(at, float(rng.normal(5, 1))) for at in range(100)]
    assert run(*before, *constant).values[-1].tolist() == run(*constant).values[-1].tolist()
    assert run(*before, *constant).values[-1, 1:].tolist() == [0.1, 0.0]


def test_pane_by_pane_statistics_are_smooth(rng: np.random.Generator) -> None:
    """Where a new pane begins nothing is to be seen: the mean of a constant and the weight go on."""
    edge = FORGOTTEN * HALF_LIFE_S
    values = run(*((at, 7.0) for at in range(edge - 200, edge + 200))).values
    assert (values[:, 1] == 7.0).all()
    assert (np.diff(values[:, 0]) > -1e-12).all()


def test_a_value_counts_half_after_each_half_life() -> None:
    matrix = run((0, 8.0), (10, 2.0), (20, 2.0))
    np.testing.assert_array_equal(matrix.values[:, 0], [1, 1.5, 1.75])
    np.testing.assert_allclose(matrix.values[:, 1], [8, 4, (0.25 * 8 + 1.5 * 2) / 1.75])
    np.testing.assert_allclose(matrix.values[1, 2], sqrt((0.5 * 16 + 1 * 4) / 1.5))


def test_row_03_ties_are_causal_and_weigh_the_same() -> None:
    np.testing.assert_array_equal(run((0, 1.0), (0, 3.0), (0, 5.0)).values[:, :2], [[1, 1], [2, 2], [3, 3]])


def test_row_05_a_late_row_counts_at_the_latest_time() -> None:
    late, in_order = run((100, 1.0), (10, 3.0), (105, 4.0)), run((100, 1.0), (100, 3.0), (105, 4.0))
    assert late.values.tobytes() == in_order.values.tobytes()


def test_row_07_one_value_has_no_deviation_but_is_warm() -> None:
    matrix = run((0, 5.0), (1, 5.0))
    np.testing.assert_array_equal(matrix.values[:, 2], [NAN, 0])
    assert matrix.warm.all()


def test_row_08_a_missing_value_sees_the_state_damped_and_leaves_no_trace_in_it() -> None:
    rows = run((0, 1.0), (3, 5.0), (7, NAN), (9, NAN), (13, 2.0)).values
    assert rows[[0, 1, 4]].tobytes() == run((0, 1.0), (3, 5.0), (13, 2.0)).values.tobytes()
    np.testing.assert_allclose(rows[2], [rows[1, 0] * 2**-0.4, rows[1, 1], rows[1, 2]])


def test_row_08_before_any_value_there_is_no_weight() -> None:
    np.testing.assert_array_equal(run((0, NAN)).values, [[0, NAN, NAN]])


def test_row_09_a_small_deviation_on_a_large_level_is_kept() -> None:
    values = run(*((0, 1e9 + second % 2) for second in range(100))).values
    assert values[-1, 2] == pytest.approx(0.5, rel=1e-6)


def test_row_15_after_64_half_lives_state_is_as_new_and_not_before() -> None:
    after = [(at, float(at % 7)) for at in range(1_000, 1_040, 3)]
    alone = run(*after).values
    assert run((1_000 - FORGOTTEN * HALF_LIFE_S, 1e6), *after).values[1:].tobytes() == alone.tobytes()
    assert run((1_001 - FORGOTTEN * HALF_LIFE_S, 1e30), *after).values[1:].tobytes() != alone.tobytes()


def test_row_09_a_spike_that_has_almost_faded_leaves_no_negative_square() -> None:
    matrix = run((0, 1e30), (FORGOTTEN * HALF_LIFE_S - 1, 6.0), (FORGOTTEN * HALF_LIFE_S, 2.0))
    assert matrix.values[0, 0] == 1
    assert (matrix.values[1:, 0] >= 1).all()
    assert (matrix.values[1:, 1] < 1e12).all()
    assert not (matrix.values[1:, 2] < 0).any()


def test_row_15_a_missing_value_after_64_half_lives_has_no_weight() -> None:
    np.testing.assert_array_equal(run((0, 1.0), (FORGOTTEN * HALF_LIFE_S, NAN)).values[1], [0, NAN, NAN])


def test_values_too_far_apart_to_square_begin_anew() -> None:
    matrix = run((0, 1e300), (0, -1e308), (0, 1e308), (0, 1.0), (0, 3.0)).values
    np.testing.assert_array_equal(matrix[:, 0], [1, 1, 1, 1, 2])
    np.testing.assert_array_equal(matrix[-1], [2, 2, 1])


@settings(max_examples=60, deadline=None)
@given(rows=streams)
def test_the_sources_compute_what_the_compiled_kernel_does(sources: type[Kernel], rows: list[Row]) -> None:
    kernel = sources(program())
    assert kernel.run(batch(rows), kernel.start()).values.tobytes() == run(*rows).values.tobytes()


@pytest.mark.parametrize(
    "changed", [{"half_life_us": 0}, {"half_life_us": 2**54}, {"statistics": ["max", "mean", "std"]}]
)
def test_a_program_with_constants_that_do_not_fit_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(IntegrityError, match="constants that do not fit"):
        decay(**changed)
