from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.checks.source import batches_of
from tocsin.records import ROW, Batch
from tocsin.sources.jsonl import Jsonl


def read(folder: Path, content: str | bytes) -> Batch:
    (folder / "rows.jsonl").write_bytes(content if isinstance(content, bytes) else content.encode())
    (batch,) = batches_of(Jsonl(path=str(folder / "rows.jsonl")))
    return batch


def test_an_object_within_is_flattened_and_what_lies_deeper_stays_text(tmp_path: Path) -> None:
    batch = read(
        tmp_path, '{"level":"ERROR","metadata":{"latency_ms":12.5,"tags":["a"],"more":{"x":1}},"list":[1,2]}\n'
    )
    assert {name: batch[name][0] for name in batch if not name.startswith("_")} == {
        "level": "ERROR",
        "metadata.latency_ms": 12.5,
        "metadata.tags": '["a"]',
        "metadata.more": '{"x":1}',
        "list": "[1,2]",
    }


def test_a_key_that_a_row_lacks_is_none(tmp_path: Path) -> None:
    batch = read(tmp_path, '{"a":1}\n\n{"b":true}\n')
    assert (batch["a"].tolist(), batch["b"].tolist()) == ([1, None], [None, True])
    assert batch[ROW].tolist() == [1, 3]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"a": NaN}', "not_json"),
        ('{"a": 1e400}', "not_json"),
        ('{"a": 1', "not_json"),
        ("[1, 2]", "not_an_object"),
        ("17", "not_an_object"),
        ('{"a": ' + "[" * 900 + "]" * 900 + "}", "too_deep"),
        ('{"a": ' + "[" * 2_000 + "]" * 2_000 + "}", "not_json"),
        ("{" + ",".join(f'"k{place}": 1' for place in range(1_025)) + "}", "too_many_columns"),
        ('{"a": "\0"}', "nul_byte"),
        ('{"a": "' + "x" * 1_100_000 + '"}', "too_long"),
    ],
)
def test_a_line_that_is_no_usable_object_is_refused_alone(tmp_path: Path, line: str, reason: str) -> None:
    batch = read(tmp_path, f'{{"a": 0}}\n{line}\n{{"a": 3}}\n')
    assert batch["a"].tolist() == [0, 3]
    assert [(item.row, item.reason) for item in batch.rejected] == [(2, reason)]
    assert len(batch.rejected[0].raw) <= 8_192


def test_bytes_that_are_not_utf8_cost_their_line(tmp_path: Path) -> None:
    batch = read(tmp_path, b'{"a": "\xff"}\n{"a": "\xc3\xa9"}\n')
    assert batch["a"].tolist() == ["é"]
    assert batch.rejected[0].raw == r'{"a": "\xff"}'


def test_a_batch_never_has_more_columns_than_the_limit(tmp_path: Path) -> None:
    lines = [orjson.dumps({f"k{row}_{place}": 1 for place in range(600)}) for row in range(3)]
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(lines))
    batches = batches_of(Jsonl(path=str(tmp_path / "rows.jsonl")))
    assert [(batch.rows, len(batch) - 2) for batch in batches] == [(1, 600)] * 3


def test_suricata_arrays_are_read_like_lines(data: Path) -> None:
    batches = batches_of(Jsonl(path=str(data / "suricata_samples" / "*.gz")))
    assert sum(batch.rows for batch in batches) == 548
    assert len(batches) == 4
    assert all(not batch.rejected and "alert.signature" in batch for batch in batches)
    assert batches[0][ROW][:2].tolist() == [1, 2]


def test_an_array_that_breaks_off_refuses_the_file(tmp_path: Path) -> None:
    batch = read(tmp_path, '\ufeff[{"a": 1},\n{"a": 2}')
    assert batch.rows == 0
    assert [(item.row, item.reason) for item in batch.rejected] == [(0, "not_json")]


def test_an_element_that_is_no_object_is_refused_alone(tmp_path: Path) -> None:
    batch = read(tmp_path, '[{"a": 1}, 7, {"a": 3}]')
    assert batch["a"].tolist() == [1, 3]
    assert [(item.row, item.reason) for item in batch.rejected] == [(2, "not_an_object")]


scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0."), min_size=1, max_size=6)
rows = st.dictionaries(words.filter(lambda word: word[0] != "_"), scalars | words, min_size=1, max_size=5)


@settings(max_examples=50, deadline=None)
@given(st.lists(rows, min_size=1, max_size=6))
def test_flat_objects_come_back_as_they_were(objects: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        batch = read(Path(folder), b"\n".join(orjson.dumps(item) for item in objects))
        names = [name for name in batch if not name.startswith("_")]
        for row, item in enumerate(objects):
            assert {name: batch[name][row] for name in names} == {name: item.get(name) for name in names}


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("first", ["[1, 2, 3]", '[{"a": 0}]', "[]", '["a"]'])
def test_a_first_line_that_holds_an_array_makes_no_array_of_the_file(tmp_path: Path, first: str, follow: bool) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(first + '\n{"a": 1}\n', "utf-8")
    source = Jsonl(path=str(path), follow=follow)
    source.open()
    batch = source.read(5.0)
    source.close()
    assert batch is not None
    assert batch["a"].tolist() == [1]
    assert [(item.row, item.reason) for item in batch.rejected] == [(1, "not_an_object")]


LINES = (
    *(
        '{"a": 1, "b": "x"}',
        '{"a": 2.5, "b": null}',
        '{"b": "y", "a": 3}',
        '{"a": {"c": 4}, "b": 1}',
        '{"a": [1], "b": 2}',
    ),
    *("{", "", " ", "17", "null", "{}", '{"a": NaN, "b": 1}', '{"c": 1}', '{"a": "\0", "b": 1}'),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from(LINES)), max_size=4))
def test_odd_lines_among_lines_alike_are_read_as_each_is_alone(odd: list[tuple[int, str]]) -> None:
    lines = [orjson.dumps({"a": place, "b": str(place)}).decode() for place in range(60)]
    for place, line in odd:
        lines.insert(place + 1, line)
    alone: dict[int, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, line in enumerate(lines, 1):
            if line not in LINES:
                alone[number] = orjson.loads(line)
                continue
            single = read(Path(folder), f"{lines[0]}\n{line}\n")
            if single.rejected:
                alone[number] = single.rejected[0].reason
            elif 2 in single[ROW]:
                alone[number] = _values(single, single.rows - 1)
        whole = read(Path(folder), "\n".join(lines) + "\n")
    found: dict[int, Any] = {item.row: item.reason for item in whole.rejected}
    found |= {int(number): _values(whole, place) for place, number in enumerate(whole[ROW])}
    assert found == alone
    assert whole[ROW].tolist() == sorted(whole[ROW].tolist())


def _values(batch: Batch, place: int) -> dict[str, Any]:
    """Of one row, without those that it lacks."""
    values = {name: batch[name][place] for name in batch if not name.startswith("_")}
    return {name: value for name, value in values.items() if value is not None}
