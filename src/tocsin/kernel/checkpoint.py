"""What a kernel remembers as bytes: written at one moment, read back later, with the same bits from there on.

====================  ===============================================================================
magic, format         12 bytes, uint16
header                its length as uint32, then JSON: program, arithmetic, how much follows
names                 their lengths in bytes as uint32, then UTF-8
last, late rows,      int64 for every entity: see `tocsin.kernel.entities`
cold until
refused               of names without a place: cells as uint32, then what they hold as uint64
slabs                 int64, as many words as the program needs, for every entity
hash                  SHA-256 of all before it
====================  ===============================================================================

Numbers are little-endian. Entities stand in the order in which they would be given up; which places they held has no
effect and is not kept. A checksum of 32 bits would take one damaged file in four thousand million for a state, and
SHA-256 is what Tocsin takes of everything else. It finds damage, not forgery: read what this machine wrote, from a
folder of its own.
"""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from glob import escape
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
import orjson
from numpy.typing import NDArray

from tocsin import observe
from tocsin.errors import IntegrityError
from tocsin.kernel.entities import Entities
from tocsin.kernel.golden import GOLDEN
from tocsin.kernel.run import Kernel
from tocsin.kernel.state import KernelState
from tocsin.records import Batch

FORMAT = 1
LAYOUT = 1
"""Raised by whoever changes how a slab holds what it remembers."""
ARITHMETIC = f"{LAYOUT}-{GOLDEN[:12]}"
"""Changes with what a value is, too: what another arithmetic computed or remembered is not used."""
HASH_BYTES = 32

_MAGIC = b"tocsin.state"
_START = struct.Struct("<12sHI")
_COUNTS = ("entities", "name_bytes", "refused", "words")
_KEYS = {"program", "arithmetic", *_COUNTS}
_TOGETHER = 1_024
"""Slabs that are copied at once: a large state must not stand in memory twice."""
_HINT = "leave it, and rebuild the state from the last stretch of history"


def dump(state: KernelState) -> bytes:
    """The state as bytes."""
    file = BytesIO()
    write(state, file)
    return file.getvalue()


def load(kernel: Kernel, data: bytes) -> KernelState:
    """The state that `dump` wrote; raises as `read` does."""
    return read(kernel, BytesIO(data), len(data))


def save(state: KernelState, path: Path) -> None:
    """Write the state to a file: killed at any moment, the name holds what it held before or all of this.

    Whoever was killed left a part beside it, which goes now: a state has one writer.
    """
    for left in path.parent.glob(f".{escape(path.name)}-*"):
        left.unlink(missing_ok=True)
    with replacing(path) as file:
        write(state, file)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def restore(kernel: Kernel, path: Path) -> KernelState:
    """The state that `save` wrote; raises as `read` does, and FileNotFoundError."""
    with path.open("rb") as file:
        return read(kernel, file, os.fstat(file.fileno()).st_size, str(path))


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes a name when all of it is written; the folder is made, for its owner alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write(state: KernelState, file: BinaryIO) -> None:
    """Write the state into a file that is open, from where it stands."""
    total = hashlib.sha256()
    for piece in _pieces(state):
        total.update(piece)
        file.write(piece)
    file.write(total.digest())


def _pieces(state: KernelState) -> Iterator[bytes]:
    entities, places = state.entities, state.entities.by_silence()
    names = [entities.names[place].encode("utf-8", "surrogatepass") for place in places]
    refused = np.asarray(entities.refused)
    cells = np.flatnonzero(refused)
    header = orjson.dumps(
        {
            "program": state.program,
            "arithmetic": ARITHMETIC,
            "entities": len(places),
            "name_bytes": sum(map(len, names)),
            "refused": len(cells),
            "words": state.words,
        },
        option=orjson.OPT_SORT_KEYS,
    )
    yield _START.pack(_MAGIC, FORMAT, len(header)) + header
    yield np.array([len(name) for name in names], dtype="<u4").tobytes()
    yield b"".join(names)
    for column in _columns(entities):
        yield column[places].astype("<i8").tobytes()
    yield cells.astype("<u4").tobytes()
    yield refused[cells].astype("<u8").tobytes()
    for start in range(0, len(places), _TOGETHER):
        yield state.slabs[places[start : start + _TOGETHER]].astype("<i8", copy=False).tobytes()


def _columns(entities: Entities) -> list[NDArray[np.int64]]:
    """What is kept of each place beside its slab, as views that can be written."""
    return [np.asarray(column) for column in (entities.last, entities.late_rows, entities.cold_until)]


