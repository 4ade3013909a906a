"""A file that grows, is rotated away or cut short: how far it was read, and what tells it from another of its name.

A mark is kept in a position as one key: the name of the file last, since it may hold anything. The file is found again
by its inode or by its name, and only if the same bytes stand before the place where reading goes on.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tocsin.sources.base_text_files import MAX_LINE

BLOCK_BYTES = 4 * MAX_LINE + (1 << 16)
"""Read at once: more than any line of UTF-8 that may be used."""
TAIL_BYTES = 256
"""That must still stand before the place where reading goes on."""
MAX_NEIGHBOURS = 10_000
"""Files of a folder among which one that was renamed is looked for."""

_LATER = re.compile(r"(.+)@[0-9a-f]+(?:\.\d+)?", re.DOTALL)
_KEY = re.compile(r"([0-9a-f]+)\.(\d+)\.(\d+)\.(\d+)\.(\d+)\.([0-9a-f]*) (.+)", re.DOTALL)


class Identity(NamedTuple):
    """What a file is, under whatever name."""

    device: int
    inode: int


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a file was read."""

    offset: int = 0
    """Bytes; a line begins here."""
    lines: int = 0
    """That lie before the offset."""
    row: int = 0
    """The last that is done with; it may lie behind the offset."""
    heading: int = 0
    """Where the lines begin that name the columns of what lies behind the offset."""
    cuts: int = 0
    """How often the file was cut short and begun anew."""
    before: str = ""
    """Digest of the bytes before the offset."""

    def key(self, inode: int, name: str) -> str:
        """All of it but the offset, as a position names it."""
        return f"{inode:x}.{self.lines}.{self.row}.{self.heading}.{self.cuts}.{self.before} {name}"


class Known(NamedTuple):
    """A file of a position, wherever it may lie now."""

    inode: int
    name: str
    mark: Mark


def known_files(offsets: Mapping[str, int]) -> list[Known]:
    """The files of a position; of one that was written without following, the name and the row are known."""
    found = []
    for key, offset in offsets.items():
        if match := _KEY.fullmatch(key):
            inode, (lines, row, heading, cuts) = int(match[1], 16), map(int, match.group(2, 3, 4, 5))
            found.append(Known(inode, match[7], Mark(offset, lines, row, heading, cuts, match[6])))
        else:
            found.append(Known(0, key, Mark(row=offset)))
    return found


class Block(NamedTuple):
    """Whole lines of a file, and where they end."""

    data: bytes
    end: int
    """Offset behind them; a line that is too long is in `data` with its beginning alone."""

    def first(self, size: int) -> Block:
        """The lines that make up the first so many bytes."""
        return Block(self.data[:size], self.end - len(self.data) + size) if size < len(self.data) else self


