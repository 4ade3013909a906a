"""What every source of JSON is: one object per line, or one array of objects per file.

Source: RFC 8259; NaN and numbers beyond a double are refused.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from os import SEEK_END
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from tocsin.records import Batch, Column, Rejected
from tocsin.sources.base_files import MAX_COLUMNS, MAX_RAW, BrokenFile
from tocsin.sources.base_followed import FollowedSource
from tocsin.sources.base_text_files import Lines, Problem, Records, Stream, gathered

MAX_ARRAY = 1 << 26
"""Bytes of a file that is one array: it is read whole."""
MAX_LAYOUTS = 1_000
"""Sequences of keys that are remembered."""
FEW = 20
"""One line in so many may be odd, and the others are still taken all at once."""
_LEAVES = frozenset({str, int, float, bool, type(None)})

Object = dict[str, Any]
Line = str | bytes
Keys = tuple[str | tuple[str, ...], ...]
"""Of an object, in order; of one within it, its own name and those inside."""
Layout = tuple[str, ...]
"""Columns in the order of a row's values."""
_BLANK = Problem("blank", "a line with nothing in it, of which nobody is told")


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

    def read_objects(self, name: str, objects: Iterable[tuple[int, Any, str]]) -> Iterator[Batch]:
        """Rows of values that lie in no file.

        Parameters
        ----------
        name
            Where they come from, in rows and messages.
        objects
            Place, value and text, the places ascending from 1 or more; a value that is no object is refused.
        """
        yield from self._grouped(name, self._one_by_one(Layouts(self._named), name, objects))

    def _records(self, stream: Stream, file: str) -> Iterator[Records | Rejected]:
        if not _is_array(stream.peek(MAX_RAW)):
            yield from self._continued(stream, file)
            return
        objects = ((*item, "") for item in enumerate(_array(stream), 1))
        yield from self._one_by_one(Layouts(self._named), file, objects)

    def _continued(self, stream: Stream, file: str) -> Iterator[Records | Rejected]:
        layouts = Layouts(self._named)
        lines = Lines(stream)
        for block in iter(lines.block, []):
            row = lines.number - len(block) + 1
            yield from self.lines_as_records(layouts, file, row, block, lines.refused)

    def _packed(self, beginning: bytes) -> bool:
        return _is_array(beginning) or super()._packed(beginning)

    def _whole(self, path: str) -> bool:
        return super()._whole(path) and _is_closed(path)

    def lines_as_records(
        self, layouts: Layouts, file: str, row: int, lines: Sequence[Line], refused: dict[int, Problem]
    ) -> Iterator[Records | Rejected]:
        """The records of lines, the first of which has this number; those in `refused` are taken out of it."""
        values = parsed(lines)
        for number in tuple(refused):
            values[number - row] = refused.pop(number)
        yield from self.values_as_records(layouts, file, range(row, row + len(lines)), values, lines)

    def values_as_records(
        self, layouts: Layouts, file: str, rows: Sequence[int], values: Sequence[Any], lines: Sequence[Line]
    ) -> Iterator[Records | Rejected]:
        """The records of values: those that are alike, as most are, all at once, and the others one by one.

        Parameters
        ----------
        layouts
            Of what is read in one go.
        file
            Where they come from.
        rows
            The number of each, ascending.
        values
            What was parsed, or the problem with it.
        lines
            How each was written.
        """
        if not values:
            return
        made = list(map(self._made, values))
        keys, flat, odd = _sifted(made)
        if len(odd) * FEW > len(made):
            yield from gathered(file, self._rows(layouts, zip(rows, made, map(text_of, lines), strict=True)))
            return
        layout, known, first = layouts.of(keys), layouts.known, 0
        for place in [*odd, len(made)]:
            if place > first:
                alike = [(layout, row) for row in flat[first:place]]
                yield Records(rows[first:place], known, alike, sum(map(len, lines[first:place])))
            if place < len(made):
                yield from gathered(file, self._rows(layouts, [(rows[place], made[place], text_of(lines[place]))]))
            first = place + 1

    def _one_by_one(
        self, layouts: Layouts, file: str, objects: Iterable[tuple[int, Any, str]]
    ) -> Iterator[Records | Rejected]:
        made = ((place, self._made(value), text) for place, value, text in objects)
        yield from gathered(file, self._rows(layouts, made))

    def _made(self, value: Any) -> Object | Problem:
        """What becomes of a value; asked once, since a row may be the value itself, changed."""
        return self._row(value) if isinstance(value, dict) else _no_object(value)

    def _rows(
        self, layouts: Layouts, made: Iterable[tuple[int, Object | Problem, str]]
    ) -> Iterator[tuple[int, Any, Any, str]]:
        for place, row, text in made:
            flat = row if isinstance(row, Problem) else _flat(row)
            if isinstance(flat, Problem):
                if flat is not _BLANK:
                    yield place, None, flat, text
            else:
                layout = layouts.of(flat[0])
                yield place, layouts.known, (layout, flat[1]), text

    def _columns(self, header: Any, values: Sequence[Any]) -> dict[str, Column]:
        kinds = np.array([id(layout) for layout, _ in values])
        order = np.argsort(kinds, kind="stable")
        alike = np.split(order, np.flatnonzero(np.diff(kinds[order])) + 1)
        columns: dict[str, Column] = {}
        for places in sorted(alike, key=itemgetter(0)):
            rows = [values[place][1] for place in places.tolist()]
            for item, name in enumerate(values[places[0]][0]):
                column = np.fromiter(map(itemgetter(item), rows), object, len(rows))
                if len(rows) == len(values):
                    columns[name] = column
                    continue
                if name not in columns:
                    columns[name] = np.full(len(values), None, dtype=object)
                columns[name][places] = column
        return columns


