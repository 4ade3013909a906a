"""What every source of JSON is: one object per line, or one array of objects per file.

Source: RFC 8259; NaN and numbers beyond a double are refused.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from os import SEEK_END
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from tocsin.records import Batch, Column, Rejected
from tocsin.sources.base_files import MAX_COLUMNS, MAX_RAW, BrokenFile, object_column
from tocsin.sources.base_followed import FollowedSource
from tocsin.sources.base_text_files import Lines, Problem, Records, Stream, gathered

MAX_ARRAY = 1 << 26
"""Bytes of a file that is one array: it is read whole."""
MAX_LAYOUTS = 1_000
"""Sequences of keys that are remembered."""
_LEAVES = frozenset({str, int, float, bool, type(None)})

Object = dict[str, Any]
Line = str | bytes
Keys = tuple[str | tuple[str, ...], ...]
"""Of an object, in order; of one within it, its own name and those inside."""
Layout = tuple[str, ...]
"""Columns in the order of a row's values."""


class JsonSource(FollowedSource):
    """Reads JSON objects; subclasses say what becomes of one.

    Keys may differ from row to row; a value that is absent is None.
    """

    @abstractmethod
    def _row(self, value: Object) -> Object | Problem:
        """The object whose values become a row, or why none does."""

    def _named(self, names: Layout) -> Layout:
        """The columns of values with these names; asked once for all rows alike."""
        return names

    def read_lines(self, name: str, blocks: Iterable[tuple[int, Sequence[bytes]]]) -> Iterator[Batch]:
        """Rows of lines that lie in no file: the number of a first line, greater than those before, and some lines."""
        layouts = _Layouts(self._named)
        pieces = (self._lines(layouts, name, row, lines, {}) for row, lines in blocks)
        yield from self._grouped(name, chain.from_iterable(pieces))

    def read_objects(self, name: str, objects: Iterable[tuple[int, Any, str]]) -> Iterator[Batch]:
        """Rows of values that lie in no file.

        Parameters
        ----------
        name
            Where they come from, in rows and messages.
        objects
            Place, value and text, the places ascending from 1 or more; a value that is no object is refused.
        """
        yield from self._grouped(name, gathered(name, self._rows(_Layouts(self._named), objects)))

    def _records(self, stream: Stream, file: str) -> Iterator[Records | Rejected]:
        if not _is_array(stream.peek(MAX_RAW)):
            yield from self._continued(stream, file)
            return
        layouts = _Layouts(self._named)
        yield from gathered(file, self._rows(layouts, ((*item, "") for item in enumerate(_array(stream), 1))))

    def _continued(self, stream: Stream, file: str) -> Iterator[Records | Rejected]:
        layouts = _Layouts(self._named)
        lines = Lines(stream)
        for block in iter(lines.block, []):
            row = lines.number - len(block) + 1
            yield from self._lines(layouts, file, row, block, lines.refused)

    def _packed(self, beginning: bytes) -> bool:
        return _is_array(beginning) or super()._packed(beginning)

    def _whole(self, path: str) -> bool:
        return super()._whole(path) and _is_closed(path)

    def _lines(
        self, layouts: _Layouts, file: str, row: int, lines: Sequence[Line], refused: dict[int, Problem]
    ) -> Iterator[Records | Rejected]:
        values = None if refused else self._alike(layouts, lines)
        if values is None:
            yield from gathered(file, self._rows(layouts, _objects(row, lines, refused)))
        else:
            yield Records(range(row, row + len(lines)), layouts.known, values, sum(map(len, lines)))

    def _alike(self, layouts: _Layouts, lines: Sequence[Line]) -> list[Any] | None:
        """The rows of lines, all at once, if all of them are flat objects with the same keys."""
        try:
            objects = list(map(orjson.loads, lines))
        except orjson.JSONDecodeError:
            return None
        rows = list(map(self._row, objects)) if set(map(type, objects)) == {dict} else [Problem("", "")]
        if set(map(type, rows)) != {dict} or len(keys := set(map(tuple, rows))) != 1:
            return None
        values = [tuple(row.values()) for row in rows if isinstance(row, dict)]
        if len(values[0]) > MAX_COLUMNS or not _LEAVES.issuperset(map(type, chain.from_iterable(values))):
            return None
        layout = layouts.of(keys.pop())
        return [(layout, row) for row in values]

    def _rows(self, layouts: _Layouts, objects: Iterable[tuple[int, Any, str]]) -> Iterator[tuple[int, Any, Any, str]]:
        for place, value, text in objects:
            row = self._row(value) if isinstance(value, dict) else _no_object(value)
            flat = row if isinstance(row, Problem) else _flat(row)
            if isinstance(flat, Problem):
                yield place, None, flat, text
            else:
                layout = layouts.of(flat[0])
                yield place, layouts.known, (layout, flat[1]), text

    def _columns(self, header: Any, values: Sequence[Any]) -> dict[str, Column]:
        alike: dict[int, tuple[Layout, list[int], list[Any]]] = {}
        for place, (layout, row) in enumerate(values):
            _, places, rows = alike.setdefault(id(layout), (layout, [], []))
            places.append(place)
            rows.append(row)
        columns: dict[str, Column] = {}
        for layout, places, rows in alike.values():
            for name, column in zip(layout, zip(*rows, strict=True), strict=True):
                if len(rows) == len(values):
                    columns[name] = object_column(column)
                    continue
                if name not in columns:
                    columns[name] = np.full(len(values), None, dtype=object)
                columns[name][places] = object_column(column)
        return columns


