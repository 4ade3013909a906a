"""What every source of files is: found by a pattern, read behind a position, never stopped by one broken file."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from glob import glob
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from tocsin import observe
from tocsin.component import snake_case
from tocsin.errors import DataError, LimitExceeded
from tocsin.records import FILE, ROW, Batch, Column, Position, Rejected, filled
from tocsin.schema.record_text import MAX_RECORD
from tocsin.sources.base import Piece, RowsPerBatch, Source, last_row

FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet"}
"""What reads a file, by the ending of its name."""
MAX_FILES = 100_000
MAX_COLUMNS = 1_024
MAX_RAW = MAX_RECORD
"""Characters of a refused row that are kept."""

_SPECIAL = frozenset("*?[")
"""What makes a path a pattern."""


class BrokenFile(Exception):
    """The rest of a file cannot be read; becomes a `Rejected` with row 0."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class FileSource(Source):
    """Reads the files that a pattern names, in the order of their names.

    A file that breaks off gives the rows before the break and a `Rejected` with row 0; the other files go on. A
    resumed source reads each file behind its last acknowledged row, and says again what is wrong with a file.
    Columns whose names begin with an underscore are left out: those names are Tocsin's own.

    Parameters
    ----------
    path
        A file or a pattern with `*`, `?`, `[...]` and `**`.
    rows
        Rows per batch at most.
    """

    def __init__(self, *, path: str, rows: RowsPerBatch = 10_000) -> None:
        self.path = path
        self.rows = rows
        self._behind: dict[str, int] = {}
        self._digests: dict[str, str] = {}
        self._left_out: set[str] = set()
        self._batches: Iterator[Batch] | None = None
        self._ended = False

    def open(self, resume: Position | None = None) -> None:
        """Find the files; each is opened when its turn comes.

        Raises
        ------
        DataError
            If no file matches.
        LimitExceeded
            If more than 100,000 files match.
        """
        files = self._find()
        offsets = resume.offsets if resume else {}
        self._behind = {file: row for file, row in offsets.items() if file in files}
        self._digests, self._left_out, self._ended = {}, set(), False
        self._batches = (
            batch for file, path in files.items() for batch in self.read_file(file, path, self._behind.get(file, 0))
        )

    def read(self, timeout_s: float) -> Batch | None:
        """The next rows of one file; never of two."""
        if self._batches is None:
            raise DataError(repr(self), "read of a closed source", hint="call open first")
        batch = next(self._batches, None)
        self._ended = batch is None
        return batch

    @property
    def ended(self) -> bool:
        """Whether the last file is read."""
        return self._ended

    def acknowledge(self, batch: Batch) -> Position:
        """The last row of this batch's file that is done with, refused rows included."""
        file, last = last_row(batch)
        self._behind[file] = max(last, self._behind.get(file, 0))
        return Position(snake_case(type(self).__name__), dict(self._behind))

    def close(self) -> None:
        """Forget the files."""
        self._batches = None

    @property
    def digests(self) -> Mapping[str, str]:
        """SHA-256 of the files as they lie on disk."""
        return self._digests

    @abstractmethod
    def read_file(self, file: str, path: str, behind: int) -> Iterator[Batch]:
        """Batches of one file behind a row; whatever is wrong with it becomes a `Rejected`, never an error.

        Parameters
        ----------
        file
            The name under which it is known, in rows, digests and messages.
        path
            Where it lies.
        behind
            The last row that is done with; 0 for all.
        """

    @property
    def pieces(self) -> Iterator[Piece]:
        """The files, in order of their names."""
        for file, path in self._find().items():
            found = Path(path).stat()
            yield Piece(file, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    def _find(self) -> dict[str, str]:
        """Paths by the name under which they are known: the same, unless a path is not UTF-8."""
        files = self._matching()
        if not files:
            raise DataError(snake_case(type(self).__name__), f"no file matching {self.path!r}", "a file", self._hint())
        return files

    def _matching(self) -> dict[str, str]:
        # Not Path.glob: a pattern may be absolute, and found paths keep its spelling.
        paths = [self.path] if Path(self.path).is_file() else sorted(glob(self.path, recursive=True))  # noqa: PTH207
        files = {legible(path): path for path in paths if Path(path).is_file()}
        if len(files) > MAX_FILES:
            raise LimitExceeded(self.path, f"{len(files):,} files", f"at most {MAX_FILES:,}", "narrow the pattern")
        return files

    def _expect_folder(self) -> None:
        """Raise DataError if there is nowhere to wait for files."""
        if not self._folder().is_dir():
            got = f"nowhere to look for {self.path!r}"
            raise DataError(snake_case(type(self).__name__), got, "a folder", self._hint())

    @property
    def _is_pattern(self) -> bool:
        """Whether there may be several files: followed, they grow in turns that no position tells."""
        return not _SPECIAL.isdisjoint(self.path)

    def _folder(self) -> Path:
        """The one that all files lie below."""
        steps = takewhile(_SPECIAL.isdisjoint, Path(self.path).parent.parts)
        return Path(*steps).absolute()

    def _hint(self) -> str:
        folder = self._folder()
        if not folder.is_dir():
            return f"looked in {folder}, which is no folder"
        there = sorted(item.name for item in folder.iterdir())
        return (
            f"looked in {folder}, which holds {', '.join(there[:10]) or 'nothing'}{' and more' if there[10:] else ''}"
        )

    def _marked(self, file: str, columns: dict[str, Column], rows: Column, rejected: Sequence[Rejected] = ()) -> Batch:
        reserved = [name for name in columns if name.startswith("_")]
        self._leave_out(reserved, "reserved_name")
        for name in reserved:
            del columns[name]
        return Batch({**columns, FILE: filled(file, len(rows)), ROW: rows}, rejected)

    def _leave_out(self, names: Iterable[str], reason: str) -> None:
        fresh = tuple(name for name in names if name not in self._left_out)
        if fresh and len(self._left_out) < MAX_COLUMNS:
            self._left_out.update(fresh)
            observe.columns_left_out(snake_case(type(self).__name__), fresh, reason)


def format_of(name: str) -> str:
    """The type of source that reads a file, as the ending of its name tells; empty if it tells none.

    >>> format_of("flows/2026-11-28.csv.gz")
    'csv'
    """
    return FORMATS.get(Path(name.removesuffix(".gz")).suffix, "")


def legible(text: str) -> str:
    r"""Text that can be stored anywhere: bytes that were not UTF-8 become `\xff`."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def column_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names of a header line: stripped, and `column_3` where the third is empty.

    Raises
    ------
    BrokenFile
        If there are more than 1,024 or one comes twice.
    """
    if len(names) > MAX_COLUMNS:
        raise BrokenFile("too_many_columns", f"{len(names):,} columns, at most {MAX_COLUMNS:,}")
    named = tuple(name.strip() or f"column_{place}" for place, name in enumerate(names, 1))
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise BrokenFile("duplicate_columns", f"columns named twice: {', '.join(twice)}")
    return named


def object_column(values: Sequence[Any]) -> Column:
    """Any values as a column of Python objects, (n,)."""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
