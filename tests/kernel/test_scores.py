"""Z-scores: what a row is measured with, and what is said where nothing can be measured."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import sqrt
from statistics import fmean, stdev

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tocsin.errors import IntegrityError
from tocsin.kernel.program import Operation, Program
from tocsin.kernel.run import FeatureMatrix, Kernel
from tocsin.records import SECOND, Batch

WINDOW_S, PANES, CLIP = 60, 12, 8.0
PANE_S = WINDOW_S // PANES
NAN = float("nan")
ROOT_2 = 2**0.5

Row = tuple[int, float]
"""Seconds, value."""


def run(rows: list[Row], **changed: object) -> FeatureMatrix:
    kernel = zscore(**changed)
    return kernel.run(batch(rows), kernel.start())


def program(**changed: object) -> Program:
    constants = {"pane_us": PANE_S * SECOND, "panes": PANES, "clip": CLIP, "min_count": 2, "include_current": False}
    return Program((Operation("zscore", ("x",), ("z",), {**constants, **changed}),), ("z",), time="time")


def zscore(**changed: object) -> Kernel:
    return Kernel(program(**changed))


def batch(rows: list[Row]) -> Batch:
    times, values = zip(*rows, strict=True)
    return Batch({"time": np.array(times, dtype=np.int64) * SECOND, "x": np.array(values, dtype=np.float64)})


def scores(*rows: Row, **changed: object) -> list[float]:
    values: list[float] = run(list(rows), **changed).values[:, 0].tolist()
    return values


def arriving(steps: list[Row]) -> list[Row]:
    times = np.cumsum([step for step, _ in steps]).tolist()
    return [(at, value) for at, (_, value) in zip(times, steps, strict=True)]


streams = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1, 4, 5, 30, 61, 400, -7]),
        st.one_of(
            st.just(NAN), st.just(1e200), st.integers(-(10**6), 10**6).map(lambda whole: whole / 1_000),
            st.integers(0, 3).map(float),
        ),
    ),
    min_size=1,
    max_size=60,
).map(arriving)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(rows=streams, cuts=st.lists(st.integers(0, 60), max_size=5), including=st.booleans())
def test_any_chunking_gives_the_bits_of_one_pass(rows: list[Row], cuts: list[int], including: bool) -> None:
    kernel = zscore(include_current=including)
    state = kernel.start()
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    parts = [kernel.run(batch(rows[start:end]), state) for start, end in pairwise(edges) if start < end]
    whole = run(rows, include_current=including)
    assert np.concatenate([part.values for part in parts]).tobytes() == whole.values.tobytes()
    assert np.concatenate([part.warm for part in parts]).tolist() == whole.warm.tolist()


@settings(max_examples=60, deadline=None)
@given(rows=streams)
def test_scores_are_those_of_the_exact_window(rows: list[Row]) -> None:
    """Held against exact fractions wherever the deviation is not lost in the last digits of the level."""
    latest = np.maximum.accumulate([at for at, _ in rows]).tolist()
    assume(all(now - at < WINDOW_S for now, (at, _) in zip(latest, rows, strict=True)))
    got = scores(*rows, clip=1e6)
    for row, (now, (_, value)) in enumerate(zip(latest, rows, strict=True)):
        panes = range(now // PANE_S - PANES + 1, now // PANE_S + 1)
        before = [Fraction(x) for at, x in rows[:row] if at // PANE_S in panes and not np.isnan(x)]
        if np.isnan(value) or len(before) < 2:
            assert np.isnan(got[row])
            continue
        mean = sum(before) / len(before)
        spread = sum((x - mean) ** 2 for x in before) / (len(before) - 1)
        if spread > (max(map(abs, before)) / 10**6) ** 2 and spread < 10**20:
            wanted = (float(Fraction(value) - mean)) / sqrt(spread)
            assert got[row] == pytest.approx(min(max(wanted, -1e6), 1e6), rel=1e-6, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(rows=streams, including=st.booleans())
def test_the_sources_compute_what_the_compiled_kernel_does(
    sources: type[Kernel], rows: list[Row], including: bool
) -> None:
    kernel = sources(program(include_current=including))
    got, wanted = kernel.run(batch(rows), kernel.start()), run(rows, include_current=including)
    assert (got.values.tobytes(), got.marks.tobytes()) == (wanted.values.tobytes(), wanted.marks.tobytes())


@settings(max_examples=60, deadline=None)
@given(rows=streams, start=st.integers(0, 59))
def test_history_before_the_window_is_never_felt(rows: list[Row], start: int) -> None:
    start = min(start, len(rows) - 1)
    times = np.maximum.accumulate([at for at, _ in rows])
    settled = [row for row in range(start, len(rows)) if times[row] - times[start] >= WINDOW_S + PANE_S]
    rows = [(int(at), value) for at, (_, value) in zip(times, rows, strict=True)]
    whole, late_start = run(rows).values, run(rows[start:]).values
    assert whole[settled].tobytes() == late_start[[row - start for row in settled]].tobytes()


def test_a_row_is_measured_with_the_rows_before_it(rng: np.random.Generator) -> None:
    values = rng.normal(20, 5, 30).tolist()
    got = scores(*enumerate(values), clip=100.0)
    wanted = [(values[row] - fmean(values[:row])) / stdev(values[:row]) for row in range(2, 30)]
    np.testing.assert_allclose(got, [NAN, NAN, *wanted], rtol=1e-12)


def test_a_row_in_its_own_window_hides_itself() -> None:
    rows = [*enumerate([1.0, 3.0] * 5), (10, 1e6)]
    assert scores(*rows)[-1] == CLIP
    assert scores(*rows, include_current=True)[-1] == pytest.approx(10 / 11**0.5, rel=1e-6)


def test_scores_are_clipped_on_both_sides() -> None:
    assert scores((0, 1.0), (1, 3.0), (2, -1e6))[-1] == -CLIP


def test_row_01_the_window_before_a_row_begins_with_its_own_oldest_pane() -> None:
    assert scores((0, 900.0), (5, 1.0), (6, 3.0), (60, 2.0 + ROOT_2))[-1] == pytest.approx(1.0)


def test_row_03_ties_are_causal() -> None:
    got = scores((0, 1.0), (0, 3.0), (0, 2.0 + ROOT_2))
    np.testing.assert_allclose(got, [NAN, NAN, 1.0])


def test_row_05_a_late_row_is_measured_with_the_latest_window_and_leaves_with_the_pane_of_its_own_time() -> None:
    late = scores((50, 1.0), (100, 3.0), (52, 2.0 + ROOT_2), (111, 2.0))
    np.testing.assert_allclose(late, [NAN, NAN, 1.0, NAN])
    np.testing.assert_array_equal(
        scores((50, 1.0), (100, 3.0), (52, 5.0), (105, 4.0))[3:],
        scores((50, 1.0), (52, 5.0), (100, 3.0), (105, 4.0))[3:],
    )


def test_row_05_a_row_too_late_for_the_window_stays_out() -> None:
    np.testing.assert_allclose(scores((100, 1.0), (110, 3.0), (45, 900.0), (111, 2.0 + ROOT_2))[3], 1.0)


def test_row_07_below_min_count_a_score_is_missing_and_the_row_warming_up() -> None:
    matrix = run([(at, float(at)) for at in range(5)], min_count=3)
    assert np.isnan(matrix.values[:, 0]).tolist() == [True, True, True, False, False]
    assert matrix.warm.tolist() == [False, False, False, True, True]


def test_row_08_a_missing_value_has_no_score_stays_out_and_is_no_warm_up() -> None:
    matrix = run([(0, 1.0), (1, NAN), (2, 3.0), (3, NAN), (4, 2.0 + ROOT_2)])
    np.testing.assert_allclose(matrix.values[:, 0], [NAN, NAN, NAN, NAN, 1.0])
    assert matrix.warm.tolist() == [False, True, False, True, True]


def test_after_constancy_the_same_value_is_no_distance_away_and_any_other_the_clip() -> None:
    # 0.1 is no sum of powers of two: its mean over many panes must still be the value itself.
    constant = [(at, 0.1) for at in range(50)]
    assert scores(*constant)[2:] == [0.0] * 48
    assert scores(*constant, (50, 0.2))[-1] == CLIP
    assert scores(*constant, (50, 0.0))[-1] == -CLIP


def test_numbers_too_large_to_square_are_missing_and_soon_forgotten() -> None:
    got = scores((0, 1e300), (1, -1e300), (2, 0.0), (100, 1.0), (101, 3.0), (102, 2.0 + ROOT_2))
    np.testing.assert_allclose(got, [NAN, NAN, NAN, NAN, NAN, 1.0])


def test_row_15_after_a_silence_longer_than_the_window_a_row_warms_up_again() -> None:
    assert run([(0, 1.0), (1, 3.0), (2, 2.0), (90, 2.0), (91, 2.0), (92, 2.0)]).warm.tolist() == [
        False, False, True, False, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize("changed", [{"clip": 0}, {"clip": float("nan")}, {"min_count": 1}, {"panes": 0}])
def test_a_program_with_constants_that_make_no_score_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(IntegrityError, match="constants that do not fit"):
        zscore(**changed)
