"""Parquet files, read with Polars in bounded pieces."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl

from tocsin.records import Batch, Column, Rejected
from tocsin.sources.base import RowsPerBatch
from tocsin.sources.base_arrow import column_of, is_usable
from tocsin.sources.base_files import MAX_COLUMNS, MAX_RAW, BrokenFile, FileSource

_AT_ONCE = 50_000
"""Rows that are decoded at once."""


class Parquet(FileSource):
    """Read Parquet files; columns keep their types.

    A null becomes NaN, NaT or None. Columns that hold lists, structures, bytes, durations or times of day are left
    out and counted. Times with a zone become UTC.

    Parameters
    ----------
    path
        A file or a pattern with `*`, `?`, `[...]` and `**`.
    rows
        Rows per batch at most.
    """

    def __init__(self, *, path: str, rows: RowsPerBatch = 10_000) -> None:
        super().__init__(path=path, rows=rows)

    @classmethod
    def example(cls, folder: Path) -> Self:
        """Five rows; the format leaves no room for a broken one, so a second file is none."""
        pl.DataFrame({"timestamp": [1, 2, 3, 4, 5], "host": list("abcde")}).write_parquet(folder / "example.parquet")
        (folder / "second.parquet").write_text("no Parquet")
        return cls(path=str(folder / "*.parquet"), rows=2)

    def read_file(self, file: str, path: str, behind: int) -> Iterator[Batch]:
        try:
            for columns in self._pieces(path, behind):
                rows = len(next(iter(columns.values())))
                yield self._marked(file, columns, np.arange(behind + 1, behind + rows + 1))
                behind += rows
            with Path(path).open("rb") as raw:
                self._digests[file] = hashlib.file_digest(raw, "sha256").hexdigest()
        except (OSError, BrokenFile, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            yield self._marked(file, {}, np.arange(0), [Rejected(file, 0, *_why(error))])

    def _pieces(self, path: str, behind: int) -> Iterator[dict[str, Column]]:
        with Path(path).open("rb") as raw:
            if raw.read(4) != b"PAR1":
                raise BrokenFile("wrong_format", "no Parquet file")
        frame = pl.scan_parquet(path, glob=False)
        types = frame.collect_schema()
        if len(types) > MAX_COLUMNS:
            raise BrokenFile("too_many_columns", f"{len(types):,} columns, at most {MAX_COLUMNS:,}")
        usable = [name for name, dtype in types.items() if is_usable(dtype)]
        self._leave_out(types.keys() - usable, "unsupported_type")
        if not usable:
            raise BrokenFile("no_columns", "no column of a type that can be read")
        chosen = frame.select(usable)
        # Not collect_batches: it reads ahead of whoever asks, up to half of a large file.
        while (part := chosen.slice(behind, max(self.rows, _AT_ONCE)).collect()).height:
            behind += part.height
            for piece in part.iter_slices(self.rows):
                yield {series.name: column_of(series) for series in piece}


def _why(error: BaseException) -> tuple[str, str]:
    if isinstance(error, BrokenFile):
        return error.reason, error.detail
    return "unreadable_file" if isinstance(error, OSError) else "corrupt", str(error)[:MAX_RAW]