class Layouts:
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


def parsed(lines: Sequence[Line]) -> list[Any]:
    """What lines hold; a problem where one holds no JSON."""
    found: list[Any] = []
    waiting = iter(lines)
    while len(found) < len(lines):
        try:
            found.extend(map(orjson.loads, waiting))
        except orjson.JSONDecodeError:  # what came before it is in the list already
            found.append(loaded(lines[len(found)]))
    return found


def loaded(line: Line) -> Any:
    """What a line holds, or the problem with it."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return _BLANK if line.isspace() else Problem("not_json", str(error))


def _sifted(made: Sequence[Object | Problem]) -> tuple[Keys, list[tuple[Any, ...]], list[int]]:
    """The keys that most rows have as flat objects, the values of all, and the places of those that are odd."""
    odd: set[int] = set()
    rows: list[Any] = list(made)
    if set(map(type, made)) != {dict}:
        odd = {place for place, row in enumerate(made) if type(row) is not dict}
        rows = [row if type(row) is dict else {} for row in made]
    keys = list(map(tuple, rows))
    (usual, _), *others = Counter(keys).most_common(2)
    if others:
        odd |= {place for place, key in enumerate(keys) if key != usual}
    values = [tuple(row.values()) for row in rows]
    if not _LEAVES.issuperset(map(type, chain.from_iterable(values))):
        odd |= {place for place, row in enumerate(values) if not _LEAVES.issuperset(map(type, row))}
    none_fit = not 0 < len(usual) <= MAX_COLUMNS
    return usual, values, list(range(len(made))) if none_fit else sorted(odd)


def text_of(line: Line) -> str:
    """The beginning of a line that is bytes, and one that is text."""
    return line if isinstance(line, str) else line[:MAX_RAW].decode("utf-8", "backslashreplace")


def _is_array(beginning: bytes) -> bool:
    """Whether a file is one array; a first line that holds an array, and no object in it, is a line among others."""
    text = beginning.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:1] != b"[":
        return False
    line, _, more = text.partition(b"\n")
    try:
        values = orjson.loads(line)
    except orjson.JSONDecodeError:
        return True
    return not more.strip() and (not values or any(isinstance(value, dict) for value in values))


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
