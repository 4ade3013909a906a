"""The kernel: what it accepts, what it refuses, and how much it remembers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tocsin.errors import IntegrityError, SchemaError
from tocsin.kernel.program import Operation, Program
from tocsin.kernel.run import Kernel
from tocsin.records import SECOND, Batch

MINUTE = {"pane_us": 5 * SECOND, "panes": 12, "statistics": ["count"], "min_count": 1}
COUNT = Operation("panes", (), ("rows",), MINUTE)
RATIO = Operation("ratio", ("x", "y"), ("ratio",), {"offset": 0.0})


def counting(entity: str | None = "host", **limits: int) -> Kernel:
    return Kernel(Program((COUNT,), ("rows",), time="time", entity=entity), **limits)


def hosts(*names: str) -> Batch:
    return Batch({"host": np.array(names, dtype=object), "time": np.arange(len(names)) * SECOND})


def counts(kernel: Kernel, batch: Batch) -> list[float]:
    values: list[float] = kernel.run(batch, kernel.start()).values[:, 0].tolist()
    return values


def test_without_an_entity_all_rows_share_one_state() -> None:
    assert counts(counting(entity=None), hosts("a", "b", "a")) == [1, 2, 3]


def test_entities_may_be_numbers_and_missing_ones_are_one_entity() -> None:
    rows = hosts("a", "b", "c", "d").replace({"host": np.array([7.0, np.nan, 7.0, np.nan])})
    assert counts(counting(), rows) == [1, 1, 2, 2]


def test_state_is_bounded_under_a_flood_of_entities() -> None:
    kernel = counting(entities=50)
    state = kernel.start()
    kernel.run(hosts(*(f"host-{number}" for number in range(2_000))), state)
    assert len(state) == 50


def test_which_entities_are_given_up_does_not_depend_on_the_cut_into_batches(rng: np.random.Generator) -> None:
    rows = hosts(*rng.choice(list("abcdefgh"), 200))
    kernel = counting(entities=3)
    state = kernel.start()
    parts = [kernel.run(rows.take(slice(row, row + 1)), state).values[0, 0] for row in range(rows.rows)]
    assert parts == counts(kernel, rows)


def test_an_operation_may_read_what_an_earlier_one_wrote() -> None:
    log = Operation("log1p", ("ratio",), ("log_ratio",))
    kernel = Kernel(Program((RATIO, log), ("x", "log_ratio")))
    batch = Batch({"x": np.array([6.0]), "y": np.array([2.0])})
    np.testing.assert_array_equal(kernel.run(batch, kernel.start()).values, [[6.0, np.log1p(3.0)]])


def test_columns_may_be_wanted_in_another_order_than_they_are_written() -> None:
    one_hot = Operation("one_hot", ("p",), ("p=a", "p=other"), {"values": ["a"]})
    kernel = Kernel(Program((one_hot, RATIO), ("p=other", "ratio", "p=a")))
    batch = Batch({"x": np.array([6.0]), "y": np.array([2.0]), "p": np.array(["a"], dtype=object)})
    assert kernel.run(batch, kernel.start()).values.tolist() == [[0.0, 3.0, 1.0]]


def test_a_ratio_that_is_no_number_is_missing_and_never_infinite() -> None:
    kernel = Kernel(Program((RATIO,), ("ratio",)))
    batch = Batch({"x": np.array([1.0, 0.0, 1e300, np.nan]), "y": np.array([0.0, 0.0, 1e-300, 1.0])})
    assert np.isnan(kernel.run(batch, kernel.start()).values).all()


def test_no_rows_give_a_matrix_without_rows() -> None:
    kernel = counting()
    matrix = kernel.run(Batch({}), kernel.start())
    assert matrix.values.shape == (0, 1)
    assert matrix.warm.shape == (0,)


def test_row_13_columns_that_the_schema_did_not_type_are_refused() -> None:
    kernel = Kernel(Program((RATIO,), ("ratio",)))
    batch = Batch({"x": np.array([1.0], dtype=np.float32), "y": np.array([1.0])})
    with pytest.raises(SchemaError, match=r"batch column x\n  got float32, wanted float64"):
        kernel.run(batch, kernel.start())


def test_a_refused_batch_leaves_the_state_as_it_was() -> None:
    kernel = counting()
    state = kernel.start()
    with pytest.raises(SchemaError, match='no column "time"'):
        kernel.run(Batch({"host": np.array(["a"], dtype=object)}), state)
    assert len(state) == 0


def test_a_key_that_the_batch_lacks_is_missed_before_anything_moves() -> None:
    kernel = Kernel(Program((COUNT,), ("rows",), time="time", entity="host", key=("id",)))
    state = kernel.start()
    with pytest.raises(SchemaError, match='no column "id"'):
        kernel.run(hosts("a"), state)
    assert len(state) == 0


@pytest.mark.parametrize("entity", ["host", None])
def test_a_row_alone_goes_on_where_the_batch_before_it_ended(entity: str | None) -> None:
    kernel = counting(entity)
    state = kernel.start()
    kernel.run(hosts("a", "a"), state)
    kernel.step(state, "a" if entity else None, 2 * SECOND, [])
    assert state.outputs.tolist() == [3]


def test_a_row_with_too_few_values_or_of_another_type_moves_nothing() -> None:
    window = Operation("panes", ("x",), ("rows",), MINUTE)
    kernel = Kernel(Program((window,), ("rows",), time="time", entity="host"))
    state = kernel.start()
    for values in ([], [1.0, 2.0], ["text"], [None]):
        with pytest.raises((TypeError, ValueError)):
            kernel.step(state, "a", 0, values)
    assert len(state) == 0


def test_a_column_of_a_similar_name_is_pointed_out() -> None:
    rows = hosts("a")
    with pytest.raises(SchemaError, match='did you mean "hosts"'):
        counts(counting(), Batch({"hosts": rows["host"], "time": rows["time"]}))


def test_the_state_of_another_program_is_refused() -> None:
    with pytest.raises(ValueError, match="another program"):
        counting().run(hosts("a"), counting(entity=None).start())


def broken(
    kind: str = "panes", inputs: tuple[str, ...] = (), outputs: tuple[str, ...] = ("rows",), **changed: Any
) -> Program:
    operation = Operation(kind, inputs, outputs, {**MINUTE, **changed})
    return Program((operation,), outputs, time="time")


def calendar(**changed: Any) -> Program:
    constants = {"changes": [], "offsets": [0], "parts": ["hour"], "circles": {}, **changed}
    return Program((Operation("calendar", ("time",), ("hour",), constants),), ("hour",), time="time")


@pytest.mark.parametrize(
    ("program", "complaint"),
    [
        (broken(kind="eval"), "unknown kind"),
        (broken(panes=10**9), "1 to 1024 panes"),
        (broken(pane_us=2**62), "constants that do not fit"),
        (broken(pane_us=0), "constants that do not fit"),
        (broken(statistics=["count", "mode"], outputs=("rows", "mode")), "unknown statistics"),
        (broken(statistics=None), "constants that do not fit"),
        (broken(outputs=("rows", "more")), "2 outputs, wanted 1"),
        (broken(outputs=(), statistics=[]), "0 outputs, wanted at least one"),
        (broken(inputs=("x", "y")), "2 inputs, wanted 0 to 1"),
        (Program((COUNT,), ("rows",)), "without a clock"),
        (Program((COUNT, COUNT), ("rows",), time="time"), "written twice"),
        (Program((COUNT,), ("rows", "rows"), time="time"), "written twice"),
        (Program((Operation("log1p", ("ratio",), ("log",)), RATIO), ("log",)), "before it is written"),
        (Program((RATIO, Operation("one_hot", ("x",), ("x=other",), {"values": []})), ("ratio",)), '"x" as object'),
        (broken(kind="rate", inputs=("x",), max_gap_us=1, reset="nan", bits=2**40), "bits of 32, 64 or none"),
        (broken(kind="calendar", inputs=("t",)), "wanted the name of the time column"),
        (calendar(changes=[2, 1], offsets=[0, 0, 0]), "ascending"),
        (calendar(parts=["year"]), "unknown parts"),
        (calendar(circles={"hour": [[0, 1]]}), "a sine and a cosine"),
        (calendar(circles=None), "constants that do not fit"),
        (broken(min_count=2**63), "constants that do not fit"),
        (broken(kind="hash_one_hot", inputs=("p",), bins=10**9), "1 to 4096 bins"),
    ],
)
def test_a_program_that_does_not_hold_together_is_refused(program: Program, complaint: str) -> None:
    with pytest.raises(IntegrityError, match=complaint):
        Kernel(program)