def read(kernel: Kernel, file: BinaryIO, size: int, where: str = "checkpoint") -> KernelState:
    """The state that `write` wrote, from an open file.

    Parameters
    ----------
    kernel
        Whose state it is. It may have more or fewer places than the one that wrote it: where they are too few, the
        entities longest unheard of are given up, as if others had taken their places.
    file, size
        Where to read, and how many bytes; nothing that they claim is taken as a size before it is held against them.
    where
        What to call it in a message.

    Raises
    ------
    IntegrityError
        If it is another program's, of another format or arithmetic, damaged or cut short.
    """
    given = _Given(file, size, where)
    header = given.header()
    _check(given, header, kernel)
    state = kernel.start()
    entities, number = state.entities, header["entities"]
    names, beyond = given.names(number, header["name_bytes"]), max(number - entities.limit, 0)
    entities.settle(names[beyond:])
    columns = [given.array("<i8", number) for _ in _columns(entities)]
    for column, values in zip(_columns(entities), columns, strict=True):
        column[: number - beyond] = values[beyond:]
    refused, cells = np.asarray(entities.refused), given.array("<u4", header["refused"])
    if (np.diff(cells.astype(np.int64)) <= 0).any() or (cells >= len(refused)).any():
        given.refuse("cells of refused names out of order", "each once")
    refused[cells] = given.array("<u8", header["refused"])
    for name, last in zip(names[:beyond], columns[0].tolist(), strict=False):
        entities.miss(name, last)
    for start in range(0, number, _TOGETHER):
        together = min(_TOGETHER, number - start)
        some = given.array("<i8", together * state.words).reshape(together, state.words)[max(beyond - start, 0) :]
        first = max(start - beyond, 0)
        state.slabs[first : first + len(some)] = some
    given.end()
    if beyond:
        observe.entities_evicted("limit", beyond)
    return state


def _check(given: _Given, header: dict[str, Any], kernel: Kernel) -> None:
    """Whether the state is one of this kernel, and the bytes as many as it says."""
    wanted = {"program": kernel.program.fingerprint, "arithmetic": ARITHMETIC, "words": kernel.plan.words}
    for name, value in wanted.items():
        if header[name] != value:
            given.refuse(f"the state of {name} {str(header[name])[:14]}", f"{name} {str(value)[:14]}")
    entities = header["entities"]
    size = header["name_bytes"] + 12 * header["refused"] + (4 + 3 * 8 + 8 * header["words"]) * entities
    if size != given.left:
        given.refuse(f"{given.left} bytes behind the header", f"{size}")


class _Given:
    """Bytes as they are read, none of them believed before they are counted and hashed."""

    def __init__(self, file: BinaryIO, size: int, where: str) -> None:
        self._file = file
        self._where = where
        self._total = hashlib.sha256()
        self.left = size - HASH_BYTES

    def refuse(self, got: str, wanted: str, hint: str = _HINT) -> NoReturn:
        raise IntegrityError(self._where, got, wanted, hint)

    def bytes(self, length: int) -> bytes:
        data = self._file.read(length) if length <= self.left else b""
        if len(data) < length:
            self.refuse("an early end", "all that was written")
        self.left -= length
        self._total.update(data)
        return data

    def array(self, dtype: str, items: int) -> NDArray[Any]:
        return np.frombuffer(self.bytes(np.dtype(dtype).itemsize * items), dtype)

    def header(self) -> dict[str, Any]:
        magic, number, length = _START.unpack(self.bytes(_START.size))
        if magic != _MAGIC:
            self.refuse("other bytes", "a checkpoint written by Tocsin")
        if number != FORMAT:
            self.refuse(f"format {number}", f"format {FORMAT}")
        try:
            header = orjson.loads(self.bytes(length))
        except orjson.JSONDecodeError as error:
            self.refuse(f"a header that is no JSON ({error.msg})", "one written by Tocsin")
        if not isinstance(header, dict) or header.keys() != _KEYS:
            self.refuse("an unusual header", f"exactly: {', '.join(sorted(_KEYS))}")
        if not all(type(header[name]) is int and header[name] >= 0 for name in _COUNTS):
            self.refuse("a count that is none", "whole numbers from 0")
        return header

    def names(self, number: int, size: int) -> list[str]:
        lengths, text = self.array("<u4", number), self.bytes(size)
        ends = np.cumsum(lengths, dtype=np.int64).tolist()
        if size != (ends[-1] if ends else 0):
            self.refuse(f"{size} bytes of names", "as many as their lengths say")
        try:
            names = [
                text[start:end].decode("utf-8", "surrogatepass") for start, end in zip([0, *ends], ends, strict=False)
            ]
        except UnicodeDecodeError as error:
            self.refuse(f"a name that is no text ({error.reason})", "UTF-8")
        if len(set(names)) != number:
            self.refuse("one name for two entities", "each once")
        return names

    def end(self) -> None:
        if self._file.read(HASH_BYTES) != self._total.digest():
            self.refuse("bytes that have changed since they were written", "the bytes as written")


def rebuild(kernel: Kernel, history: Iterable[Batch]) -> KernelState:
    """The state that all of history leaves, from its last stretch alone: what to do where there is no checkpoint.

    Every later row gets the values that it would have after all of history, as long as it comes no later than the
    program's longest memory behind the newest row, and there was a place for every entity. Of keys, those of the
    stretch are remembered.

    Parameters
    ----------
    kernel
        Whose state it is.
    history
        Typed rows in arrival order. As many are held in memory as came within two of the longest memories.
    """
    state = kernel.start()
    if not kernel.plan.words:
        return state
    time = str(kernel.program.time)
    stretch: deque[tuple[Batch, int]] = deque()
    newest = border = -(2**63)
    for batch in history:
        if not batch.rows:
            continue
        latest = int(batch[time].max())
        stretch.append((batch, latest))
        newest = max(newest, latest)
        # A late row looks back from its own time.
        border = newest - 2 * kernel.plan.horizon
        while stretch and stretch[0][1] <= border:
            stretch.popleft()
    for number, (batch, _) in enumerate(stretch):
        first = int(np.argmax(batch[time] > border)) if number == 0 else 0
        kernel.run(batch.take(slice(first, None)), state)
    return state
