"""JSON lines: one object per line, or one array of objects per file.

Source: RFC 8259; NaN and numbers beyond a double are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Self

import orjson

from tocsin.records import Column, Rejected
from tocsin.sources.base import RowsPerBatch
from tocsin.sources.base_files import (
    MAX_COLUMNS,
    MAX_RAW,
    BrokenFile,
    Lines,
    Record,
    Stream,
    TextFileSource,
    object_column,
    rejected_text,
)

MAX_ARRAY = 1 << 26
"""Bytes of a file that is one array: it is read whole."""


class Jsonl(TextFileSource):
    """Read JSON lines, or files that hold one JSON array of objects.

    Nested objects are flattened one level: `{"metadata": {"latency_ms": 3}}` is the column `metadata.latency_ms`.
    What lies deeper, and lists, stay JSON text. Keys may differ from row to row; a value that is absent is None.

    Parameters
    ----------
    path
        A file or a pattern with `*`, `?`, `[...]` and `**`; gzip is recognised by its content.
    rows
        Rows per batch at most.
    """

    def __init__(self, *, path: str, rows: RowsPerBatch = 10_000) -> None:
        super().__init__(path=path, rows=rows)

    @classmethod
    def example(cls, folder: Path) -> Self:
        """Six lines, one of them broken off."""
        lines = [f'{{"timestamp": {second}, "flow": {{"bytes": {10 * second}}}}}' for second in range(1, 6)]
        (folder / "example.jsonl").write_text("\n".join([*lines[:2], '{"timestamp": 3, "fl', *lines[2:], ""]))
        return cls(path=str(folder / "*.jsonl"), rows=2)

    def _records(self, stream: Stream, file: str) -> Iterator[Record | Rejected]:
        known: set[str] = set()
        for row, value, text in _values(stream, file):
            if isinstance(value, Rejected):
                yield value
                continue
            problem, flat = _flattened(value)
            if problem:
                yield rejected_text(file, row, problem, text)
                continue
            if len(known | flat.keys()) > MAX_COLUMNS:
                known = set()  # another header: a batch never gets more columns than that
            known.update(flat)
            yield Record(row, known, flat, len(text))

    def _columns(self, header: Any, values: Sequence[Any]) -> dict[str, Column]:
        names = dict.fromkeys(chain.from_iterable(values))
        return {name: object_column([value.get(name) for value in values]) for name in names}


def _values(stream: Stream, file: str) -> Iterator[tuple[int, Any, str]]:
    if stream.peek(MAX_RAW).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[":
        for row, value in enumerate(_array(stream), 1):
            yield row, value, ""
        return
    lines = Lines(stream)
    for line in lines:
        row = lines.number
        problem = lines.refused.pop(row, None)
        if not problem and not line.strip():
            continue
        try:
            yield row, rejected_text(file, row, problem, line) if problem else orjson.loads(line), line
        except orjson.JSONDecodeError as error:
            yield row, rejected_text(file, row, ("not_json", str(error)), line), line


def _array(stream: Stream) -> list[Any]:
    text = stream.read(MAX_ARRAY + 1)
    if len(text) > MAX_ARRAY:
        raise BrokenFile("too_long", f"an array of more than {MAX_ARRAY:,} bytes; write one object per line")
    try:
        values: list[Any] = orjson.loads(text.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise BrokenFile("not_json", str(error)) from error
    return values


def _flattened(value: Any) -> tuple[tuple[str, str] | None, dict[str, Any]]:
    if not isinstance(value, dict):
        return ("not_an_object", f"a JSON {type(value).__name__}, wanted an object"), {}
    flat: dict[str, Any] = {}
    try:
        for name, item in value.items():
            if isinstance(item, dict):
                flat.update({f"{name}.{inner}": _leaf(deeper) for inner, deeper in item.items()})
            else:
                flat[name] = _leaf(item)
    except orjson.JSONEncodeError as error:
        return ("too_deep", str(error)), {}
    if len(flat) > MAX_COLUMNS:
        return ("too_many_columns", f"{len(flat):,} keys, at most {MAX_COLUMNS:,}"), {}
    return None, flat


def _leaf(value: Any) -> Any:
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else value
