"""What programs made of rows, kept on disk: whoever trains again on the same rows computes no feature twice.

An entry is named by all that its values depend on: the program, the kernel's arithmetic, the number of places, the
columns that the program reads, and the entry before it, whose rows left the state that these rows met. It holds the
values, the marks and the state behind them. An entry that is damaged is as good as none.
"""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np

from tocsin import observe
from tocsin.errors import IntegrityError, NotFittedError
from tocsin.kernel import checkpoint
from tocsin.kernel.run import FeatureMatrix, Kernel
from tocsin.kernel.state import KernelState
from tocsin.records import Batch, Column

_FORMAT = b"tocsin.features.1\n"
_ROWS = 65_536
"""Values of text that are hashed at once."""


class FeatureCache:
    """Entries in a folder of their own, for its owner alone; those unused for longest make way for new ones.

    Parameters
    ----------
    folder
        Made with the first entry.
    limit_bytes
        What all entries may take together.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes

    def find(self, name: str, kernel: Kernel, rows: int) -> tuple[FeatureMatrix, KernelState] | None:
        """What is kept under a name for so many rows, if all of it is as it was written."""
        path = self._folder / name
        try:
            with path.open("rb") as file:
                found = _read(file, path, kernel, rows)
        except FileNotFoundError:
            return None
        except (OSError, IntegrityError) as error:
            observe.feature_cache_damaged(str(error))
            return None
        with suppress(OSError):  # a disk that is only read gives what it has
            os.utime(path)
        return found

    def keep(self, name: str, matrix: FeatureMatrix, state: KernelState) -> None:
        """Keep an entry, in place of a damaged one of that name; a disk that will not take it ends no training."""
        size = matrix.values.nbytes + matrix.marks.nbytes + 8 * state.words * len(state)
        if size > self._limit_bytes:
            observe.feature_cache_refused(f"{size} bytes, more than limits.feature_cache")
            return
        try:
            with checkpoint.replacing(self._folder / name) as file:
                _write(file, name, matrix, state)
            self._make_room()
        except OSError as error:
            observe.feature_cache_refused(str(error))

    def _make_room(self) -> None:
        # What a killed process left half written lies here, too, and grows old.
        entries = sorted((entry.stat().st_mtime_ns, entry.stat().st_size, entry) for entry in self._folder.iterdir())
        total = sum(size for _, size, _ in entries)
        for _, size, entry in entries:
            if total <= self._limit_bytes:
                return
            entry.unlink(missing_ok=True)
            total -= size


class FeaturePass:
    """Rows on their way through the features, batch after batch, each of them computed or found.

    Parameters
    ----------
    cache
        Asked first, and told what it did not know. Programs without a memory are quicker run than looked up.
    """

    def __init__(self, cache: FeatureCache | None = None) -> None:
        self._cache = cache
        self._kernel: Kernel | None = None
        self._state: KernelState | None = None
        self._behind = ""
        """The name of the entry whose rows came last."""

    def begin(self, kernel: Kernel) -> Self:
        """Stand before the first row of a program."""
        self._kernel, self._state, self._behind = kernel, kernel.start(), ""
        return self

    def run(self, batch: Batch) -> FeatureMatrix:
        """The features of the next rows in arrival order; raises as `Kernel.run` does."""
        kernel, state = self._kernel, self._state
        if kernel is None or state is None:
            raise NotFittedError("feature pass", "no program yet", hint="call begin first")
        if self._cache is None or not kernel.plan.words or not batch.rows:
            return kernel.run(batch, state)
        self._behind = entry_name(kernel, batch, self._behind)
        found = self._cache.find(self._behind, kernel, batch.rows)
        if found is not None:
            matrix, self._state = found
            observe.feature_pass_spared(batch.rows)
            return matrix
        matrix = kernel.run(batch, state)
        observe.feature_pass_run(batch.rows)
        self._cache.keep(self._behind, matrix, state)
        return matrix


def entry_name(kernel: Kernel, batch: Batch, behind: str) -> str:
    """SHA-256, in hex, of all that the features of these rows depend on, `behind` the entry of that name."""
    plan, program = kernel.plan, kernel.program
    read = {*plan.reads, *(name for load in plan.loads for name in load.columns), program.entity} - {None}
    facts = (program.fingerprint, checkpoint.ARITHMETIC, kernel.entities, sys.byteorder, batch.rows, behind)
    total = hashlib.sha256(repr(facts).encode())
    for name in sorted(str(name) for name in read):
        if name in batch:  # the kernel says what is wrong with one that is not
            total.update(repr((name, batch[name].dtype.str)).encode())
            _hash(total, batch[name])
    return total.hexdigest()


def _hash(total: hashlib._Hash, column: Column) -> None:
    if column.dtype != object:
        total.update(np.ascontiguousarray(column).data)
        return
    for start in range(0, len(column), _ROWS):
        texts = column[start : start + _ROWS].tolist()
        total.update(np.array([len(text) for text in texts], dtype=np.int64).data)
        total.update("".join(texts).encode("utf-8", "surrogatepass"))


def _write(file: BinaryIO, name: str, matrix: FeatureMatrix, state: KernelState) -> None:
    total = hashlib.sha256(name.encode())
    for piece in (_FORMAT, np.ascontiguousarray(matrix.values).data, matrix.marks.data):
        total.update(piece)
        file.write(piece)
    file.write(total.digest())
    checkpoint.write(state, file)


def _read(file: BinaryIO, path: Path, kernel: Kernel, rows: int) -> tuple[FeatureMatrix, KernelState]:
    """Sizes come from the rows that are asked for, never from the file."""
    values, marks = np.empty((rows, len(kernel.program.outputs))), np.empty(rows, dtype=np.uint8)
    total = hashlib.sha256(path.name.encode() + file.read(len(_FORMAT)))
    for array in (values, marks):
        file.readinto(array.data)  # type: ignore[attr-defined]
        total.update(array.data)
    if file.read(total.digest_size) != total.digest():
        raise IntegrityError(str(path), "values that have changed since they were written", "the values as written")
    size = os.fstat(file.fileno()).st_size - file.tell()
    return FeatureMatrix(values, marks), checkpoint.read(kernel, file, size, str(path))
