"""Quantiles: which value of the window is told, how far from it, and what lies outside the buckets."""

from __future__ import annotations

from fractions import Fraction
from hashlib import sha256, shake_128
from itertools import pairwise
from math import ceil
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.errors import IntegrityError
from tocsin.kernel.program import Operation, Program
from tocsin.kernel.run import FeatureMatrix, Kernel
from tocsin.records import SECOND, Batch

WINDOW_S, PANES = 60, 6
PANE_S = WINDOW_S // PANES
ERROR, SMALLEST, LARGEST = 0.05, 0.01, 1e4
QUANTILES = (0.01, 0.5, 0.99)
NAN = float("nan")

HOUR = Operation(
    "panes", (), ("rows",), {"pane_us": 3_600 * SECOND, "panes": 1, "statistics": ["count"], "min_count": 1}
)
"""A longer memory in the same program: no silence of a test makes an entity new as a whole."""

Row = tuple[str, int, float]
"""Host, seconds, value."""


def window(*quantiles: float, kernel: type[Kernel] = Kernel, **changed: Any) -> Kernel:
    constants = {
        "pane_us": PANE_S * SECOND, "panes": PANES, "quantiles": quantiles or QUANTILES, "relative_error": ERROR,
        "smallest": SMALLEST, "largest": LARGEST, "min_count": 1, **changed,
    }  # fmt: skip
    names = tuple(f"q{place}" for place in range(len(constants["quantiles"])))
    operations = (HOUR, Operation("quantiles", ("x",), names, constants))
    return kernel(Program(operations, names, time="time", entity="host"))


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


def told(kernel: Kernel, *rows: tuple[int, float]) -> list[float]:
    values: list[float] = run(kernel, [("a", seconds, value) for seconds, value in rows]).values[:, 0].tolist()
    return values


def ranked(values: list[float], quantile: float) -> float:
    """The value of rank ceil(q n), counted from 1."""
    return sorted(values)[ceil(Fraction(str(quantile)) * len(values)) - 1]


def within(got: float, wanted: float) -> bool:
    """Whether a number may be told for a value."""
    if wanted < SMALLEST:
        return got == 0.0
    if wanted >= LARGEST:
        return got == LARGEST
    return abs(got - wanted) <= ERROR * wanted * (1 + 1e-12)


def arriving(steps: list[tuple[str, int, int, float]]) -> list[Row]:
    """Steps in seconds -> times; a row may come late by less than a window."""
    clock = np.cumsum([step for _, step, _, _ in steps]).tolist()
    return [(host, at - late, value) for (host, _, late, value), at in zip(steps, clock, strict=True)]


streams = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.sampled_from([0, 0, 1, 4, 5, 30, 61, 400]),
        st.sampled_from([0, 0, 0, 0, 3, 17, 59]),
        st.one_of(st.just(NAN), st.floats(0, 1e6), st.floats(0.001, 2), st.sampled_from([SMALLEST, LARGEST, 7.0])),
    ),
    min_size=1,
    max_size=60,
).map(arriving)


def latest(rows: list[Row]) -> list[int]:
    """The latest time of each row's host so far."""
    times, known = [], dict[str, int]()
    for host, at, _ in rows:
        known[host] = max(at, known.get(host, at))
        times.append(known[host])
    return times


def digest(kind: type[Kernel] = Kernel) -> str:
    """Of all that some thousand rows are told, with late rows, missing values and values out of range."""
    dice = np.frombuffer(shake_128(b"quantiles").digest(6 * 3_000), dtype=np.uint8).reshape(-1, 6).astype(np.int64)
    hosts = np.array(list("abcd"))[dice[:, 0] % 4]
    times = np.cumsum(dice[:, 1] % 3) - np.where(dice[:, 2] < 64, 40, 0)
    values = np.where(dice[:, 3] < 25, NAN, (256 * dice[:, 4] + dice[:, 5]) / (1 + 64 * (dice[:, 3] % 99)))
    rows = list(zip(hosts.tolist(), times.tolist(), values.tolist(), strict=True))
    matrix = run(window(min_count=3, kernel=kind), rows)
    return sha256(matrix.values.tobytes() + matrix.marks.tobytes()).hexdigest()


@settings(max_examples=60, deadline=None)
@given(rows=streams, cuts=st.lists(st.integers(0, 60), max_size=5))
def test_any_chunking_gives_the_bits_of_one_pass(rows: list[Row], cuts: list[int]) -> None:
    kernel = window(min_count=2)
    whole, state = run(kernel, rows), kernel.start()
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    parts = [kernel.run(batch(rows[start:end]), state) for start, end in pairwise(edges)]
    assert np.concatenate([part.values for part in parts]).tobytes() == whole.values.tobytes()
    assert np.concatenate([part.marks for part in parts]).tobytes() == whole.marks.tobytes()


@settings(max_examples=60, deadline=None)
@given(rows=streams, start=st.integers(0, 59))
def test_history_before_the_window_is_never_felt(rows: list[Row], start: int) -> None:
    start = min(start, len(rows) - 1)
    times = latest(rows)
    before = {host: time for (host, _, _), time in zip(rows[:start], times[:start], strict=True)}
    settled = [
        row for row in range(start, len(rows)) if times[row] - before.get(rows[row][0], -WINDOW_S) >= WINDOW_S + PANE_S
    ]  # fmt: skip
    whole, late_start = run(window(), rows).values, run(window(), rows[start:]).values
    assert whole[settled].tobytes() == late_start[[row - start for row in settled]].tobytes()


