"""What every source of text files is: records out of lines, gzip or plain, and no line too odd to be told of."""

from __future__ import annotations

import zlib
from abc import abstractmethod
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from gzip import BadGzipFile, GzipFile
from hashlib import sha256
from io import BufferedReader, FileIO, RawIOBase, TextIOWrapper
from typing import Any, NamedTuple

import numpy as np

from tocsin.records import Batch, Column, Rejected
from tocsin.sources.base_files import MAX_RAW, BrokenFile, FileSource, legible, object_column

MAX_LINE = 1 << 20
"""Characters of a line, and of a record of several lines."""
_BATCH_CHARACTERS = 1 << 25
"""Text after which a batch is full, however few its rows."""
_BLOCK_LINES, _BLOCK_CHARACTERS = 2_000, 1 << 20
"""Lines and text after which a block of lines is full."""

GZIP = b"\x1f\x8b"
"""What a file begins with that is packed (RFC 1952)."""

Stream = BufferedReader | GzipFile
"""An opened file, unpacked. Nothing may buffer it again: what is read before a break would be lost with it."""


class Problem(NamedTuple):
    """Why a record cannot be used."""

    reason: str
    detail: str


class Records(NamedTuple):
    """Records of a file that follow one another, before they become rows of a batch."""

    rows: Sequence[int]
    """Line or record numbers, counted from 1, ascending."""
    header: object
    """What the values belong to; a batch holds records of one header."""
    values: Sequence[Any]
    """One item per record."""
    characters: int

    def between(self, start: int, stop: int) -> Records:
        """Some of them, by place."""
        if start == 0 and stop >= len(self.rows):
            return self
        share = len(self.rows[start:stop]) / len(self.rows)
        return self._replace(
            rows=self.rows[start:stop],
            values=self.values[start:stop],
            characters=int(self.characters * share),
        )


class TextFileSource(FileSource):
    """Reads files of records, gzip or plain.

    Subclasses write `_records`, and `_columns` where the values are not text.
    """

    @abstractmethod
    def _records(self, stream: Stream, file: str) -> Iterator[Records | Rejected]:
        """The records of an opened, unpacked file, rows ascending; may raise BrokenFile."""

    def _columns(self, header: Any, values: Sequence[Any]) -> dict[str, Column]:
        """Columns of consecutive records of one header; as it stands, header = names and values = texts."""
        return {name: object_column(column) for name, column in zip(header, zip(*values, strict=True), strict=True)}

    def read_file(self, file: str, path: str, behind: int) -> Iterator[Batch]:
        yield from self._grouped(file, self._unread(file, path, behind))

    def _grouped(self, file: str, items: Iterable[Records | Rejected]) -> Iterator[Batch]:
        part = Part()
        for item in items:
            start, size = 0, 1 if isinstance(item, Rejected) else len(item.rows)
            while start < size:
                room = part.room(item, self.rows)
                if not room:
                    yield self._batch(file, part)
                    part = Part()
                    continue
                part.add(item if isinstance(item, Rejected) else item.between(start, start + room))
                start += room
        if part.rows:
            yield self._batch(file, part)

    def _unread(self, file: str, path: str, behind: int) -> Iterator[Records | Rejected]:
        """What lies behind a row; what is wrong with the file itself is told again."""
        for item in self._guarded(file, path):
            if isinstance(item, Records):
                yield item.between(bisect_right(item.rows, behind), len(item.rows))
            elif not 0 < item.row <= behind:
                yield item

    def _guarded(self, file: str, path: str) -> Iterator[Records | Rejected]:
        try:
            with FileIO(path) as raw:
                hashed = _Hashed(raw)
                try:
                    yield from self._records(unpacked(hashed), file)
                except (OSError, EOFError, zlib.error, BrokenFile) as error:
                    yield Rejected(file, 0, *why(error))
                self._digests[file] = hashed.digest()
        except OSError as error:
            yield Rejected(file, 0, *why(error))

    def _batch(self, file: str, part: Part) -> Batch:
        columns = self._columns(part.header, part.values) if part.values else {}
        return self._marked(file, columns, np.array(part.places, dtype=np.int64), part.rejected)


@dataclass(slots=True)
class Part:
    """Records on their way to one batch."""

    header: object = None
    places: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    characters: int = 0

    @property
    def rows(self) -> int:
        return len(self.places) + len(self.rejected)

    def room(self, item: Records | Rejected, limit: int) -> int:
        """How many more rows it takes."""
        other = isinstance(item, Records) and self.values and not _same(item.header, self.header)
        return 0 if other or self.characters >= _BATCH_CHARACTERS else limit - self.rows

    def add(self, item: Records | Rejected) -> None:
        if isinstance(item, Rejected):
            self.rejected.append(item)
        else:
            self.places += item.rows
            self.values += item.values
            self.header = item.header
            self.characters += item.characters


def _same(one: object, other: object) -> bool:
    return one is other or one == other