@dataclass(eq=False)
class GrowingFile:
    """One file, open from the first time it is read until `close`."""

    path: str
    """Where it lies; where it lay, once it is gone."""
    name: str
    """Under which its rows are known."""
    identity: Identity
    number: int
    """Its place in the order in which files were found."""
    mark: Mark = field(default_factory=Mark)
    heading: bytes | None = None
    """The lines that name the columns of what comes next; None while they are not known."""
    size: int = 0
    """Bytes, as last seen."""
    sound: int = 0
    """Bytes, when what was read was last seen to stand there."""
    changed: int = 0
    """When it was written to, as last seen: nanoseconds since 1970."""
    tried: tuple[int, int] = (0, 0)
    """Size and time of change when it was last read."""
    packed: bool | None = None
    """Whether it is read once it is whole, rather than line by line; None while that is not known."""
    grown_at: float = 0.0
    """When it was last seen to change, in seconds of the reader's clock."""
    rest_until: float = 0.0
    """Until when it is left alone, since it cannot be read."""
    _tail: bytes = b""
    _sought: int = 0
    """How far the end of an overlong line was looked for."""
    _descriptor: int = -1

    @property
    def opened(self) -> bool:
        """Whether it is open."""
        return self._descriptor >= 0

    @property
    def unread(self) -> int:
        """Bytes that lie there, as far as is known."""
        return max(self.size - self.mark.offset, 0)

    def open(self) -> None:
        """Open it, under the name that it has now.

        Raises
        ------
        FileNotFoundError
            If it is gone: what lies under its name is another file.
        """
        if self.opened:
            return
        path = self.path if _identity(self.path) == self.identity else renamed(self.path, self.identity.inode)
        if path is None:
            raise FileNotFoundError(self.path)
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.path = path
        self._tail = self._before(self.mark.offset)
        if self.mark.before and digest(self._tail) != self.mark.before:
            self._tail = b""  # so that it fits nothing

    def look(self) -> os.stat_result | None:
        """What the system says of it, if it is open."""
        return os.fstat(self._descriptor) if self.opened else None

    def bytes_at(self, offset: int, size: int) -> bytes:
        """What stands somewhere in it; it is open."""
        return _bytes_at(self._descriptor, offset, size)

    @property
    def was_cut(self) -> bool:
        """Whether what was read does not stand there any more."""
        offset = self.mark.offset
        tail = min(offset, TAIL_BYTES)
        return bool(offset) and _bytes_at(self._descriptor, offset - tail, tail) != (self._tail or None)

    def begin_anew(self) -> None:
        """Forget how far it was read: it was cut short, and what comes is another file under the same inode."""
        self.mark = Mark(cuts=self.mark.cuts + 1)
        self.name = f"{base_of(self.name)}@{self.identity.inode:x}.{self.mark.cuts}"
        self.heading, self._tail, self._sought, self.packed = None, b"", 0, None

    def block(self) -> Block | None:
        """The next whole lines, or None while the line that is next has no end."""
        offset = self.mark.offset
        data = _bytes_at(self._descriptor, offset, BLOCK_BYTES)
        cut = data.rfind(b"\n") + 1
        if cut:
            return Block(data[:cut], offset + cut)
        return self._overlong(data) if len(data) == BLOCK_BYTES else None

    def advance(self, block: Block, row: int) -> None:
        """Go on behind these lines; rows up to this one are done with."""
        whole = block.end - self.mark.offset == len(block.data)
        before = (self._tail + block.data)[-TAIL_BYTES:] if whole else self._before(block.end)
        self._settle(block.end, self.mark.lines + lines_in(block.data), row, before)

    def finish(self, row: int) -> None:
        """All that lies there was read, up to this row."""
        self._settle(self.size, row, row, self._before(self.size))

    def _settle(self, offset: int, lines: int, row: int, before: bytes) -> None:
        self._tail, self._sought = before, 0
        self.mark = replace(self.mark, offset=offset, lines=lines, row=row, before=digest(before))

    def _before(self, offset: int) -> bytes:
        return _bytes_at(self._descriptor, max(offset - TAIL_BYTES, 0), min(offset, TAIL_BYTES))

    def close(self) -> None:
        """Close it; may be called twice."""
        if self.opened:
            os.close(self._descriptor)
            self._descriptor = -1

    def _overlong(self, begun: bytes) -> Block | None:
        place = max(self._sought, self.mark.offset + len(begun))
        while piece := _bytes_at(self._descriptor, place, BLOCK_BYTES):
            if found := piece.find(b"\n") + 1:
                return Block(begun + b"\n", place + found)
            place += len(piece)
        self._sought = place
        return None


def base_of(name: str) -> str:
    """The name that a file was found under: later ones of a name are known by their inode, too.

    >>> base_of("app.log@1f3a.2"), base_of("app.log")
    ('app.log', 'app.log')
    """
    match = _LATER.fullmatch(name)
    return match[1] if match else name


def lines_in(text: bytes) -> int:
    r"""How many line ends there are: `\n`, `\r\n` or `\r`."""
    return text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n")


def line_ends(text: bytes) -> NDArray[np.intp]:
    """Where each of these lines ends, (n,)."""
    octets = np.frombuffer(text, dtype=np.uint8)
    feeds, lone = octets == ord("\n"), octets == ord("\r")
    lone[:-1] &= ~feeds[1:]
    return np.flatnonzero(feeds | lone) + 1


def digest(tail: bytes) -> str:
    """Of what stands before an offset."""
    return blake2b(tail, digest_size=8).hexdigest()


def fits(path: str, mark: Mark) -> bool:
    """Whether a file is the one that was read up to a mark."""
    with suppress(OSError), Path(path).open("rb", buffering=0) as file:
        tail = min(mark.offset, TAIL_BYTES)
        return not mark.before or digest(_bytes_at(file.fileno(), mark.offset - tail, tail)) == mark.before
    return False


def renamed(path: str, inode: int) -> str | None:
    """A file of the same folder, found by its inode."""
    with suppress(OSError), os.scandir(Path(path).parent) as there:
        for _, entry in zip(range(MAX_NEIGHBOURS), there, strict=False):
            if entry.inode() == inode and entry.is_file():
                return entry.path
    return None


def _identity(path: str) -> Identity | None:
    with suppress(OSError):
        found = Path(path).stat()
        return Identity(found.st_dev, found.st_ino)
    return None


def _bytes_at(descriptor: int, offset: int, size: int) -> bytes:
    """Bytes of a file, fewer where it ends before."""
    pieces = []
    while size and (piece := os.pread(descriptor, size, offset)):
        pieces.append(piece)
        offset, size = offset + len(piece), size - len(piece)
    return b"".join(pieces)