class _Layouts:
    """The layouts of rows, each of them once, as long as all their columns fit into one batch."""

    def __init__(self, named: Callable[[Layout], Layout]) -> None:
        self._named = named
        self._layouts: dict[Keys, Layout] = {}
        self.known: set[str] = set()

    def of(self, keys: Keys) -> Layout:
        layout = self._layouts.get(keys)
        return self._new(keys) if layout is None else layout

    def _new(self, keys: Keys) -> Layout:
        names = ((key,) if isinstance(key, str) else (f"{key[0]}.{inner}" for inner in key[1:]) for key in keys)
        layout = self._named(tuple(chain.from_iterable(names)))
        if len(self.known.union(layout)) > MAX_COLUMNS:
            self.known = set()  # another header: a batch never gets more columns than that
            self._layouts.clear()
        if len(self._layouts) >= MAX_LAYOUTS:
            self._layouts.clear()
        self.known.update(layout)
        return self._layouts.setdefault(keys, layout)


def _flat(value: Object) -> tuple[Keys, tuple[Any, ...]] | Problem:
    """Keys and values of an object and of those within it, one level deep; what lies deeper becomes JSON text."""
    keys: list[str | tuple[str, ...]] = []
    values: list[Any] = []
    for name, item in value.items():
        if type(item) is dict:
            keys.append((name, *item))
            values += item.values()
        else:
            keys.append(name)
            values.append(item)
    if len(values) > MAX_COLUMNS:
        return Problem("too_many_columns", f"{len(values):,} keys, at most {MAX_COLUMNS:,}")
    if not _LEAVES.issuperset(map(type, values)):
        try:
            values = [item if type(item) in _LEAVES else orjson.dumps(item).decode() for item in values]
        except orjson.JSONEncodeError as error:
            return Problem("too_deep", str(error))
    return tuple(keys), tuple(values)


def _no_object(value: Any) -> Problem:
    if isinstance(value, Problem):
        return value
    return Problem("not_an_object", f"a JSON {type(value).__name__}, wanted an object")


def _objects(row: int, lines: Sequence[Line], refused: dict[int, Problem]) -> Iterator[tuple[int, Any, str]]:
    for number, line in enumerate(lines, row):
        problem = refused.pop(number, None)
        if problem or not line.isspace():
            text = line if isinstance(line, str) else line[:MAX_RAW].decode("utf-8", "backslashreplace")
            yield number, problem or _loaded(line), text


def _loaded(line: Line) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return Problem("not_json", str(error))


def _is_array(beginning: bytes) -> bool:
    return beginning.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"["


def _is_closed(path: str) -> bool:
    """Whether a file that begins as an array also ends as one."""
    with Path(path).open("rb") as file:
        if not _is_array(file.read(MAX_RAW)):
            return True
        file.seek(max(file.seek(0, SEEK_END) - MAX_RAW, 0))
        return file.read().rstrip().endswith(b"]")


def _array(stream: Stream) -> list[Any]:
    text = stream.read(MAX_ARRAY + 1)
    if len(text) > MAX_ARRAY:
        raise BrokenFile("too_long", f"an array of more than {MAX_ARRAY:,} bytes; write one object per line")
    try:
        values: list[Any] = orjson.loads(text.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise BrokenFile("not_json", str(error)) from error
    return values
