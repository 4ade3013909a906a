"""What a message becomes: one row or many, JSON or Arrow, and nothing that is broken is lost."""

from __future__ import annotations

from io import BytesIO
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.records import ROW, Batch, Rejected
from tocsin.sources import base_json
from tocsin.sources.base import last_row
from tocsin.sources.base_arrow import read_arrow
from tocsin.sources.base_files import MAX_RAW, BrokenFile
from tocsin.sources.base_json import text_of
from tocsin.sources.base_messages import MAX_MESSAGE, PLACES, Message, MessageReader, _loaded
from tocsin.sources.base_text_files import MAX_LINE, Problem


def read(*contents: Any, rows: int = 10_000, behind: int = 0) -> list[Batch]:
    reader = MessageReader(path="EVENTS", rows=rows)
    reader.begin(behind)
    return list(reader.batches("EVENTS", [Message(*item) for item in enumerate(contents, 1)]))


def values(batches: list[Batch], name: str) -> list[Any]:
    return [value for batch in batches for value in batch[name].tolist()]


def refused(batches: list[Batch]) -> list[tuple[int, str, str]]:
    return [(item.row, item.reason, item.raw) for batch in batches for item in batch.rejected]


def stream(frame: pl.DataFrame, **settings: Any) -> bytes:
    target = BytesIO()
    frame.write_ipc_stream(target, **settings)
    return target.getvalue()


def test_an_object_is_a_row_and_lines_are_rows() -> None:
    batches = read(b'{"a": 1}', b'{"a": 2}\n{"a": 3}\r\n\n{"a": 4}\n')
    assert values(batches, "a") == [1, 2, 3, 4]
    assert values(batches, ROW) == [100_001, 200_001, 200_002, 200_003]


@pytest.mark.parametrize("content", [b'[{"a": 1}, {"a": 2}]', b'[\n {"a": 1},\n {"a": 2}\n]'])
def test_an_array_is_as_good_as_lines(content: bytes) -> None:
    assert values(read(content), "a") == [1, 2]


def test_an_object_may_be_written_over_several_lines() -> None:
    assert values(read(b'{\n "a": {\n  "b": 1\n }\n}\n'), "a.b") == [1]


def test_a_broken_line_is_refused_with_its_text_and_the_others_go_on() -> None:
    batches = read(b'{"a": 1}\n{"a": \n{"a": 3}', b"{", b"", b"[1]", b"[]", b'{"a": NaN}', b'{"a": "\xff"}')
    assert values(batches, "a") == [1, 3]
    assert refused(batches) == [
        (100_002, "not_json", '{"a": '),
        (200_001, "not_json", "{"),
        (300_001, "empty", ""),
        (400_001, "not_an_object", "1"),
        (500_001, "empty", "[]"),
        (600_001, "not_json", '{"a": NaN}'),
        (700_001, "not_json", '{"a": "\\xff"}'),
    ]


def test_a_first_line_that_is_broken_is_refused_alone() -> None:
    batches = read(b'{"a": \n{"a": 2}')
    assert values(batches, "a") == [2]
    assert refused(batches) == [(100_001, "not_json", '{"a": ')]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b" " * (MAX_MESSAGE + 1), "too_long"),
        (b'{"a": "' + b"x" * MAX_LINE + b'"}', "too_long"),
        (b"{}\n" * PLACES, "too_many_rows"),
        (b"[" + b"1," * PLACES + b"1]", "too_many_rows"),
        (orjson.dumps({str(number): number for number in range(1_025)}), "too_many_columns"),
        (b"\xff\xff\xff\xff no table", "truncated"),
        (Problem("no_field", "an entry without a field data"), "no_field"),
    ],
)
def test_every_limit_is_held_and_told(content: bytes, reason: str) -> None:
    batches = read(content, b'{"a": 1}')
    assert values([batch for batch in batches if batch.rows], "a") == [1]
    assert [item[1] for item in refused(batches)] == [reason]
    assert all(len(item[2]) <= 4 * MAX_RAW for item in refused(batches))


def test_a_table_is_rows_with_types() -> None:
    frame = pl.DataFrame({"t": [1, 2, 3], "who": ["a", None, "c"], "x": [0.5, None, 1.5], "l": [[1], [2], [3]]})
    batches = read(b'{"t": 0}', stream(frame), b'{"t": 4}', rows=2)
    assert values(batches, "t") == [0, 1, 2, 3, 4]
    assert values(batches, ROW) == [100_001, 200_001, 200_002, 200_003, 300_001]
    assert batches[1]["t"].dtype == np.int64
    assert values(batches[1:3], "who") == ["a", None, "c"]
    assert "l" not in batches[1]


def test_rows_up_to_a_position_are_left_out() -> None:
    table = stream(pl.DataFrame({"a": [3, 4, 5]}))
    assert values(read(b'{"a": 1}\n{"a": 2}', table, behind=100_001), "a") == [2, 3, 4, 5]
    assert values(read(b'{"a": 1}\n{"a": 2}', table, behind=200_002), "a") == [5]


def test_a_message_is_finished_with_its_last_row() -> None:
    reader = MessageReader(path="EVENTS", rows=2)
    reader.begin(0)
    contents = [b'{"a": 1}', b'{"a": 2}\n{"a": 3}\n{"a": 4}', b"broken", stream(pl.DataFrame({"a": [5, 6, 7]}))]
    batches = reader.batches("EVENTS", [Message(*item) for item in enumerate(contents, 1)])
    assert [reader.finished(last_row(batch)[1]) for batch in batches] == [[1], [2], [3], [], [4]]


