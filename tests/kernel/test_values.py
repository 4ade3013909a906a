"""Windows of values: which are counted, how often, and what a limit does to the count."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin import observe
from tocsin.errors import IntegrityError
from tocsin.kernel.program import Operation, Program
from tocsin.kernel.run import Kernel
from tocsin.records import SECOND, Batch, Matrix

WINDOW_S, PANES, LIMIT = 60, 12, 3
PANE_S = WINDOW_S // PANES
NAN = float("nan")

Row = tuple[str, int, str]
"""Host, seconds, value."""


def window(*, limit: int = LIMIT, reads: str = "text") -> Kernel:
    """Distinct values, and the share of the row's own."""
    constants = {"pane_us": PANE_S * SECOND, "panes": PANES, "limit": limit, "reads": reads}
    operations = tuple(
        Operation("value_panes", ("x",), (statistic,), {**constants, "statistic": statistic})
        for statistic in ("distinct", "share")
    )
    return Kernel(Program(operations, ("distinct", "share"), time="time", entity="host"))


def batch(rows: list[Row]) -> Batch:
    return Batch(
        {
            "host": np.array([host for host, _, _ in rows], dtype=object),
            "time": np.array([seconds for _, seconds, _ in rows], dtype=np.int64) * SECOND,
            "x": np.array([value for _, _, value in rows], dtype=object),
        }
    )


def run(rows: list[Row], limit: int = LIMIT) -> Matrix:
    kernel = window(limit=limit)
    return kernel.run(batch(rows), kernel.start()).values


def distinct(*rows: tuple[int, str], limit: int = LIMIT) -> list[float]:
    values: list[float] = run([("a", seconds, value) for seconds, value in rows], limit)[:, 0].tolist()
    return values


def shares(*rows: tuple[int, str], limit: int = LIMIT) -> list[float]:
    values: list[float] = run([("a", seconds, value) for seconds, value in rows], limit)[:, 1].tolist()
    return values


def arriving(steps: list[Row]) -> list[Row]:
    """Steps in seconds -> times; a step back makes a late row."""
    times = np.cumsum([step for _, step, _ in steps]).tolist()
    return [(host, at, value) for (host, _, value), at in zip(steps, times, strict=True)]


streams = st.lists(
    st.tuples(
        st.sampled_from("ab"), st.sampled_from([0, 0, 1, 4, 5, 30, 61, 400, -7]), st.sampled_from(["", *"pqrstu"])
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
    kernel = window()
    state = kernel.start()
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    parts = [kernel.run(batch(rows[start:end]), state).values for start, end in pairwise(edges)]
    assert np.concatenate(parts).tobytes() == run(rows).tobytes()


@settings(max_examples=60, deadline=None)
@given(rows=streams, start=st.integers(0, 59))
def test_history_before_the_window_is_never_felt_even_at_the_limit(rows: list[Row], start: int) -> None:
    start = min(start, len(rows) - 1)
    times = effective_times(rows)
    first = {host: time for (host, _, _), time in reversed(list(zip(rows[start:], times[start:], strict=True)))}
    settled = [
        row for row in range(start, len(rows)) if times[row] - first[rows[row][0]] >= WINDOW_S + PANE_S
    ]  # fmt: skip
    whole, late_start = run(rows), run(rows[start:])
    assert whole[settled].tobytes() == late_start[[row - start for row in settled]].tobytes()


@settings(max_examples=60, deadline=None)
@given(rows=streams)
def test_counts_are_those_of_the_rows_in_the_panes(rows: list[Row]) -> None:
    got, bounds, times = run(rows, limit=10), run(rows), effective_times(rows)
    for row, (host, _, value) in enumerate(rows):
        last = times[row] // PANE_S
        inside = [
            rows[earlier][2]
            for earlier in range(row + 1)
            if rows[earlier][0] == host and last - PANES < times[earlier] // PANE_S <= last and rows[earlier][2]
        ]
        share = inside.count(value) / len(inside) if value else NAN
        np.testing.assert_array_equal(got[row], [len(set(inside)), share])
        assert bounds[row, 0] <= len(set(inside))
        assert not value or 0 < bounds[row, 1] <= share


def test_row_01_the_oldest_pane_leaves_as_a_whole() -> None:
    assert distinct((604, "p"), (659, "q")) == [1, 2]
    assert distinct((604, "p"), (661, "q")) == [1, 1]


def test_row_03_ties_are_causal() -> None:
    assert distinct((0, "p"), (1, "q"), (1, "r")) == [1, 2, 3]
    assert shares((0, "p"), (1, "q"), (1, "q")) == [1, 1 / 2, 2 / 3]


def test_row_05_a_late_row_counts_as_arriving_at_the_latest_time() -> None:
    assert distinct((100, "p"), (10, "q"), (159, "r"), (161, "s")) == [1, 2, 3, 2]


def test_row_08_a_missing_value_stays_out_and_time_moves_on_with_it() -> None:
    assert distinct((0, "p"), (1, ""), (61, ""), (62, "p")) == [1, 1, 0, 1]
    np.testing.assert_array_equal(shares((0, "p"), (1, ""), (2, "p"), (3, "q")), [1, NAN, 1, 1 / 3])


def test_row_13_numbers_are_values_too_and_nan_is_none_of_them() -> None:
    kernel = window(reads="number")
    rows = batch([("a", at, "") for at in range(5)]).replace({"x": np.array([0.0, 22.0, NAN, 22.0, -0.0])})
    np.testing.assert_array_equal(
        kernel.run(rows, kernel.start()).values, [[1, 1], [2, 1 / 2], [2, NAN], [2, 2 / 3], [2, 2 / 4]]
    )


def test_row_15_after_a_silence_longer_than_the_window_state_is_as_new() -> None:
    assert distinct((0, "p"), (1, "q"), (70, "r")) == [1, 2, 1]


def test_row_16_another_entity_changes_nothing() -> None:
    assert run([("a", 0, "p"), ("b", 0, "q"), ("a", 1, "r")])[[0, 2], 0].tolist() == [1, 2]


def test_beyond_the_limit_of_a_pane_the_count_is_a_lower_bound_and_the_rows_are_counted() -> None:
    name = 'tocsin_window_values_dropped_total{statistic="distinct"}'
    before = observe.counters().get(name, 0)
    assert distinct((0, "p"), (1, "q"), (2, "r"), (3, "p"), (5, "r"), limit=2) == [1, 2, 2, 2, 3]
    assert observe.counters()[name] == before + 1


def test_a_share_beyond_the_limit_still_counts_the_row_itself() -> None:
    assert shares((0, "p"), (1, "q"), (2, "q"), limit=1) == [1, 1 / 2, 1 / 3]


def test_state_is_bounded_under_a_flood_of_values() -> None:
    kernel = window(limit=10)
    cell = kernel.start()
    flood = [("a", at, f"value-{at}-{number}") for at in range(0, 600, 5) for number in range(20)]
    assert kernel.run(batch(flood), cell).values[:, 0].max() == 10 * PANES


@pytest.mark.parametrize(
    "changed", [{"limit": 0}, {"panes": 0}, {"pane_us": 0}, {"statistic": "mode"}, {"reads": "time"}]
)
def test_a_program_with_constants_that_make_no_window_is_refused(changed: dict[str, object]) -> None:
    constants = {"pane_us": 1, "panes": 1, "limit": 1, "statistic": "share", "reads": "text", **changed}
    with pytest.raises(IntegrityError, match="constants that do not fit"):
        Kernel(Program((Operation("value_panes", ("x",), ("y",), constants),), ("y",), time="time"))
