"""Arrays of NumPy files, as benchmarks publish series of metrics.

Source: NumPy, "A simple file format for NumPy arrays" (NEP 1); `.npz` is a zip of such files.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tocsin.records import Batch, Rejected
from tocsin.sources.base import RowsPerBatch
from tocsin.sources.base_files import MAX_COLUMNS, MAX_RAW, FileSource

MAX_BYTES = 1 << 31
"""Of one unpacked array."""
_BROKEN = (OSError, ValueError, EOFError, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What a zip that is damaged, encrypted or packed in another way may raise."""


class Npz(FileSource):
    """Read one array of `.npz` files: a row per first index, a column per second; numbers alone.

    An array has no names and no clock: give the columns theirs, or take `column_1` and so on, and give the schema's
    time an `interval_s`. Objects are refused, since to read them would be to run code.

    Parameters
    ----------
    path
        A file or a pattern with `*`, `?`, `[...]` and `**`.
    array
        Name of the array in the file.
    columns
        Names of its columns.
    rows
        Rows per batch at most.
    """

    def __init__(self, *, path: str, array: str, columns: tuple[str, ...] = (), rows: RowsPerBatch = 10_000) -> None:
        super().__init__(path=path, rows=rows)
        self.array = array
        self.columns = columns
        if len(set(columns)) < len(columns):
            raise ValueError("columns holds a name twice")

    @classmethod
    def example(cls, folder: Path) -> Self:
        """Five rows of two columns, and a file that is none."""
        np.savez(folder / "example.npz", train=np.arange(10.0).reshape(5, 2))
        (folder / "broken.npz").write_bytes(b"PK\x03\x04 and no more")
        return cls(path=str(folder / "*.npz"), array="train", rows=2)

    def read_file(self, file: str, path: str, behind: int) -> Iterator[Batch]:
        try:
            values = self._load(path)
        except _BROKEN as error:
            reason = "unreadable_file" if isinstance(error, OSError) else "wrong_format"
            yield self._marked(file, {}, np.arange(0), [Rejected(file, 0, reason, str(error)[:MAX_RAW])])
            return
        names = self.columns or tuple(f"column_{place}" for place in range(1, values.shape[1] + 1))
        for start in range(behind, len(values), self.rows):
            piece = values[start : start + self.rows]
            numbers = np.arange(start + 1, start + len(piece) + 1)
            yield self._marked(file, dict(zip(names, piece.T, strict=True)), numbers)
        # One file may hold training and test: what was read is the array.
        self._digests[f"{file}:{self.array}"] = hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()

    def _load(self, path: str) -> NDArray[Any]:
        with Path(path).open("rb") as raw:
            arrays = np.load(raw, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile) or arrays.zip is None:
                raise ValueError("a single array; wanted a .npz with named ones")
            if self.array not in arrays:
                raise ValueError(f"no array {self.array!r}, wanted one of: {', '.join(arrays)}")
            size = arrays.zip.getinfo(f"{self.array}.npy").file_size
            if size > MAX_BYTES:
                raise ValueError(f"an array of {size:,} bytes, wanted at most {MAX_BYTES:,}")
            values = np.asarray(arrays[self.array])
        values = values.reshape(-1, 1) if values.ndim == 1 else values
        wanted = len(self.columns) or MAX_COLUMNS
        if values.ndim != 2 or values.dtype.kind not in "iufb" or values.shape[1] > wanted:
            raise ValueError(f"{values.dtype} of shape {values.shape}, wanted numbers in at most {wanted} columns")
        if self.columns and values.shape[1] != wanted:
            raise ValueError(f"{values.shape[1]} columns, wanted {wanted}, as many as are named")
        return values
