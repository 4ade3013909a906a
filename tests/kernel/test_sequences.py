"""Sequences: which rows stand side by side, in what order, and when they begin anew."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.errors import IntegrityError
from tocsin.kernel.program import Operation, Program
from tocsin.kernel.run import FeatureMatrix, Kernel
from tocsin.kernel.sequences import with_sequence, without_sequence
from tocsin.records import Batch

GAP = 10
NAN = float("nan")
PLAIN = Program((), ("x", "y"), time="time", entity="host")

Row = tuple[str, int, float]
"""Host, microseconds, value."""


def sequence(steps: int, kind: type[Kernel] = Kernel) -> Kernel:
    return kind(with_sequence(PLAIN, steps, GAP))


def batch(rows: list[Row]) -> Batch:
    x = np.array([value for _, _, value in rows], dtype=np.float64)
    return Batch(
        {
            "host": np.array([host for host, _, _ in rows], dtype=object),
            "time": np.array([at for _, at, _ in rows], dtype=np.int64),
            "x": x,
            "y": -x,
        }
    )


def run(kernel: Kernel, rows: list[Row]) -> FeatureMatrix:
    return kernel.run(batch(rows), kernel.start())


def own(steps: int, *rows: tuple[int, float]) -> FeatureMatrix:
    """Of one host, the column x alone."""
    matrix = run(sequence(steps), [("a", at, value) for at, value in rows])
    return FeatureMatrix(matrix.values[:, ::2], matrix.marks)


def arriving(steps: list[tuple[str, int, int, float]]) -> list[Row]:
    clocks = np.cumsum([step for _, step, _, _ in steps]).tolist()
    return [(host, clock - late, value) for clock, (host, _, late, value) in zip(clocks, steps, strict=True)]


streams = st.lists(
    st.tuples(
        st.sampled_from("aab"),
        st.sampled_from([0, 0, 1, 5, 10, 11, 40]),
        st.sampled_from([0, 0, 0, 1, 9]),
        st.one_of(st.just(NAN), st.floats(-9, 9)),
    ),
    min_size=1,
    max_size=50,
).map(arriving)


def latest(rows: list[Row]) -> list[int]:
    """The latest time of each row's host."""
    seen: dict[str, int] = {}
    ends = []
    for host, at, _ in rows:
        seen[host] = max(at, seen.get(host, at))
        ends.append(seen[host])
    return ends


@settings(max_examples=100, deadline=None)
@given(rows=streams, steps=st.integers(1, 5))
def test_rows_stand_side_by_side_as_they_came(rows: list[Row], steps: int) -> None:
    matrix, ends = run(sequence(steps), rows), latest(rows)
    for row, (host, _, _) in enumerate(rows):
        before = [earlier for earlier in range(row + 1) if rows[earlier][0] == host][-steps:]
        whole = len(before) == steps and all(ends[two] - ends[one] <= GAP for one, two in pairwise(before))
        values = [sign * rows[earlier][2] for earlier in before for sign in (1, -1)]
        np.testing.assert_array_equal(matrix.values[row], values if whole else [NAN] * (2 * steps))
        assert matrix.warm[row] == whole


@settings(max_examples=100, deadline=None)
@given(rows=streams, steps=st.integers(1, 5), start=st.integers(0, 49))
def test_history_before_the_longest_sequence_is_never_felt(rows: list[Row], steps: int, start: int) -> None:
    start = min(start, len(rows) - 1)
    ends, horizon = latest(rows), sequence(steps).plan.horizon
    before = {host: end for (host, _, _), end in zip(rows[:start], ends[:start], strict=True)}
    settled = [row for row in range(start, len(rows)) if ends[row] - before.get(rows[row][0], -(10**9)) >= horizon]
    whole, late_start = run(sequence(steps), rows), run(sequence(steps), rows[start:])
    there = [row - start for row in settled]
    assert whole.values[settled].tobytes() == late_start.values[there].tobytes()
    assert whole.warm[settled].tolist() == late_start.warm[there].tolist()


@settings(max_examples=60, deadline=None)
@given(rows=streams, cuts=st.lists(st.integers(0, 50), max_size=5))
def test_any_chunking_gives_the_bits_of_one_pass(rows: list[Row], cuts: list[int]) -> None:
    kernel = sequence(3)
    state = kernel.start()
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    parts = [kernel.run(batch(rows[start:end]), state).values for start, end in pairwise(edges)]
    assert np.concatenate(parts).tobytes() == run(kernel, rows).values.tobytes()


