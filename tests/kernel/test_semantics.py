"""What the kernel itself decides of the sixteen rows of `docs/features.md`: order, repeats, late rows, other entities.

What is up to one operation stands in the test file of that operation, under the same names.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tocsin import log
from tocsin.kernel.entities import LATE, STEP_ROWS, STEPPED_BACK, TOO_LATE
from tocsin.kernel.program import Operation, Program
from tocsin.kernel.repeats import REMEMBERED
from tocsin.kernel.run import FeatureMatrix, Kernel
from tocsin.kernel.state import REPEATED
from tocsin.records import SECOND, Batch

ROWS = range(1, 17)
NAN = float("nan")
WINDOW = {"pane_us": 5 * SECOND, "panes": 12, "statistics": ["count", "sum"], "min_count": 1}
SUMS = Operation("panes", ("x",), ("rows", "sum"), WINDOW)


def summing(*, key: tuple[str, ...] = (), **limits: int) -> Kernel:
    return Kernel(Program((SUMS,), ("sum",), time="time", entity="host", key=key), **limits)


def rows_of(*rows: tuple[str, float, float], **others: list[Any]) -> Batch:
    host, seconds, x = zip(*rows, strict=True)
    columns = {name: np.array(column, dtype=object) for name, column in others.items()}
    times = (np.array(seconds) * SECOND).astype(np.int64)
    return Batch({"host": np.array(host, dtype=object), "time": times, "x": np.array(x, dtype=np.float64), **columns})


def run(kernel: Kernel, batch: Batch) -> FeatureMatrix:
    return kernel.run(batch, kernel.start())


def sums(kernel: Kernel, batch: Batch) -> list[float]:
    values: list[float] = run(kernel, batch).values[:, 0].tolist()
    return values


def test_every_row_of_the_table_has_a_test() -> None:
    texts = [path.read_text(encoding="utf-8") for path in Path(__file__).parents[1].rglob("test_*.py")]
    named = {int(row) for text in texts for row in re.findall(r"def test_row_(\d+)_", text)}
    assert named == set(ROWS)


def test_the_table_has_these_rows() -> None:
    page = (Path(__file__).parents[2] / "docs/features.md").read_text(encoding="utf-8")
    assert [int(row) for row in re.findall(r"^\| (\d+) \|", page, re.M)] == list(ROWS)


def test_row_02_rows_are_taken_as_they_come_whatever_the_cut() -> None:
    first = sums(summing(), rows_of(("a", 0, 1.0), ("a", 0, 2.0), ("b", 0, 4.0)))
    other = sums(summing(), rows_of(("a", 0, 2.0), ("b", 0, 4.0), ("a", 0, 1.0)))
    assert (first, other) == ([1, 3, 4], [2, 4, 3])


def test_row_04_a_repeat_is_marked_tells_nothing_and_moves_nothing() -> None:
    matrix = run(
        summing(key=("id",)),
        rows_of(("a", 0, 1.0), ("a", 1, 2.0), ("a", 1, 2.0), ("a", 2, 4.0), id=["p", "q", "q", "r"]),
    )
    np.testing.assert_array_equal(matrix.values[:, 0], [1, 3, NAN, 7])
    assert matrix.marks.tolist() == [0, 0, REPEATED, 0]
    assert matrix.warm.tolist() == [True, True, False, True]


def test_row_04_repeats_are_counted() -> None:
    name = 'tocsin_rows_marked_total{mark="repeated"}'
    before = log.counters().get(name, 0)
    run(summing(key=("id",)), rows_of(("a", 0, 1.0), ("a", 1, 2.0), id=["p", "p"]))
    assert log.counters()[name] == before + 1


def test_row_04_a_repeat_is_known_in_another_batch_and_one_by_one() -> None:
    kernel = summing(key=("id",))
    state = kernel.start()
    first = rows_of(("a", 0, 1.0), id=["p"])
    kernel.run(first, state)
    assert kernel.run(first, state).marks.tolist() == [REPEATED]
    # What is read stands in the order of `inputs`; a key is a tuple of its parts.
    assert kernel.inputs == ("x", "id")
    assert kernel.step(state, "a", 0, [1.0, ("p",)]) == REPEATED
    assert kernel.step(state, "a", 0, [1.0, ("q",)]) == 0


def test_row_04_an_entity_remembers_its_last_keys_alone() -> None:
    names = [f"id-{number}" for number in range(REMEMBERED + 1)]
    rows = [("a", float(at) / 10, 1.0) for at in range(len(names) + 2)]
    marks = run(summing(key=("id",)), rows_of(*rows, id=[*names, names[1], names[0]])).marks
    assert marks[-2:].tolist() == [REPEATED, 0]


def test_row_04_another_entity_may_have_the_same_key() -> None:
    rows = rows_of(("a", 0, 1.0), ("b", 0, 2.0), ("a", 0, 1.0), id=["p"] * 3)
    assert run(summing(key=("id",)), rows).marks.tolist() == [0, 0, REPEATED]


def test_row_04_a_key_that_lacks_a_part_repeats_nothing() -> None:
    rows = rows_of(*[("a", 0, 1.0)] * 6, id=["p", "", "", "p", "p", "p"], number=[1.0, 1.0, 1.0, NAN, NAN, 1.0])
    assert run(summing(key=("id", "number")), rows).marks.tolist() == [0, 0, 0, 0, 0, REPEATED]


def test_row_04_parts_of_a_key_are_not_run_together() -> None:
    rows = rows_of(("a", 0, 1.0), ("a", 0, 1.0), id=["ab", "a"], more=["c", "bc"])
    assert run(summing(key=("id", "more")), rows).marks.tolist() == [0, 0]


def test_row_05_a_late_row_enters_the_pane_of_its_own_time_and_windows_end_at_the_latest() -> None:
    rows = rows_of(("a", 100, 1.0), ("a", 62, 2.0), ("a", 119, 4.0), ("a", 120, 8.0))
    matrix = run(summing(), rows)
    assert matrix.values[:, 0].tolist() == [1, 3, 7, 13]
    assert matrix.marks.tolist() == [0, LATE, 0, 0]


def test_row_05_rows_of_one_time_are_not_late() -> None:
    assert run(summing(), rows_of(("a", 100, 1.0), ("a", 100, 2.0))).marks.tolist() == [0, 0]


def test_row_05_a_row_too_late_is_computed_as_if_alone_and_moves_nothing() -> None:
    rows = rows_of(("a", 100, 1.0), ("a", 40, 2.0), ("a", 101, 4.0))
    matrix = run(summing(), rows)
    assert matrix.values[:, 0].tolist() == [1, 2, 5]
    assert matrix.marks.tolist() == [0, TOO_LATE, 0]
    assert matrix.unsure.tolist() == [False, True, False]


def test_row_05_late_rows_are_counted_by_how_late_they_are() -> None:
    names = [f'tocsin_rows_marked_total{{mark="{mark}"}}' for mark in ("late", "too_late")]
    before = [log.counters().get(name, 0) for name in names]
    run(summing(), rows_of(("a", 100, 1.0), ("a", 99, 2.0), ("a", 40, 4.0), ("a", 39, 8.0)))
    assert [log.counters()[name] for name in names] == [before[0] + 1, before[1] + 2]


def back(seconds: float, rows: int) -> list[tuple[str, float, float]]:
    return [("a", seconds + row, 1.0) for row in range(rows)]


def test_row_05_after_enough_rows_too_late_the_clock_was_set_back_and_state_begins_anew() -> None:
    matrix = run(summing(), rows_of(("a", 10**6, 32.0), *back(0, STEP_ROWS + 2)))
    assert matrix.marks.tolist() == [0, *[TOO_LATE] * (STEP_ROWS - 1), STEPPED_BACK, 0, 0]
    assert matrix.values[:, 0].tolist() == [32, *[1] * STEP_ROWS, 2, 3]
    assert not matrix.unsure[-3:].any()


@pytest.mark.parametrize("between", [10**6 + 1, 10**6 - 1])
def test_row_05_a_row_in_time_in_between_is_proof_of_the_clock(between: float) -> None:
    rows = [("a", 10**6, 1.0), *back(0, STEP_ROWS - 1), ("a", between, 1.0), *back(0, STEP_ROWS - 1)]
    assert STEPPED_BACK not in run(summing(), rows_of(*rows)).marks


def test_row_05_another_entitys_clock_is_its_own_affair() -> None:
    rows = rows_of(("a", 10**9, 1.0), ("b", 0, 2.0), ("b", 1, 4.0))
    assert run(summing(), rows).marks.tolist() == [0, 0, 0]


def test_row_05_rows_that_a_stream_did_not_wait_for_are_each_computed_as_if_alone() -> None:
    kernel = summing(key=("id",))
    rows = rows_of(("a", 100, 1.0), ("a", 100, 2.0), ("b", 40, NAN), ("a", 100, 1.0), id=["p", "q", "r", "p"])
    matrix = kernel.alone(rows)
    each = [run(kernel, rows.take(slice(row, row + 1))) for row in range(rows.rows)]
    np.testing.assert_array_equal(matrix.values, np.concatenate([one.values for one in each]))
    assert matrix.marks.tolist() == [TOO_LATE | int(one.marks[0]) for one in each]


def test_row_16_no_operation_reads_another_entity_and_what_was_learnt_is_in_the_fingerprint() -> None:
    usual = {"season": ["hour"], "usual": [0.0] * 24, "spread": [1.0] * 24}
    hour = Operation(
        "calendar", ("time",), ("hour",), {"changes": [], "offsets": [0], "parts": ["hour"], "circles": {}}
    )
    programs = [
        Program(
            (hour, Operation("residual", ("x", "hour"), ("far",), {**usual, "usual": [level] * 24})), ("far",), "time"
        )
        for level in (0.0, 5.0)
    ]
    rows = rows_of(("a", 0, 7.0), ("b", 1, 9.0))
    alone = rows.take(slice(1, None))
    for program, wanted in zip(programs, (9.0, 4.0), strict=True):
        assert run(Kernel(program), rows).values[1, 0] == run(Kernel(program), alone).values[0, 0] == wanted
    assert programs[0].fingerprint != programs[1].fingerprint
