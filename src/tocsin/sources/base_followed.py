"""What every source of text files is that can be followed: whole records as they come, and a place to go on from."""

from __future__ import annotations

import time
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from io import BufferedReader, BytesIO, FileIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tocsin.component import snake_case
from tocsin.observe import live
from tocsin.records import ROW, Batch, Position, Rejected
from tocsin.sources.base import RowsPerBatch, last_row
from tocsin.sources.base_files import BrokenFile
from tocsin.sources.base_following import LOOK_S, Following
from tocsin.sources.base_growing_files import BLOCK_BYTES, Block, GrowingFile, Mark, known_files, line_ends, lines_in
from tocsin.sources.base_text_files import GZIP, MAX_LINE, Records, Stream, TextFileSource, unpacked, why

_MOST_HEADINGS = 1 << 16
"""Bytes within which the lines end that name the columns, nearly always."""


@dataclass
class _Part:
    """Whole lines of a file on their way to rows."""

    block: Block
    mark: Mark
    heading: bytes
    unfinished: int = 0
    """Number within the block of the first line of a record that has no end yet; 0 if all have one."""
    broken: bool = False
    passed: int = 0
    """Bytes of the block whose rows were read."""

    @property
    def stream(self) -> Stream:
        return BufferedReader(BytesIO(self.heading + self.block.data))

    @property
    def behind(self) -> int:
        """The last row that is done with."""
        return max(self.mark.row, self.mark.lines)

    @cached_property
    def shift(self) -> int:
        """What is added to a row of the stream to make it one of the file."""
        return self.mark.lines - lines_in(self.heading)

    def up_to(self, row: int) -> Block:
        """The lines that were not passed yet and lie before a row."""
        return self._pass(self._end_of(row - 1 - self.mark.lines))

    def rest(self) -> Block:
        """All lines that were not passed yet, save those of a record that has no end."""
        return self._pass(self._end_of(self.unfinished - 1) if self.unfinished else len(self.block.data))

    @cached_property
    def _ends(self) -> NDArray[np.intp]:
        return line_ends(self.block.data)

    def _end_of(self, line: int) -> int:
        """Where a line of the block ends, counted from 1."""
        return int(self._ends[line - 1]) if line else 0

    def _pass(self, end: int) -> Block:
        lines = self.block.first(end)
        before, self.passed = self.passed, end
        return Block(lines.data[before:], lines.end)