@settings(max_examples=60, deadline=None)
@given(rows=streams, steps=st.integers(1, 5))
def test_row_10_the_sources_give_the_bits_of_the_compiled_kernel(
    sources: type[Kernel], rows: list[Row], steps: int
) -> None:
    compiled, interpreted = (run(sequence(steps, kind), rows) for kind in (Kernel, sources))
    assert compiled.values.tobytes() == interpreted.values.tobytes()
    assert compiled.marks.tolist() == interpreted.marks.tolist()


def test_columns_are_named_after_the_column_and_how_many_rows_ago_it_was() -> None:
    assert with_sequence(PLAIN, 3, GAP).outputs == ("x@2", "y@2", "x@1", "y@1", "x@0", "y@0")


def test_a_sequence_repeats_what_features_computed() -> None:
    ratio = Operation("ratio", ("x", "below"), ("ratio",), {"offset": 0.0})
    kernel = Kernel(with_sequence(Program((ratio,), ("ratio",), "time", "host"), 2, GAP))
    rows = batch([("a", 0, 6.0), ("a", 1, 8.0)]).replace({"below": np.array([2.0, 4.0])})
    assert kernel.run(rows, kernel.start()).values[1].tolist() == [3, 2]


def test_row_03_rows_of_one_time_stand_as_they_came() -> None:
    assert own(2, (5, 1.0), (5, 2.0), (5, 3.0)).values[1:].tolist() == [[1, 2], [2, 3]]


def test_row_05_a_late_row_stands_where_it_came() -> None:
    assert own(3, (5, 1.0), (9, 2.0), (6, 3.0), (10, 4.0)).values[2:].tolist() == [[1, 2, 3], [2, 3, 4]]


def test_row_06_a_gap_begins_a_new_sequence() -> None:
    matrix = own(2, (0, 1.0), (10, 2.0), (21, 3.0), (22, 4.0))
    np.testing.assert_array_equal(matrix.values, [[NAN, NAN], [1, 2], [NAN, NAN], [3, 4]])


def test_row_06_time_that_runs_on_in_small_steps_is_no_gap() -> None:
    assert own(4, (0, 1.0), (10, 2.0), (20, 3.0), (30, 4.0)).values[-1].tolist() == [1, 2, 3, 4]


def test_row_07_a_row_is_warming_up_until_there_are_enough_before_it() -> None:
    assert own(3, (0, 1.0), (1, 2.0), (2, 3.0)).warm.tolist() == [False, False, True]
    assert own(1, (0, 1.0)).warm.all()


def test_row_08_a_missing_value_is_missing_in_its_place() -> None:
    matrix = own(2, (0, NAN), (1, 2.0), (2, 3.0))
    np.testing.assert_array_equal(matrix.values[1:], [[NAN, 2], [2, 3]])
    assert matrix.warm.tolist() == [False, True, True]


def test_row_16_every_entity_has_a_sequence_of_its_own() -> None:
    values = run(sequence(2), [("a", 0, 1.0), ("b", 0, 5.0), ("a", 1, 2.0), ("b", 1, 6.0)]).values[2:, ::2]
    assert values.tolist() == [[1, 2], [5, 6]]


@pytest.mark.parametrize("changed", [{"steps": 0}, {"steps": 1_025}, {"max_gap_us": 0}, {"max_gap_us": 2**60}])
def test_a_program_with_constants_that_make_no_sequence_is_refused(changed: dict[str, int]) -> None:
    constants = {"steps": 1, "max_gap_us": 1, **changed}
    with pytest.raises(IntegrityError, match="1 to 1024 steps"):
        Kernel(Program((Operation("sequence", ("x",), ("y",), constants),), ("y",), time="time"))


def test_a_sequence_without_a_clock_is_refused() -> None:
    with pytest.raises(IntegrityError, match="without a clock"):
        Kernel(with_sequence(Program((), ("x",)), 2, GAP))


def test_a_program_without_its_sequence_is_the_one_that_was_strung_together() -> None:
    assert without_sequence(with_sequence(PLAIN, 3, GAP)) == PLAIN
