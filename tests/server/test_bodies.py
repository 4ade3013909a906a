"""What becomes of bytes: rows, or a fault with a code; nothing else, whatever they are."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.records import Batch
from tocsin.server.bodies import MAX_TEXT, batch_of, events_of, score_request
from tocsin.server.faults import MAX_SHOWN, Fault
from tocsin.server.policy import ARROW, JSON, LINES

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS)
ROWS = st.lists(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=5), min_size=1, max_size=5)
ANYTHING = st.recursive(
    st.one_of(VALUES, st.floats()), lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=20
)
ENVELOPE = st.fixed_dictionaries({}, optional={"row": ANYTHING, "window": ANYTHING, "reasons": ANYTHING})


def table(columns: dict[str, list[Any]]) -> bytes:
    stream = io.BytesIO()
    pl.DataFrame(columns).write_ipc_stream(stream, compression="uncompressed")
    return stream.getvalue()


def is_taken_or_refused(read: Callable[[], object]) -> bool:
    """Whether bytes became something, or a fault that says in few words what the sender did wrong."""
    try:
        return bool(read())
    except Fault as fault:
        parts = json.loads(fault.body)["error"].values()
        return 400 <= fault.status < 500 and all(len(part) <= 2 * MAX_SHOWN for part in parts)


@pytest.mark.parametrize("type", [JSON, LINES, ARROW])
@given(body=st.one_of(st.binary(max_size=200), ANYTHING.map(lambda value: json.dumps(value).encode())))
def test_any_bytes_are_rows_or_a_fault(type: str, body: bytes) -> None:
    assert is_taken_or_refused(lambda: batch_of(body, type).rows)


@given(body=st.one_of(st.binary(max_size=200), ENVELOPE.map(lambda value: json.dumps(value).encode())))
def test_any_bytes_are_a_request_or_a_fault(body: bytes) -> None:
    assert is_taken_or_refused(lambda: score_request(body).row)


@given(place=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_a_table_with_one_byte_changed_is_rows_or_a_fault(place: int, byte: int) -> None:
    body = bytearray(table({"a": [1.0, None, 3.0], "b": ["x", "", None]}))
    body[place % len(body)] = byte
    assert is_taken_or_refused(lambda: batch_of(bytes(body), ARROW).rows)


@given(ROWS.filter(lambda rows: any(name[:1] != "_" for row in rows for name in row)))
def test_rows_come_back_column_by_column(rows: list[dict[str, Any]]) -> None:
    ours = [{name: value for name, value in row.items() if name[:1] != "_"} for row in rows]
    for type, body in ((JSON, json.dumps(rows)), (LINES, "\n".join(map(json.dumps, rows)))):
        found: Batch = batch_of(body.encode(), type)
        assert set(found) == {name for row in ours for name in row}
        for name in found:
            assert found[name].tolist() == [row.get(name) for row in ours]


@given(ROWS)
def test_events_come_back_as_they_were_sent(rows: list[dict[str, Any]]) -> None:
    sent = [json.dumps(row).encode() for row in rows]
    assert events_of(b"[" + b",".join(sent) + b"]", JSON) == events_of(b"\n".join(sent), LINES) == sent


def test_names_that_are_tocsins_own_are_left_out() -> None:
    with pytest.raises(Fault):
        batch_of(b'[{"_row": 7}]', JSON)
    assert set(batch_of(b'[{"_row": 7, "_label": 1, "a": 1}]', JSON)) == {"a"}
    assert set(batch_of(table({"_row": [7], "a": [1]}), ARROW)) == {"a"}


def test_a_text_is_measured_in_characters() -> None:
    assert batch_of(json.dumps([{"a": "é" * MAX_TEXT}]).encode(), JSON).rows == 1
    with pytest.raises(Fault):
        batch_of(json.dumps([{"a": "é" * (MAX_TEXT + 1)}]).encode(), JSON)
