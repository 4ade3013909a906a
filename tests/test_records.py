"""A batch is a set of columns of one length that nobody changes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.records import Batch, Rejected

LOST = (Rejected("a.csv", 3, "missing", "no value"),)


@pytest.fixture
def batch() -> Batch:
    names = np.array(["alpha", "beta", "gamma"], dtype=object)
    return Batch({"load": np.array([1.0, 2.0, 3.0]), "host": names}, LOST)


def test_a_batch_is_a_mapping_of_columns_and_knows_its_rows(batch: Batch) -> None:
    assert (batch.rows, len(batch), list(batch)) == (3, 2, ["load", "host"])
    assert batch.get("nothing") is None
    assert repr(batch) == "Batch(rows=3, columns=['load', 'host'])"
    assert Batch({}).rows == 0


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="'a': 2, 'b': 3"):
        Batch({"a": np.zeros(2), "b": np.zeros(3)})


def test_nobody_changes_a_column(batch: Batch) -> None:
    with pytest.raises(ValueError, match="read-only"):
        batch["load"][0] = 9.0
    with pytest.raises(TypeError):
        batch["load"] = np.zeros(3)  # type: ignore[index]  # that it is refused is the point
    with pytest.raises(AttributeError):
        batch.rows = 7  # type: ignore[misc]  # the same


def test_who_made_a_column_keeps_it_writeable() -> None:
    made = np.zeros(2)
    batch = Batch({"a": made})
    made[0] = 1.0
    assert batch["a"].tolist() == [1.0, 0.0], "columns are not copied"
    assert not batch["a"].flags.writeable


def test_rows_are_taken_by_mask_by_place_and_by_slice(batch: Batch) -> None:
    assert batch.take(np.array([True, False, True]))["host"].tolist() == ["alpha", "gamma"]
    assert batch.take(np.array([2, 0]))["load"].tolist() == [3.0, 1.0]
    assert batch.take(slice(1, None))["host"].tolist() == ["beta", "gamma"]
    assert batch.take(slice(0, 0)).rows == 0
    assert batch.take(slice(0, 1)).rejected == (), "rows that were lost belong to the batch as it was read"


def test_columns_are_replaced_and_added_in_a_new_batch(batch: Batch) -> None:
    changed = batch.replace({"load": np.zeros(3), "jobs": np.ones(3)})
    assert (changed["load"].sum(), changed["jobs"].sum(), changed["host"].tolist()) == (0, 3, batch["host"].tolist())
    assert changed.rejected == LOST
    assert batch["load"].tolist() == [1.0, 2.0, 3.0]


def test_batches_are_put_together_in_order(batch: Batch) -> None:
    together = Batch.concatenate([batch, batch.take(slice(0, 0)), batch.take(slice(2, None))])
    assert together["host"].tolist() == ["alpha", "beta", "gamma", "gamma"]
    assert together["load"].dtype == np.float64
    assert Batch.concatenate([]).rows == 0
    assert Batch.concatenate([batch]) is batch
    with pytest.raises(KeyError, match="host"):
        Batch.concatenate([batch, Batch({"load": np.zeros(1)})])


@given(st.lists(st.floats(allow_nan=False)), st.lists(st.integers(0, 20), max_size=5))
def test_what_is_cut_and_put_together_is_what_it_was(values: list[float], cuts: list[int]) -> None:
    batch = Batch({"load": np.array(values), "place": np.arange(len(values))})
    borders = [0, *sorted(min(cut, batch.rows) for cut in cuts), batch.rows]
    pieces = [batch.take(slice(low, high)) for low, high in pairwise(borders)]
    together = Batch.concatenate(pieces)
    assert together.rows == batch.rows
    for name in together:
        np.testing.assert_array_equal(together[name], batch[name])