class _Hashed(RawIOBase):
    """Hashes a file while it is read. The file outlives what is built on this: it is closed by who opened it."""

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self._hash = sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        got = self._file.readinto(target)
        self._hash.update(memoryview(target)[:got])
        return got

    def digest(self) -> str:
        while rest := self._file.read(MAX_LINE):
            self._hash.update(rest)
        return self._hash.hexdigest()


def unpacked(raw: RawIOBase) -> Stream:
    """What lies in a file, packed or not."""
    plain: BufferedReader = BufferedReader(raw, 1 << 16)
    return GzipFile(fileobj=plain) if plain.peek(2)[:2] == GZIP else plain


def why(error: Exception) -> tuple[str, str]:
    """Reason and detail of what ends the reading of a file."""
    if isinstance(error, BrokenFile):
        return error.reason, error.detail
    if isinstance(error, EOFError):
        return "truncated", "the compressed file breaks off"
    if isinstance(error, BadGzipFile | zlib.error):
        return "corrupt", str(error)
    return "unreadable_file", str(error)


class Lines:
    r"""The lines of a UTF-8 text, with or without byte-order mark, ended by `\n`, `\r\n` or `\r`.

    They come in blocks, or one after the other. Lines that must not be used are in `refused` until the reader takes
    them out: number -> (reason, detail).
    """

    def __init__(self, stream: Stream) -> None:
        if stream.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise BrokenFile("not_utf8", "text in UTF-16; save it as UTF-8")
        self._text = TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
        self._read = 0
        self._broken: Exception | None = None
        self._waiting: deque[str] = deque()
        self.refused: dict[int, Problem] = {}

    @property
    def number(self) -> int:
        """Of the line that was handed out last, counted from 1."""
        return self._read - len(self._waiting)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self._waiting:
            self._fill()
        if not self._waiting:
            raise StopIteration
        return self._waiting.popleft()

    def block(self) -> list[str]:
        """The next lines, up to about a megabyte; none if the text is at its end."""
        if not self._waiting:
            self._fill()
        lines = list(self._waiting)
        self._waiting.clear()
        return lines

    def _fill(self) -> None:
        lines = self._lines()
        text = "".join(lines)
        if "\0" in text or not (text.isascii() or legible(text) == text):
            for number, line in enumerate(lines, self._read + 1):
                self._judge(number, line)
        self._waiting.extend(lines)
        self._read += len(lines)

    def _lines(self) -> list[str]:
        """Lines up to the limits of a block; a break in the file is told when the lines before it are handed out."""
        if self._broken:
            raise self._broken
        lines: list[str] = []
        room = _BLOCK_CHARACTERS
        try:
            while room > 0 and len(lines) < _BLOCK_LINES and (line := self._text.readline(MAX_LINE + 1)):
                if len(line) > MAX_LINE and line[-1] not in "\r\n":
                    line = self._beginning(line, self._read + len(lines) + 1)
                lines.append(line)
                room -= len(line)
        except (OSError, EOFError, zlib.error) as error:
            if not lines:
                raise
            self._broken = error
        return lines

    def _beginning(self, line: str, number: int) -> str:
        while (rest := self._text.readline(MAX_LINE)) and rest[-1] not in "\r\n":
            pass
        self.refused[number] = Problem("too_long", f"a line of more than {MAX_LINE:,} characters")
        return line[:MAX_RAW]

    def _judge(self, number: int, line: str) -> None:
        if number in self.refused:
            return
        if "\0" in line:
            self.refused[number] = Problem("nul_byte", "a NUL byte")
        elif not line.isascii() and legible(line) != line:
            self.refused[number] = Problem("not_utf8", "bytes that are not UTF-8")


def plain_fields(lines: Sequence[str], text: str, separator: str, width: int) -> list[tuple[str, ...]]:
    """The fields of lines, (n, width), given also in one piece, where only separators and line ends mean anything.

    Nothing if a line has more or fewer fields, or may be no record at all: then each wants a closer look.
    """
    text = text.replace("\r\n", "\n").removesuffix("\n")
    if width < 2 or "\r" in text or {line.count(separator) for line in lines} != {width - 1}:
        return []
    fields = iter(text.replace("\n", separator).split(separator))
    return list(zip(*[fields] * width, strict=True))


def gathered(file: str, items: Iterable[tuple[int, object, Any, str]]) -> Iterator[Records | Rejected]:
    """Row, header, values or problem, and text of consecutive records, in as few pieces as their order allows."""
    rows: list[int] = []
    values: list[Any] = []
    characters, common = 0, None
    for row, header, value, text in items:
        if rows and (header is not common or isinstance(value, Problem)):
            yield Records(rows, common, values, characters)
            rows, values, characters = [], [], 0
        if isinstance(value, Problem):
            yield rejected_text(file, row, value, text)
            continue
        rows.append(row)
        values.append(value)
        characters += len(text)
        common = header
    if rows:
        yield Records(rows, common, values, characters)


def rejected_text(file: str, row: int, problem: Problem, text: str) -> Rejected:
    """A refused row of a text file, with the beginning of what stood there."""
    return Rejected(file, row, *problem, legible(text[:MAX_RAW].rstrip("\r\n")))