def test_a_table_that_would_grow_is_refused_before_it_does() -> None:
    texts = stream(pl.DataFrame({"a": pl.Series(["x" * 10_000] * 9_999, dtype=pl.Categorical)}))
    assert len(texts) < 100_000
    for content, reason in (
        (stream(pl.DataFrame({"a": [1, 2]}), compression="zstd"), "compressed"),
        (stream(pl.DataFrame({"a": range(PLACES)})), "too_many_rows"),
        (stream(pl.DataFrame({str(number): [1] for number in range(1_025)})), "too_many_columns"),
        (stream(pl.DataFrame({"a": [[1]]})), "empty"),
        (texts, "too_long"),
    ):
        with pytest.raises(BrokenFile) as refusal:
            read_arrow(content, PLACES - 1)
        assert refusal.value.reason == reason


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical])
def test_a_table_of_many_rows_may_hold_a_long_text(dtype: type[pl.DataType]) -> None:
    texts = ["x" * 20_000, *["y"] * 2_999]
    columns, _ = read_arrow(stream(pl.DataFrame({"a": pl.Series(texts, dtype=dtype)})), PLACES - 1)
    assert columns["a"].tolist() == texts


@given(
    st.binary(max_size=200) | st.text(max_size=200).map(str.encode) | st.lists(st.text(max_size=20)).map(orjson.dumps)
)
def test_any_bytes_become_rows_or_are_refused(content: bytes) -> None:
    batches = read(content)
    rows = [*values(batches, ROW), *(item[0] for item in refused(batches))]
    assert len(rows) == len(set(rows)) >= 1


ODD = st.one_of(
    st.text(st.characters(exclude_characters="\n"), max_size=20).map(str.encode),
    st.binary(max_size=20).map(lambda junk: junk.replace(b"\n", b"")),
    st.dictionaries(st.sampled_from("abcd"), st.none() | st.integers(-9, 9) | st.text(max_size=3), max_size=4).map(
        orjson.dumps
    ),
    st.sampled_from(
        [
            b'{"n": {"in": 1, "out": [2]}}',
            b'{"n": 1, "a": [1, {"b": 2}]}',
            b"[1, 2]",
            b"null",
            b"{}",
            b" \t",
            b'{"n": NaN}',
            b'{"n": 1} ',
            b'{"n": 1',
            b'{"n": ' + b"[" * 300 + b"]" * 300 + b"}",
            orjson.dumps({str(number): number for number in range(1_025)}),
        ]
    ),
)


def shown(batches: list[Batch]) -> tuple[list[dict[str, Any]], list[Rejected]]:
    """Every row with the values that it has, and every refusal, as they follow each other."""
    rows = []
    for batch in batches:
        names = list(batch)
        values = zip(*(batch[name].tolist() for name in names), strict=True)
        rows += [{name: value for name, value in zip(names, row, strict=True) if value is not None} for row in values]
    return rows, [item for batch in batches for item in batch.rejected]


@settings(deadline=None)
@given(st.data(), st.integers(0, 80), st.lists(ODD, max_size=4), st.sampled_from([1, 7, 10_000]))
def test_an_envelope_is_read_as_if_every_line_came_alone(
    data: st.DataObject, alike: int, odd: list[bytes], rows: int
) -> None:
    lines = [b'{"n": %d, "who": "a"}' % number for number in range(alike)]
    for line in odd:
        lines.insert(data.draw(st.integers(0, len(lines))), line)
    there = [line for line in lines if line and not line.isspace()]
    cuts = sorted(data.draw(st.sets(st.integers(1, max(len(there) - 1, 1)), max_size=3)))
    envelopes = [there[start:end] for start, end in pairwise([0, *cuts, len(there)]) if there[start:end]]
    for envelope in envelopes:  # of one line that is an array, and of several that are one value, other tests tell
        envelope.insert(0, b'{"first": 1}')
    reader = MessageReader(path="EVENTS", rows=rows)
    places = [
        (number * PLACES + place, line)
        for number, envelope in enumerate(envelopes, 1)
        for place, line in enumerate(envelope, 1)
    ]
    alone = reader.read_objects("EVENTS", [(row, _loaded(line), text_of(line)) for row, line in places])
    assert shown(read(*map(b"\n".join, envelopes), rows=rows)) == shown(list(alone))


def test_lines_that_are_alike_are_never_read_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [b'{"n": %d}' % number for number in range(100)]
    lines[50] = b"{"
    monkeypatch.delattr(base_json, "_flat")
    for messages in ([b"\n".join(lines)], lines):
        assert len(values(read(*messages), "n")) == 99


def test_an_array_that_is_deeper_than_can_be_written_is_refused_and_the_others_go_on() -> None:
    deep = b"[" * 300 + b"]" * 300
    batches = read(deep, b'[{"n": 1}, {"n": %b}, {"n": 3}]' % deep, b'{"n": 4}')
    assert values([batch for batch in batches if batch.rows], "n") == [1, 3, 4]
    assert [item[:2] for item in refused(batches)] == [(100_001, "not_an_object"), (200_002, "too_deep")]


@given(st.data())
def test_a_damaged_table_is_read_or_refused(data: st.DataObject) -> None:
    content = bytearray(stream(pl.DataFrame({"t": range(50), "who": list("abcde") * 10})))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    batches = read(bytes(content[: data.draw(st.integers(4, len(content)))]))
    assert sum(batch.rows for batch in batches) + len(refused(batches)) >= 1
