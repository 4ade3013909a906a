"""Streams as they come when something is wrong: ties, repeats, late rows, gaps, bad values, clocks that jump.

The fields are those of `tocsin.features.base.EXAMPLE`, and `id`, which names a record. Everything is made of what
Hypothesis draws, so that a failing stream shrinks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, get_args

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from tocsin.checks.feature import example_rows
from tocsin.component import catalogue, part
from tocsin.features.base import EXAMPLE, Feature, compile_program
from tocsin.features.rolling import Rolling
from tocsin.kernel import encoders
from tocsin.kernel.program import Program
from tocsin.kernel.run import FeatureMatrix, Kernel
from tocsin.kernel.sequences import with_sequence
from tocsin.kernel.state import KernelState
from tocsin.kernel.windows import Statistic
from tocsin.records import DAY, SECOND, Batch, Matrix

NAN = float("nan")
HOUR = 3_600 * SECOND
TEN_YEARS = 3_653 * DAY
STARTS = {
    "1 January 2026": 1_767_225_600 * SECOND,
    "before Berlin's clocks go forward": 1_774_745_990 * SECOND,
    "before Berlin's clocks go back": 1_792_888_190 * SECOND,
    "before 1970": -30 * SECOND,
}
STEPS = (0, 0, 250_000, SECOND, 7 * SECOND, 40 * SECOND, 61 * SECOND, 301 * SECOND, HOUR, 26 * HOUR)
JUMPS = (TEN_YEARS, -TEN_YEARS, -6 * TEN_YEARS)
RESENT = (0, 0, 0, 0, 0, 1, 2)
"""How many rows back is the row that a sender sends once more; 0 is a new one."""
MISNAMED = -1
"""A new row that has the name of the one before it."""
LATE = (SECOND, 29 * SECOND, 200 * SECOND, 2 * HOUR, 40 * DAY)

ORDINARY = st.integers(-(10**9), 10**9).map(lambda whole: whole / 1_000)
HARD = st.sampled_from([0.0, -0.0, 1.0, 20.0, 1e9, 1e9 + 1, 1e12, 1e15, 5e-324, -1e-300, 0.1, NAN, NAN])
HOSTILE = st.sampled_from([np.inf, -np.inf, 1e308, -1e308, 1.7976931348623157e308, 2.0**63, -(2.0**63), 2.0**53 + 2])
COUNTED = st.integers(0, 2**31).map(float)
WORDS = ("tcp", "udp", "icmp", "gre", "other", "", "é", "\ud800", "TCP")


class Row(NamedTuple):
    host: str
    time: int
    bytes: float
    packets: float
    octets_total: float
    temperature: float
    protocol: str
    id: float


class Move(NamedTuple):
    """What one row adds to those before it."""

    host: str
    step: int
    late: int
    numbers: tuple[float, float, float]
    counted: float
    wraps: bool
    protocol: str
    repeats: int


def _moves(
    steps: Sequence[int], late: Sequence[int], repeats: Sequence[int], numbers: st.SearchStrategy[float]
) -> st.SearchStrategy[Move]:
    return st.builds(
        Move,
        host=st.sampled_from("aaabbc"),
        step=st.sampled_from(steps),
        late=st.sampled_from([0, 0, 0, 0, *late]),
        numbers=st.tuples(numbers, numbers, numbers),
        counted=st.one_of(COUNTED, numbers),
        wraps=st.booleans(),
        protocol=st.sampled_from(WORDS),
        repeats=st.sampled_from(repeats),
    )


def _arriving(start: int, moves: Sequence[Move]) -> list[Row]:
    clock, rows, totals = start, list[Row](), dict[str, float]()
    for number, move in enumerate(moves):
        clock += move.step
        if abs(clock) > 20 * TEN_YEARS:
            clock = start
        before = [row for row in rows if row.host == move.host]
        if 0 < move.repeats <= len(before):
            rows.append(before[-move.repeats])
            continue
        total = totals[move.host] = (totals.get(move.host, 2.0**32 - 2.0**30) if move.wraps else 0.0) + move.counted
        name = before[-1].id if before and move.repeats == MISNAMED else float(number)
        first, second, third = move.numbers
        rows.append(Row(move.host, clock - move.late, first, second, total % 2**32, third, move.protocol, name))
    return rows


def _streams(moves: st.SearchStrategy[Move], rows: int, starts: Sequence[int]) -> st.SearchStrategy[list[Row]]:
    return st.builds(_arriving, st.sampled_from(starts), st.lists(moves, min_size=1, max_size=rows))


def any_streams(rows: int = 40) -> st.SearchStrategy[list[Row]]:
    """Everything at once: clocks of entities that jump to where they never were and back."""
    numbers = st.one_of(ORDINARY, HARD, HOSTILE)
    moves = _moves((*STEPS, *JUMPS), LATE, (*RESENT, MISNAMED), numbers)
    return _streams(moves, rows, tuple(STARTS.values()))


def steady_streams(rows: int = 40, late: Sequence[int] = LATE) -> st.SearchStrategy[list[Row]]:
    """Clocks that only move on, though rows may come late; values may be anything."""
    moves = _moves(STEPS, late, RESENT, st.one_of(ORDINARY, HARD, HOSTILE))
    return _streams(moves, rows, tuple(STARTS.values()))


def batch(rows: Sequence[Row]) -> Batch:
    columns = zip(*rows, strict=True) if rows else ([] for _ in Row._fields)
    types: Mapping[str, Any] = {"host": object, "time": np.int64, "protocol": object, "id": np.float64}
    return Batch(
        {
            name: np.array(column, dtype=types.get(name, np.float64))
            for name, column in zip(Row._fields, columns, strict=True)
        }
    )


EXACT = Rolling(columns=("bytes", "temperature"), statistics=get_args(Statistic), exact=True, limit=7)
PROGRAMS = (*catalogue("features"), "exact windows", "the last rows", "all")


@cache
def program(name: str) -> Program:
    """The example of one feature, or of all of them at once; rows of one id are repeats."""
    if name == "the last rows":
        return with_sequence(program("ratio"), 3, 60 * SECOND)
    features = (
        [EXACT] if name == "exact windows" else [example(one) for one in catalogue("features") if name in ("all", one)]
    )
    return replace(compile_program(EXAMPLE, (), features, example_rows()), key=("id",))


def example(name: str) -> Feature:
    kind = part("features", name)
    assert issubclass(kind, Feature)
    with TemporaryDirectory() as folder:
        return kind.example(Path(folder))


class Run(NamedTuple):
    """What came out, as bits."""

    values: NDArray[np.int64]
    marks: NDArray[np.uint8]


def bits(values: Matrix, marks: NDArray[np.uint8]) -> Run:
    return Run(np.ascontiguousarray(values).view(np.int64), marks)


def of(matrix: FeatureMatrix) -> Run:
    return bits(matrix.values, matrix.marks)


def one_pass(kernel: Kernel, rows: Sequence[Row]) -> Run:
    return of(kernel.run(batch(rows), kernel.start()))


def step(kernel: Kernel, state: KernelState, row: Row) -> tuple[Matrix, int]:
    """One row of a stream, as a server would pass it."""
    cells = row._asdict()
    values = [
        tuple(cells[name] for name in load.columns) if load.encoder is encoders.keys else cells[load.columns[0]]
        for load in kernel.plan.loads
    ]
    marks = kernel.step(state, row.host, row.time, values)
    return state.outputs.copy(), marks


def one_by_one(kernel: Kernel, rows: Sequence[Row]) -> Run:
    state = kernel.start()
    steps = [step(kernel, state, row) for row in rows]
    return bits(np.array([values for values, _ in steps]), np.array([marks for _, marks in steps], dtype=np.uint8))


def cut(rows: Sequence[Row], cuts: Sequence[int]) -> list[Sequence[Row]]:
    edges = [0, *sorted(min(edge, len(rows)) for edge in cuts), len(rows)]
    return [rows[start:end] for start, end in pairwise(edges)]


def joined(parts: Sequence[Run]) -> Run:
    return Run(np.concatenate([part.values for part in parts]), np.concatenate([part.marks for part in parts]))


def same(got: Run, wanted: Run, rows: Any = slice(None)) -> None:
    """No bit differs, not of a value and not of a mark, in these rows."""
    marks = np.flatnonzero(got.marks[rows] != wanted.marks[rows])
    assert not len(marks), f"marks of {marks.tolist()}: {got.marks[rows][marks]} and {wanted.marks[rows][marks]}"
    places = np.argwhere(got.values[rows] != wanted.values[rows])
    assert not len(places), f"{len(places)} values differ, first {[told(got, wanted, rows, at) for at in places[:3]]}"


def told(got: Run, wanted: Run, rows: Any, at: NDArray[np.intp]) -> tuple[int, int, str, str]:
    one, other = got.values[rows].view(np.float64), wanted.values[rows].view(np.float64)
    return int(at[0]), int(at[1]), float(one[tuple(at)]).hex(), float(other[tuple(at)]).hex()