class FollowedSource(TextFileSource):
    """Reads text files to their end or, with `follow`, goes on with what is appended to them and with new ones.

    Followed files are read in whole lines: a last line without an end waits for it, however long that takes. Which rows
    come does not depend on when they are read, so that a position opened again gives the same ones.
    """

    _elapsed: Callable[[], float] = staticmethod(time.monotonic)
    """Seconds that only grow."""
    _sleep: Callable[[float], None] = staticmethod(time.sleep)

    def __init__(self, *, path: str, rows: RowsPerBatch = 10_000, follow: bool = False) -> None:
        super().__init__(path=path, rows=rows)
        self.follow = follow
        self.replayable = not (follow and self._is_pattern)
        self._following: Following | None = None
        self._growing: Iterator[Batch | None] = iter(())

    def open(self, resume: Position | None = None) -> None:
        """Find the files; one that is followed need not be there yet, but its folder.

        Raises
        ------
        DataError
            If no file matches, or nothing is there to follow.
        LimitExceeded
            If more than 100,000 files match.
        """
        if not self.follow:
            super().open(resume and Position(resume.source, self._rows_behind(resume.offsets)))
            return
        self._expect_folder()
        self.close()
        self._left_out = set()
        known = known_files(resume.offsets if resume else {})
        name = snake_case(type(self).__name__)
        self._following = Following(name, self._matching, self._packed, known, self._elapsed)
        self._growing = self._rows_of(self._following)

    def _rows_behind(self, offsets: Mapping[str, int]) -> dict[str, int]:
        """How far each file was read, followed or not; a new file under the name of an old one is not known."""
        files = self._matching()
        return {
            known.name: known.mark.row
            for known in known_files(offsets)
            if known.name in files and known.inode in (0, Path(files[known.name]).stat().st_ino)
        }

    def read(self, timeout_s: float) -> Batch | None:
        """The next rows of one file; None if none came in time."""
        if self._following is None:
            return super().read(timeout_s)
        until = self._elapsed() + timeout_s
        while (batch := next(self._growing)) is None and (left := until - self._elapsed()) > 0:
            self._sleep(min(left, LOOK_S))
        return batch

    @property
    def endless(self) -> bool:
        """Whether it follows."""
        return self.follow

    @property
    def ended(self) -> bool:
        """Whether the last file is read; never, if it follows."""
        return not self.follow and super().ended

    def acknowledge(self, batch: Batch) -> Position:
        """How far each file is done with."""
        return super().acknowledge(batch) if self._following is None else self._following.acknowledge()

    def close(self) -> None:
        """Forget the files."""
        super().close()
        if self._following is not None:
            self._following.close()
            self._following = None

    def _rows_of(self, following: Following) -> Iterator[Batch | None]:
        """Batches for ever, None where there is nothing to read."""
        while True:
            file = following.next()
            if file is None:
                yield None
                continue
            try:
                yield from self._once_whole(following, file) if file.packed else self._lines_of(following, file)
            except OSError as error:
                following.set_aside(file)
                yield self._marked(file.name, {}, np.arange(0), [Rejected(file.name, 0, *why(error))])

    def _once_whole(self, following: Following, file: GrowingFile) -> Iterator[Batch]:
        """The rows of a packed file; None of them while it is not whole."""
        if not following.begin(file):
            return
        following.done(file)
        if not self._whole(file.path):
            live.file_not_whole(snake_case(type(self).__name__), file.name)
            return
        row = file.mark.row
        for batch, after in _with_next(self.read_file(file.name, file.path, row)):
            row = max(row, last_row(batch)[1])
            if after is None:
                file.finish(row)
            following.give(file, replace(file.mark, row=row))
            yield batch
        file.finish(row)

    def _lines_of(self, following: Following, file: GrowingFile) -> Iterator[Batch]:
        """The rows of the next whole lines of a file."""
        block = following.block(file)
        size = self._complete(block.data) if block is not None else 0
        if block is None or not size:
            following.done(file)
            return
        part = _Part(block.first(size), file.mark, self._heading_of(file))
        for batch, after in _with_next(self._grouped(file.name, self._placed(part, file.name))):
            row = max(file.mark.row, last_row(batch)[1])
            if after is not None:
                self._go_on(file, part.up_to(_first_row(after)), row)
            elif part.broken:
                file.mark = replace(file.mark, row=row)
                following.set_aside(file)
            else:
                self._go_on(file, part.rest(), row)
            following.give(file, file.mark)
            yield batch
        if not part.passed and not part.broken:
            self._go_on(file, part.rest(), file.mark.row)
        if part.unfinished == 1:
            following.done(file)

    def _go_on(self, file: GrowingFile, block: Block, row: int) -> None:
        """Pass over lines whose rows were read."""
        start = file.mark.offset
        heading = self._heading(block.data, first=not start)
        file.advance(block, row)
        if heading is not None:
            file.heading = block.data[slice(*heading)]
            file.mark = replace(file.mark, heading=start + heading[0])

    def _heading_of(self, file: GrowingFile) -> bytes:
        """The lines that name the columns of those that come next."""
        if file.heading is None:
            file.heading = b""
            start, end = file.mark.heading, file.mark.offset
            for size in (_MOST_HEADINGS, BLOCK_BYTES) if end else ():
                lines = file.bytes_at(start, min(size, end - start))
                if span := self._heading(lines[: lines.rfind(b"\n") + 1], first=not start):
                    file.heading = lines[slice(*span)]
                    break
        return file.heading

    def _placed(self, part: _Part, file: str) -> Iterator[Records | Rejected]:
        """Records by their number in the file; those that are done with are left out."""
        try:
            for item in self._continued(part.stream, file):
                if isinstance(item, Records):
                    rows = _shifted(item.rows, part.shift)
                    yield item._replace(rows=rows).between(bisect_right(rows, part.behind), len(rows))
                elif self._unfinished(item):
                    part.unfinished = item.row + part.shift - part.mark.lines
                    return
                elif item.row + part.shift > part.behind:
                    yield replace(item, row=item.row + part.shift)
        except BrokenFile as error:
            part.broken = True
            yield Rejected(file, 0, *why(error))

    def _continued(self, stream: Stream, file: str) -> Iterator[Records | Rejected]:
        """The records of some whole lines, with those before them that name their columns."""
        return self._records(stream, file)

    def _heading(self, lines: bytes, *, first: bool) -> tuple[int, int] | None:
        """Where the lines lie, begin and end, that name the columns of those after; None where there are none.

        Parameters
        ----------
        lines
            Whole lines of a file.
        first
            Whether the file begins with them.
        """
        return None

    def _complete(self, lines: bytes) -> int:
        """How many bytes of whole lines may be read before what follows is known."""
        return len(lines)

    def _unfinished(self, item: Rejected) -> bool:
        """Whether a record was refused only because its last line is not there yet."""
        return False

    def _packed(self, beginning: bytes) -> bool:
        """Whether a file is read once it is whole, rather than line by line."""
        return beginning.startswith(GZIP)

    def _whole(self, path: str) -> bool:
        """Whether such a file is: nothing is known to be missing."""
        try:
            with FileIO(path) as raw, unpacked(raw) as stream:
                while stream.read(MAX_LINE):
                    pass
        except EOFError:
            return False
        except (OSError, zlib.error):
            return True  # whoever reads it will say so
        return True


def _with_next(batches: Iterable[Batch]) -> Iterator[tuple[Batch, Batch | None]]:
    """Each batch, and the one after it."""
    before: Batch | None = None
    for batch in batches:
        if before is not None:
            yield before, batch
        before = batch
    if before is not None:
        yield before, None


def _shifted(rows: Sequence[int], by: int) -> Sequence[int]:
    return range(rows.start + by, rows.stop + by) if isinstance(rows, range) else [row + by for row in rows]


def _first_row(batch: Batch) -> int:
    return min([*batch[ROW][:1].tolist(), *(item.row for item in batch.rejected if item.row)], default=1)