@settings(max_examples=60, deadline=None)
@given(rows=streams)
def test_what_is_told_lies_near_the_value_of_that_rank(rows: list[Row]) -> None:
    got, times = run(window(), rows), latest(rows)
    for row, (host, _, _) in enumerate(rows):
        last = times[row] // PANE_S
        inside = [
            value
            for other, at, value in rows[: row + 1]
            if other == host and value == value and last - PANES < at // PANE_S <= last  # noqa: PLR0124
        ]
        if not inside:
            assert np.isnan(got.values[row]).all()
        else:
            assert all(
                within(float(number), ranked(inside, quantile))
                for number, quantile in zip(got.values[row], QUANTILES, strict=True)
            )


@pytest.mark.parametrize("error", [0.01, 0.05, 0.3])
def test_a_long_stream_of_any_spread_keeps_to_the_error(error: float, rng: np.random.Generator) -> None:
    values = np.concatenate([rng.lognormal(2, 3, 3_000), rng.pareto(0.7, 3_000) + 0.1, rng.uniform(900, 1_000, 3_000)])
    times = np.cumsum(rng.integers(0, 2, len(values)))
    kernel = window(relative_error=error, smallest=1e-6, largest=1e12)
    got = run(kernel, [("a", int(at), float(value)) for at, value in zip(times, values, strict=True)]).values
    for row in range(99, len(values), 100):
        inside = values[: row + 1][times[: row + 1] // PANE_S > times[row] // PANE_S - PANES].tolist()
        wanted = [ranked(inside, quantile) for quantile in QUANTILES]
        np.testing.assert_allclose(got[row], wanted, rtol=error * (1 + 1e-12))


def test_a_rank_is_that_of_the_decimal_number_and_not_of_its_binary_neighbour() -> None:
    # In float64, 0.07 times 100 is more than 7.
    hundred = [(0, float(value)) for value in range(1, 101)]
    assert told(window(0.07, relative_error=0.001), *hundred)[-1] == pytest.approx(7, rel=0.001)
    assert told(window(0.070001, relative_error=0.001), *hundred)[-1] == pytest.approx(8, rel=0.001)


def test_values_outside_the_buckets_are_told_as_zero_and_as_the_largest() -> None:
    values = [0.0, -3.0, SMALLEST / 1.01, SMALLEST, LARGEST / 1.0001, LARGEST, 1e300]
    got = [told(window(0.5), (0, value))[0] for value in values]
    assert got == [0, 0, 0, pytest.approx(SMALLEST, rel=ERROR + 1e-9), max(got), LARGEST, LARGEST]
    assert got[4] == pytest.approx(LARGEST, rel=ERROR)


def test_row_01_the_oldest_pane_leaves_as_a_whole() -> None:
    assert told(window(0.99), (609, 100.0), (659, 1.0))[1] == pytest.approx(100, rel=ERROR)
    assert told(window(0.99), (609, 100.0), (660, 1.0))[1] == pytest.approx(1, rel=ERROR)


def test_row_03_ties_are_causal() -> None:
    assert told(window(0.5), (0, 1.0), (1, 100.0), (1, 100.0)) == pytest.approx([1, 1, 100], rel=ERROR)


def test_row_05_a_late_row_enters_the_pane_of_its_own_time_and_leaves_with_it() -> None:
    rows = [(100, 1.0), (60, 50.0), (101, 1.0), (119, 1.0), (120, 1.0)]
    assert told(window(0.99), *rows) == pytest.approx([1, 50, 50, 50, 1], rel=ERROR)


def test_row_07_quantiles_are_missing_until_there_are_enough_values() -> None:
    matrix = run(window(0.5, min_count=3), [("a", at, value) for at, value in enumerate([6.0, NAN, 6.0, 6.0])])
    np.testing.assert_array_equal(np.isnan(matrix.values[:, 0]), [True, True, True, False])
    assert matrix.warm.tolist() == [False, True, False, True]


def test_row_08_a_missing_value_stays_out_and_time_moves_on_with_it() -> None:
    got = told(window(0.5), (0, 5.0), (1, NAN), (61, NAN), (62, 9.0))
    np.testing.assert_allclose(got, [5, 5, NAN, 9], rtol=ERROR)


def test_row_10_the_sources_give_the_bits_of_what_was_compiled_from_them(sources: type[Kernel]) -> None:
    assert digest(sources) == digest()


def test_row_11_what_is_told_is_the_same_on_every_machine() -> None:
    assert digest() == "503861b697ffc0ce6285e246236507c419dd0c4850a3af6aa2fac3c4b9dea0b2"


@pytest.mark.parametrize("silence", range(WINDOW_S, 3 * WINDOW_S, PANE_S))
def test_row_15_after_a_silence_longer_than_the_window_state_is_as_new(silence: int) -> None:
    assert told(window(0.99), (0, 100.0), (1, 100.0), (silence, 1.0))[2] == pytest.approx(1, rel=ERROR)


def test_row_16_another_entity_changes_nothing() -> None:
    alone = run(window(), [("a", 0, 1.0), ("a", 5, 2.0)]).values
    beside = run(window(), [("a", 0, 1.0), ("b", 1, 1e3), ("a", 5, 2.0)]).values
    assert beside[[0, 2]].tobytes() == alone.tobytes()


@pytest.mark.parametrize(
    "changed",
    [
        {"quantiles": ()},
        {"quantiles": (1.0,)},
        {"quantiles": (NAN,)},
        {"quantiles": (0.1234567,)},
        {"relative_error": 0.0},
        {"relative_error": NAN},
        {"smallest": 0.0},
        {"smallest": 2e4},
        {"largest": 1e400},
        {"largest": NAN},
        {"min_count": 0},
        {"panes": 0},
        {"pane_us": 0},
        {"relative_error": 0.001, "panes": 100},
    ],
)
def test_a_program_with_constants_that_make_no_quantiles_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match="constants that do not fit"):
        window(**changed)
