"""CSV files: one record per line, or over several where a quoted field holds line breaks.

Source: RFC 4180, with any delimiter, and lines ended as they come.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field

from tocsin.records import Rejected
from tocsin.sources.base import RowsPerBatch
from tocsin.sources.base_files import BrokenFile, column_names
from tocsin.sources.base_followed import FollowedSource
from tocsin.sources.base_growing_files import line_ends
from tocsin.sources.base_text_files import MAX_LINE, Lines, Problem, Records, Stream, plain_fields, rejected_text

_NO_END = "unexpected end of data"
"""What Python's reader says of quotes that are still open."""
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


class Csv(FollowedSource):
    """Read CSV files; values stay text, so that the schema decides what they are.

    Files may differ in their headers. A row with more or fewer fields than its header is refused, and so is a line
    whose quotes do not close; the lines after it are read on their own.

    Parameters
    ----------
    path
        A file or a pattern with `*`, `?`, `[...]` and `**`; gzip is recognised by its content.
    delimiter
        One character.
    columns
        Names of the columns where the files have no header line.
    rows
        Rows per batch at most.
    follow
        Go on with what is appended to the files, and with new ones.
    """

    def __init__(
        self,
        *,
        path: str,
        delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ",",
        columns: tuple[str, ...] = (),
        rows: RowsPerBatch = 10_000,
        follow: bool = False,
    ) -> None:
        super().__init__(path=path, rows=rows, follow=follow)
        self.delimiter = delimiter
        self.columns = columns
        if len(set(columns)) < len(columns):
            raise ValueError("columns holds a name twice")

    @classmethod
    def example(cls, folder: Path) -> Self:
        """Six lines, one of them a field short."""
        text = "timestamp,host,bytes\n1,alpha,10\n2,beta,20\n3,gamma\n4,alpha,40\n5,beta,50\n6,gamma,60\n"
        (folder / "example.csv").write_text(text)
        return cls(path=str(folder / "*.csv"), rows=2)

    def _records(self, stream: Stream, file: str) -> Iterator[Records | Rejected]:
        names = self.columns
        feed = _Feed(Lines(stream))
        reader = csv.reader(feed, delimiter=self.delimiter, strict=True)
        while True:
            feed.begin()
            if plain := feed.plain(names, self.delimiter):
                yield plain
                continue
            fields: list[str] = []
            try:
                fields = next(reader)
                problem = feed.problem()
            except StopIteration:
                return
            except csv.Error as error:
                problem = _problem(error)
            if fields and names and not problem and len(fields) != len(names):
                problem = Problem("wrong_number_of_fields", f"{len(fields)} fields, wanted {len(names)}")
            if problem and not names:
                raise BrokenFile(*problem)
            if problem:
                yield feed.refuse(file, problem)
            elif names and fields:
                yield Records((feed.row,), names, (fields,), feed.characters)
            elif fields:
                names = _header(fields)

    def _heading(self, lines: bytes, *, first: bool) -> tuple[int, int] | None:
        """The first record, which may stand on several lines."""
        if self.columns or not first:
            return None
        reader = csv.reader(Lines(BufferedReader(BytesIO(lines))), delimiter=self.delimiter, strict=True)
        with suppress(csv.Error):
            for fields in reader:
                if fields:
                    return 0, int(line_ends(lines)[reader.line_num - 1])
        return None

    def _unfinished(self, item: Rejected) -> bool:
        return item.detail == _NO_END


def _header(fields: list[str]) -> tuple[str, ...]:
    """Names from a first line; a line of numbers is a row of a file that has no header."""
    if all(_NUMBER.fullmatch(field.strip()) for field in fields):
        raise BrokenFile("no_header", "a first line of numbers alone; name the columns as `columns: [...]`")
    return column_names(fields)


class _Feed:
    """Hands lines to the reader, keeps those of the record at hand, and can hand them out again."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._again: deque[str] = deque()
        self._record: list[str] = []
        self.row = 1
        self.characters = 0

    def begin(self) -> None:
        self.row += len(self._record)
        self._record = []
        self.characters = 0

    def plain(self, names: tuple[str, ...], delimiter: str) -> Records | None:
        """The records of a whole block of lines, unless there is something about any of them that wants care."""
        if not names or self._again:
            return None
        lines = self._lines.block()
        text = "".join(lines)
        records = [] if self._lines.refused or '"' in text else plain_fields(lines, text, delimiter, len(names))
        if not records or max(map(len, lines)) > csv.field_size_limit():
            self._again.extend(lines)
            return None
        rows = range(self.row, self.row + len(lines))
        self.row = rows.stop
        return Records(rows, names, records, len(text))

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self._record.append(line)
        self.characters += len(line)
        if self.characters > MAX_LINE and len(self._record) > 1:
            raise csv.Error("field larger than a record may be")
        return line

    def problem(self) -> Problem | None:
        refused = self._lines.refused
        if not refused:
            return None
        return next((refused[row] for row in range(self.row, self.row + len(self._record)) if row in refused), None)

    def refuse(self, file: str, problem: Problem) -> Rejected:
        """Refuse the record's first line; the others may be records of their own."""
        first, *others = self._record
        self._again.extendleft(reversed(others))
        self._record = [first]
        self._lines.refused.pop(self.row, None)
        return rejected_text(file, self.row, problem, first)


def _problem(error: csv.Error) -> Problem:
    return Problem("too_long" if "larger" in str(error) else "bad_quoting", str(error))
