"""Windows of values: how many there are and how often the row's own came, and what the estimates may be off by."""

from __future__ import annotations

from hashlib import sha256, shake_128
from itertools import pairwise
from math import expm1, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from tocsin.errors import IntegrityError
from tocsin.kernel.program import Operation, Program
from tocsin.kernel.run import Kernel
from tocsin.records import SECOND, Batch, Matrix

WINDOW_S, PANES = 60, 12
PANE_S = WINDOW_S // PANES
NAN = float("nan")

HOUR = Operation(
    "panes", (), ("rows",), {"pane_us": 3_600 * SECOND, "panes": 1, "statistics": ["count"], "min_count": 1}
)
"""A longer memory in the same program: no silence of a test makes an entity new as a whole."""

Row = tuple[str, int, str]
"""Host, seconds, value."""


def window(
    *, bits: int = 4_096, bins: int = 512, panes: int = PANES, reads: str = "text", kernel: type[Kernel] = Kernel
) -> Kernel:
    """Distinct values, and the share of the row's own; by default too large for a few values to meet in them."""
    shared = {"pane_us": WINDOW_S * SECOND // panes, "panes": panes, "reads": reads}
    operations = (
        HOUR,
        Operation("distinct", ("x",), ("distinct",), {**shared, "bits": bits}),
        Operation("share", ("x",), ("share",), {**shared, "bins": bins}),
    )
    return kernel(Program(operations, ("distinct", "share"), time="time", entity="host"), entities=4)


def batch(rows: list[Row]) -> Batch:
    return Batch(
        {
            "host": np.array([host for host, _, _ in rows], dtype=object),
            "time": np.array([seconds for _, seconds, _ in rows], dtype=np.int64) * SECOND,
            "x": np.array([value for _, _, value in rows], dtype=object),
        }
    )


def run(rows: list[Row]) -> Matrix:
    kernel = window()
    return kernel.run(batch(rows), kernel.start()).values


def distinct(*rows: tuple[int, str]) -> list[float]:
    values: list[float] = run([("a", seconds, value) for seconds, value in rows])[:, 0].tolist()
    return values


def shares(*rows: tuple[int, str]) -> list[float]:
    values: list[float] = run([("a", seconds, value) for seconds, value in rows])[:, 1].tolist()
    return values


def of_numbers(kernel: Kernel, numbers: ArrayLike) -> Matrix:
    """Rows of one host at one time."""
    values = np.asarray(numbers, dtype=np.float64)
    rows = batch([("a", 0, "")] * len(values)).replace({"x": values})
    return kernel.run(rows, kernel.start()).values


def arriving(steps: list[tuple[str, int, int, str]]) -> list[Row]:
    """Steps in seconds -> times; a row may come late by less than a window."""
    clock = np.cumsum([step for _, step, _, _ in steps]).tolist()
    return [(host, at - late, value) for (host, _, late, value), at in zip(steps, clock, strict=True)]


streams = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.sampled_from([0, 0, 1, 4, 5, 30, 61, 400]),
        st.sampled_from([0, 0, 0, 0, 3, 17, 59]),
        st.sampled_from(["", *"pqrstu"]),
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
    """Of all that some thousand rows are told, with crowded counters, late rows and missing values."""
    dice = np.frombuffer(shake_128(b"row 14").digest(5 * 3_000), dtype=np.uint8).reshape(-1, 5).astype(np.int64)
    hosts = np.array(list("abcd"))[dice[:, 0] % 4]
    times = np.cumsum(dice[:, 1] % 3) - np.where(dice[:, 2] < 64, 40, 0)
    values = np.where(dice[:, 3] < 25, "", (dice[:, 3] * dice[:, 4] // 512).astype(str))
    kernel = window(bits=64, bins=16, kernel=kind)
    rows = batch(list(zip(hosts.tolist(), times.tolist(), values.tolist(), strict=True)))
    return sha256(kernel.run(rows, kernel.start()).values.tobytes()).hexdigest()


@settings(max_examples=60, deadline=None)
@given(rows=streams, cuts=st.lists(st.integers(0, 60), max_size=5))
def test_any_chunking_gives_the_bits_of_one_pass(rows: list[Row], cuts: list[int]) -> None:
    kernel = window()
    state = kernel.start()
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    parts = [kernel.run(batch(rows[start:end]), state).values for start, end in pairwise(edges)]
    assert np.concatenate(parts).tobytes() == run(rows).tobytes()


@settings(max_examples=60, deadline=None)
@given(rows=streams, start=st.integers(0, 59))
def test_history_before_the_window_is_never_felt(rows: list[Row], start: int) -> None:
    start = min(start, len(rows) - 1)
    times = latest(rows)
    before = {host: time for (host, _, _), time in zip(rows[:start], times[:start], strict=True)}
    settled = [
        row for row in range(start, len(rows)) if times[row] - before.get(rows[row][0], -WINDOW_S) >= WINDOW_S + PANE_S
    ]  # fmt: skip
    whole, late_start = run(rows), run(rows[start:])
    assert whole[settled].tobytes() == late_start[[row - start for row in settled]].tobytes()


@settings(max_examples=60, deadline=None)
@given(rows=streams)
def test_a_few_values_are_counted_as_sets_and_counters_would(rows: list[Row]) -> None:
    got, times = run(rows), latest(rows)
    for row, (host, _, value) in enumerate(rows):
        last = times[row] // PANE_S
        inside = [
            name
            for other, at, name in rows[: row + 1]
            if other == host and name and last - PANES < at // PANE_S <= last
        ]  # fmt: skip
        share = inside.count(value) / len(inside) if value and inside else NAN
        np.testing.assert_array_equal(got[row], [len(set(inside)), share])


@pytest.mark.parametrize("number", [100, 1_000, 3_000])
def test_many_values_are_counted_within_what_linear_counting_promises(number: int, rng: np.random.Generator) -> None:
    kernel = window(bits=1_024, reads="number")
    load = number / 1_024
    error = sqrt(1_024 * (expm1(load) - load))
    for values in (rng.choice(2**40, number, replace=False), 1_000 + np.arange(number), 256.0 * np.arange(number)):
        got = of_numbers(kernel, np.repeat(values, 2))[-1, 0]
        assert abs(got - number) < 5 * error


def test_where_all_bits_are_set_the_count_stays_where_it_is() -> None:
    got = of_numbers(window(bits=64, reads="number"), list(range(2_000)))[:, 0]
    assert got.max() == got[-1] == round(64 * np.log(64))
    assert (np.diff(got) >= 0).all()


def test_a_share_is_never_too_small_and_hardly_too_large(rng: np.random.Generator) -> None:
    values = rng.zipf(1.3, 5_000) % 10_000
    told = of_numbers(window(bins=64, reads="number"), values)[:, 1]
    true = np.array([(values[: row + 1] == value).mean() for row, value in enumerate(values)])
    over = told[1_000:] - true[1_000:]
    assert over.min() > -1e-12
    assert over.mean() < 1 / 64
    assert np.quantile(over, 0.99) < 5 / 64


def test_row_01_the_oldest_pane_leaves_as_a_whole() -> None:
    assert distinct((604, "p"), (659, "q")) == [1, 2]
    assert distinct((604, "p"), (661, "q")) == [1, 1]


def test_row_01_times_before_1970_have_panes_too() -> None:
    assert distinct((-70, "p"), (-60, "q"), (-1, "r"), (0, "s")) == [1, 2, 2, 2]


def test_row_03_ties_are_causal() -> None:
    assert distinct((0, "p"), (1, "q"), (1, "r")) == [1, 2, 3]
    assert shares((0, "p"), (1, "q"), (1, "q")) == [1, 1 / 2, 2 / 3]


def test_row_05_a_late_row_enters_the_pane_of_its_own_time_and_leaves_with_it() -> None:
    assert distinct((100, "p"), (60, "q"), (119, "p"), (120, "p")) == [1, 2, 2, 1]
    assert shares((100, "p"), (60, "q"), (119, "p"), (120, "p")) == [1, 1 / 2, 2 / 3, 1]


def test_row_05_a_late_row_of_the_newest_pane_is_counted_once() -> None:
    assert distinct((103, "p"), (101, "q"), (103, "q")) == [1, 2, 2]
    assert shares((103, "p"), (101, "q"), (103, "q")) == [1, 1 / 2, 2 / 3]


def test_row_05_a_row_too_late_for_its_window_is_told_what_that_holds() -> None:
    kernel = window()
    rows = [("a", 1_000, "p"), ("a", 100, "p"), ("a", 100, "q"), ("a", 2_000, ""), ("a", 1_000, "p")]
    got = kernel.run(batch(rows), kernel.start())
    np.testing.assert_array_equal(got.values, [[1, 1], [1, 1], [1, 0], [0, NAN], [0, NAN]])
    assert got.warm.tolist() == [True, True, True, True, False]


def test_row_08_a_missing_value_stays_out_and_time_moves_on_with_it() -> None:
    assert distinct((0, "p"), (1, ""), (61, ""), (62, "p")) == [1, 1, 0, 1]
    np.testing.assert_array_equal(shares((0, "p"), (1, ""), (2, "p"), (3, "q")), [1, NAN, 1, 1 / 3])


def test_row_10_the_sources_give_the_bits_of_what_was_compiled_from_them(sources: type[Kernel]) -> None:
    assert digest(sources) == digest()


def test_row_13_numbers_are_values_too_and_nan_is_none_of_them() -> None:
    np.testing.assert_array_equal(
        of_numbers(window(reads="number"), [0.0, 22.0, NAN, 22.0, -0.0]),
        [[1, 1], [2, 1 / 2], [2, NAN], [2, 2 / 3], [2, 2 / 4]],
    )


def test_row_14_values_find_the_same_counters_in_every_process_for_ever() -> None:
    assert digest() == "4c6c7bb6e7fb79dbd0880b4f373f84eb4c2dd887ea98f997444dda3366ab0c23"


@pytest.mark.parametrize("silence", range(WINDOW_S, 3 * WINDOW_S, PANE_S))
def test_row_15_after_a_silence_longer_than_the_window_state_is_as_new(silence: int) -> None:
    assert distinct((0, "p"), (1, "q"), (silence, "r")) == [1, 2, 1]
    assert shares((0, "p"), (1, "q"), (silence, "p"))[2] == 1


def test_row_16_another_entity_changes_nothing() -> None:
    assert run([("a", 0, "p"), ("b", 0, "q"), ("a", 1, "r")])[[0, 2], 0].tolist() == [1, 2]


@pytest.mark.parametrize("panes", [1, 2, 60])
def test_a_window_may_be_one_pane_or_many(panes: int) -> None:
    kernel = window(panes=panes, bits=1_024, bins=64)
    rows = [("a", 60 + at, value) for at, value in enumerate("pqrstu" * 9)]
    assert kernel.run(batch(rows), kernel.start()).values[-1].tolist() == [6, 1 / 6]


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("distinct", {"bits": 32}),
        ("distinct", {"bits": 1_000}),
        ("distinct", {"bits": 2**17}),
        ("distinct", {"bits": 65_536, "panes": 1_024}),
        ("share", {"bins": 8}),
        ("share", {"bins": 100}),
        ("share", {"bins": 4_096, "panes": 40}),
        ("share", {"panes": 0}),
        ("share", {"panes": 1e400}),
        ("share", {"pane_us": 0}),
        ("share", {"reads": "time"}),
        ("share", {"reads": ["text"]}),
    ],
)
def test_a_program_with_constants_that_make_no_window_is_refused(kind: str, changed: dict[str, Any]) -> None:
    constants = {"pane_us": 1, "panes": 1, "bits": 64, "bins": 16, "reads": "text", **changed}
    with pytest.raises(IntegrityError, match="constants that do not fit"):
        Kernel(Program((Operation(kind, ("x",), ("y",), constants),), ("y",), time="time"))
