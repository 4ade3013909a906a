"""What every source of messages is: a message becomes rows, none of which counts twice, and a broker is told last.

A message holds one JSON object, several as JSON lines or as an array, or a table as an Arrow IPC stream; its first
bytes tell which.

Source: RFC 8259 (JSON); see `base_arrow` for the other.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Annotated, Any, NamedTuple, TypeGuard

import numpy as np
import orjson
from pydantic import Field

from tocsin.component import snake_case
from tocsin.errors import DataError
from tocsin.observe import live
from tocsin.records import Batch, Position, Rejected
from tocsin.sources.base import RowsPerBatch, Source, last_row
from tocsin.sources.base_files import BrokenFile
from tocsin.sources.base_json import JsonSource, Layouts, Object, loaded, parsed, text_of
from tocsin.sources.base_text_files import MAX_LINE, Problem, Records

PLACES = 100_000
"""A row is numbered `message * PLACES + place in the message`: 17, 42 is 1,700,042."""
MAX_MESSAGE = 1 << 24
"""Bytes."""
AT_ONCE, AT_ONCE_BYTES = 2_000, 1 << 20
"""Values and bytes, after which those of no further message are looked at together with them."""
MESSAGES, WHOLE = "messages", "whole"
"""In a position beside the last row: how many messages are done with, and the number of the last of them."""
_ARROW = b"\xff\xff\xff\xff"

MessagesToRead = Annotated[int, Field(ge=1)] | None


class Message(NamedTuple):
    """What a broker delivered."""

    number: int
    """1 or more, greater than that of the message before."""
    content: bytes | Object | Problem
    """Bytes to be parsed; an object where the broker keeps fields itself; or why there is neither."""


class MessageSource(Source):
    """Reads messages that a broker hands out until they are acknowledged.

    A broker hands out again what it was not told of in time, or before a kill: messages up to the position are counted
    and left out. No message is poison for long: what cannot become a row is refused, and acknowledged with the rest.

    Subclasses write what their broker does: `_connect`, `_take`, `_forget` and `_disconnect`.
    """

    replayable = False

    def __init__(self, *, file: str, rows: RowsPerBatch, messages: MessagesToRead) -> None:
        self.rows = rows
        self.messages = messages
        self._name = snake_case(type(self).__name__)
        self._file = file
        self._reader = MessageReader(path=file, rows=rows)
        self._batches: Iterator[Batch] | None = None
        self._offsets: dict[str, int] = {}
        self._taken = 0
        """Messages, from the first one on."""
        self._whole = 0
        """The last message of which every row is acknowledged."""
        self._told = 0
        """The last message that the broker may forget, as far as it was told."""
        self._committed = 0
        """The last message that was done with when this was opened."""
        self._repeated = False
        """Whether messages came once more, of which the broker is to be told again."""
        self._ended = False

    @abstractmethod
    def _connect(self, offsets: Mapping[str, int]) -> int:
        """Begin behind a position, if there is one; returns the number up to which messages are done with.

        It is less than the position says only if the broker lost them: it will give that number to others.

        Raises
        ------
        SourceLost
            If it does not answer.
        """

    @abstractmethod
    def _take(self, most: int, timeout_s: float) -> Sequence[Message]:
        """Messages as they were sent, the first of them awaited for so long.

        Raises
        ------
        SourceLost
            If it does not answer any more.
        """

    @abstractmethod
    def _forget(self, number: int) -> None:
        """Tell the broker that it may forget all messages up to this one; as `_take`."""

    @abstractmethod
    def _disconnect(self) -> None:
        """Release what `_connect` took; may be called twice."""

    def _marks(self, number: int) -> Mapping[str, int]:
        """What a position says of this message beside its number."""
        return {}

    def open(self, resume: Position | None = None) -> None:
        self.close()
        self._offsets = dict(resume.offsets) if resume else {}
        whole = self._connect(self._offsets)
        if whole < self._offsets.get(WHOLE, 0):
            live.session_forgotten(self._name)
            self._offsets |= {self._file: whole * PLACES + PLACES - 1, WHOLE: whole}
        self._taken = self._offsets.get(MESSAGES, 0)
        self._whole, self._committed, self._told = whole, whole, 0
        self._reader.begin(self._offsets.get(self._file, 0))
        self._batches, self._repeated, self._ended = iter(()), False, False

    def read(self, timeout_s: float) -> Batch | None:
        if self._batches is None:
            raise DataError(repr(self), "read of a closed source", hint="call open first")
        batch = next(self._batches, None)
        if batch is None and not self._all_taken:
            self._batches = self._reader.batches(self._file, self._fresh(timeout_s))
            batch = next(self._batches, None)
        self._ended = batch is None and self._all_taken
        return batch

    @property
    def endless(self) -> bool:
        return self.messages is None

    @property
    def ended(self) -> bool:
        return self._ended

    def acknowledge(self, batch: Batch) -> Position:
        _, row = last_row(batch)
        whole = self._reader.finished(row)
        self._whole = max([self._whole, *whole])
        read = self._offsets.get(MESSAGES, 0) + len(whole)
        self._offsets |= {self._file: row, MESSAGES: read, WHOLE: self._whole, **self._marks(row // PLACES)}
        return Position(self._name, dict(self._offsets))

    def confirm(self) -> None:
        if self._whole > self._told:
            self._forget(self._whole)
            self._told = self._whole

    def close(self) -> None:
        self._batches = None
        self._disconnect()

    @property
    def _all_taken(self) -> bool:
        return self.messages is not None and self._taken >= self.messages

    def _fresh(self, timeout_s: float) -> Sequence[Message]:
        """Messages that were not read before; those of an end that is known are cut into batches without hurry."""
        most = self.rows if self.messages is None else min(self.rows, self.messages - self._taken)
        found = list(self._take(most, timeout_s))
        while found and len(found) < most and not self.endless and not self._all_taken:
            more = self._take(most - len(found), timeout_s)
            if not more:
                break
            found += more
        fresh = [message for message in found if message.number > self._offsets.get(WHOLE, 0)]
        if len(fresh) < len(found):
            live.messages_redelivered(self._name, len(found) - len(fresh))
            self._repeated = True
        elif not found and self._repeated:  # no commit may follow soon, with which the broker would be told
            self._forget(self._committed)
            self._repeated = False
        self._taken += len(fresh)
        return fresh


class MessageReader(JsonSource):
    """Makes rows of what messages hold. Nested objects are flattened one level, as in `jsonl`."""

    def begin(self, behind: int) -> None:
        """Forget all messages; rows up to this one are left out."""
        self._behind_row = behind
        self._ends: deque[tuple[int, int]] = deque()
        """Last row and number of messages whose rows were not acknowledged yet."""

    def finished(self, row: int) -> list[int]:
        """The numbers of messages that end up to this row, each told once."""
        numbers = []
        while self._ends and self._ends[0][0] <= row:
            numbers.append(self._ends.popleft()[1])
        return numbers

    def batches(self, file: str, messages: Sequence[Message]) -> Iterator[Batch]:
        """The rows of messages, those of a few at a time are made when they are asked for."""
        for tabular, group in groupby(messages, lambda message: _is_arrow(message.content)):
            if not tabular:
                yield from self._grouped(file, self._records_of(file, group))
                continue
            for number, content in group:
                if _is_arrow(content):
                    yield from self._table(file, number, content)

    def _records_of(self, file: str, messages: Iterator[Message]) -> Iterator[Records | Rejected]:
        layouts = Layouts(self._named)
        rows, values, lines, size = list[int](), list[Any](), list[bytes](), 0
        for number, content in messages:
            found, written = _values(content)
            first = number * PLACES + 1
            self._ends.append((first + len(found) - 1, number))
            known = max(self._behind_row - first + 1, 0)
            rows += range(first + known, first + len(found))
            values += found[known:] if known else found
            lines += written[known:] if known else written
            size += len(content)
            if len(rows) >= AT_ONCE or size >= AT_ONCE_BYTES:
                yield from self.values_as_records(layouts, file, rows, values, lines)
                rows, values, lines, size = [], [], [], 0
        yield from self.values_as_records(layouts, file, rows, values, lines)

    def _table(self, file: str, number: int, stream: bytes) -> Iterator[Batch]:
        from tocsin.sources.base_arrow import read_arrow  # Polars is large

        first = number * PLACES + 1
        try:
            columns, left_out = read_arrow(stream, PLACES - 1)
        except BrokenFile as error:
            self._ends.append((first, number))
            rejected = Rejected(file, first, error.reason, error.detail, text_of(stream))
            yield self._marked(file, {}, np.arange(0), [rejected])
            return
        self._leave_out(left_out, "unsupported_type")
        size = len(next(iter(columns.values())))
        self._ends.append((first + size - 1, number))
        for start in range(max(self._behind_row - first + 1, 0), size, self.rows):
            part = slice(start, start + self.rows)
            rows = np.arange(first, first + size)[part]
            yield self._marked(file, {name: column[part] for name, column in columns.items()}, rows)

    def _row(self, value: Object) -> Object:
        return value


def _is_arrow(content: bytes | Object | Problem) -> TypeGuard[bytes]:
    return isinstance(content, bytes) and content.startswith(_ARROW) and len(content) <= MAX_MESSAGE


def _values(content: bytes | Object | Problem) -> tuple[list[Any], list[bytes]]:
    """The values in a message, at least one, and how each was written; a problem stands for one that is broken."""
    if not isinstance(content, bytes):
        return [content], [b""]
    if len(content) > MAX_MESSAGE:
        return [Problem("too_long", f"{len(content):,} bytes, at most {MAX_MESSAGE:,}")], [content]
    if content.startswith(b"{") and b"\n" not in content:
        return [_loaded(content)], [content]
    lines = content.split(b"\n")
    lines = [line for line in lines if line and not line.isspace()]
    return _of_lines(lines, content) if lines else ([Problem("empty", "nothing in the message")], [b""])


def _of_lines(lines: list[bytes], content: bytes) -> tuple[list[Any], list[bytes]]:
    """Each line is a value, unless one value is written over all of them."""
    first = _loaded(lines[0])
    several = len(lines) > 1
    whole = _loaded(content) if several and isinstance(first, Problem) else first
    if not several or (whole is not first and not isinstance(whole, Problem)):
        return _elements(whole, content) if isinstance(whole, list) else ([whole], [content])
    if len(lines) >= PLACES:
        return _too_many(lines, content)
    rest = parsed(lines[1:]) if len(content) <= MAX_LINE else map(_loaded, lines[1:])
    return [first, *rest], lines


def _elements(values: list[Any], content: bytes) -> tuple[list[Any], list[bytes]]:
    """Those of an array."""
    if not values:
        return [Problem("empty", "an empty array")], [b"[]"]
    if len(values) >= PLACES:
        return _too_many(values, content)
    return values, [_written(value, content) for value in values]


def _written(value: Any, content: bytes) -> bytes:
    """An element of an array as a line; the array itself if that cannot be."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:  # more can be read than written, see `too_deep`
        return content


def _too_many(values: Sequence[Any], content: bytes) -> tuple[list[Any], list[bytes]]:
    return [Problem("too_many_rows", f"{len(values):,} rows, at most {PLACES - 1:,}")], [content]


def _loaded(line: bytes) -> Any:
    if len(line) > MAX_LINE:
        return Problem("too_long", f"{len(line):,} bytes in one value, at most {MAX_LINE:,}")
    return loaded(line)
