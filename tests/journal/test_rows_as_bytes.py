"""Typed rows come back from bytes with the same bits, and nothing else is taken for rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.errors import IntegrityError
from tocsin.journal.rows_as_bytes import from_bytes, to_bytes
from tocsin.records import Batch, Column

DTYPES = ("float64", "int64", "int8", "bool", "uint8", "float32")


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    rows = draw(st.integers(0, 5))
    names = draw(st.lists(st.text(max_size=8), unique=True, max_size=5))
    columns: dict[str, Column] = {}
    for name in names:
        if draw(st.booleans()):
            column = np.empty(rows, dtype=object)
            column[:] = draw(st.lists(st.text(st.characters(codec=None)) | st.none(), min_size=rows, max_size=rows))
            columns[name] = column
        else:
            data = draw(st.binary(min_size=8 * rows, max_size=8 * rows))
            dtype = np.dtype(draw(st.sampled_from(DTYPES)))
            raw = np.frombuffer(data, dtype="uint8")[: rows * dtype.itemsize]
            columns[name] = (raw & 1).astype(bool)[:rows] if dtype.kind == "b" else raw.view(dtype)
    return Batch(columns)


@given(batches())
def test_rows_come_back_with_the_same_bits(batch: Batch) -> None:
    again = from_bytes(to_bytes(batch))
    assert list(again) == list(batch)
    for name in batch:
        if batch[name].dtype == object:
            assert again[name].tolist() == batch[name].tolist()
        else:
            assert again[name].dtype == batch[name].dtype
            assert again[name].tobytes() == batch[name].tobytes()


@given(batches(), st.data())
def test_bytes_that_were_cut_or_changed_give_rows_or_are_refused(batch: Batch, data: st.DataObject) -> None:
    whole = bytearray(to_bytes(batch))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(whole), bytes(whole[:place])):
        try:
            from_bytes(damaged)
        except IntegrityError:
            continue


def test_a_header_that_claims_much_is_refused_before_anything_is_made() -> None:
    with pytest.raises(IntegrityError, match="header of 4294967295 bytes"):
        from_bytes(b"\xff\xff\xff\xff")
