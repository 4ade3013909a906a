"""Damped statistics: how fast values fade, what begins anew, and that every machine gets the same bits."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from itertools import pairwise
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.errors import IntegrityError
from tocsin.kernel.decay import FORGOTTEN, halved
from tocsin.kernel.program import Operation, Program
from tocsin.kernel.run import FeatureMatrix, Kernel
from tocsin.records import SECOND, Batch

HALF_LIFE_S = 10
STATISTICS = ("weight", "mean", "std")
NAN = float("nan")

Row = tuple[int, float]
"""Seconds, value."""


def decay(**changed: object) -> Kernel:
    constants = {"half_life_us": HALF_LIFE_S * SECOND, "statistics": STATISTICS, **changed}
    return Kernel(Program((Operation("decay", ("x",), STATISTICS, constants),), STATISTICS, time="time"))


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


@pytest.mark.parametrize("whole", [0, 1, 5, 63])
def test_row_10_whole_half_lives_are_exact(whole: int) -> None:
    assert halved(whole * 7, 7) == 2.0**-whole


def test_row_10_powers_are_right_to_the_last_digits(rng: np.random.Generator) -> None:
    half_life = 10**7
    gaps = rng.integers(0, FORGOTTEN * half_life, 2_000)
    np.testing.assert_allclose([halved(int(gap), half_life) for gap in gaps], np.exp2(-gaps / half_life), rtol=1e-14)
    near = rng.integers(0, half_life, 2_000)
    np.testing.assert_allclose([halved(int(gap), half_life) for gap in near], np.exp2(-near / half_life), rtol=5e-16)


def test_row_11_every_machine_gets_these_bits() -> None:
    powers = np.array([halved(gap, 997) for gap in range(0, FORGOTTEN * 997, 13)], dtype="<f8")
    assert hashlib.sha256(powers.tobytes()).hexdigest()[:16] == "2d82010093fa50fd"


def test_a_gap_just_short_of_a_huge_half_life_is_no_step_too_far() -> None:
    # The quotient rounds up to 1.
    assert halved(2**60 - 1, 2**60) == 0.5


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


@pytest.mark.parametrize("changed", [{"half_life_us": 0}, {"statistics": ["max", "mean", "std"]}])
def test_a_program_with_constants_that_do_not_fit_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(IntegrityError, match="constants that do not fit"):
        decay(**changed)
