"""The files of a pattern, followed as they grow: new ones, renamed ones, ones that are cut short or deleted.

They are looked at, not subscribed to: a file that changed within the last minute every 50 ms, all others and the
pattern itself every second. That holds on every file system, over a network as well.
"""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tocsin.observe import live
from tocsin.records import Position
from tocsin.sources.base_growing_files import Block, GrowingFile, Identity, Known, Mark, base_of, fits, renamed

LOOK_S = 0.05
"""Between two looks at files that grew within the last minute."""
LIST_S = 1.0
"""Between two looks at all files, and at what the pattern names."""
BUSY_S = 60.0
"""After so long without a change a file is looked at with all others, and one that is renamed or deleted is let go."""
SETTLED_S = 1.0
"""Without a change, before a packed file is tried."""
REST_S = 60.0
"""Before a file is tried again that could not be read."""
_MAGIC_BYTES = 2
"""By which a packed file is known."""
MAX_OPEN = 256
"""Files that are open at once; the one that was read longest ago is closed first."""


class Following:
    """Which file is to be read next, and how far each was read.

    All that lies there when a round begins is read file by file, in the order in which they were found, before the next
    round begins: a file that never rests keeps none waiting.

    Parameters
    ----------
    source
        Its name, for positions and messages.
    find
        Lists the files: path by the name under which each is known.
    packed
        Whether a file that begins so is read once it is whole.
    known
        Those of a position.
    elapsed
        Seconds that only grow.
    """

    def __init__(
        self,
        source: str,
        find: Callable[[], Mapping[str, str]],
        packed: Callable[[bytes], bool],
        known: Sequence[Known],
        elapsed: Callable[[], float],
    ) -> None:
        self._source = source
        self._find = find
        self._packed = packed
        self._elapsed = elapsed
        self._files: dict[Identity, GrowingFile] = {}
        self._opened: OrderedDict[Identity, GrowingFile] = OrderedDict()
        self._round: deque[tuple[GrowingFile, int]] = deque()
        self._kept: dict[Identity, tuple[str, int]] = {}
        self._given: dict[Identity, tuple[str, int]] = {}
        self._listed_at = self._looked_at = float("-inf")
        self._gone: set[Identity] = set()
        self._numbers = 0
        self._recognise(known)

    def next(self) -> GrowingFile | None:
        """The file whose turn it is, or None if there is nothing to read now."""
        self._look()
        while self._round and self._round[0][0].mark.offset >= self._round[0][1]:
            self._round.popleft()
        return self._round[0][0] if self._round else None

    def begin(self, file: GrowingFile) -> bool:
        """Open a file, under whatever name it has now; False if it is gone, or is not what was read before.

        Raises
        ------
        OSError
            If it cannot be read.
        """
        try:
            file.open()
        except FileNotFoundError:
            self.done(file)
            self._let_go(file)
            return False
        self._opened[file.identity] = file
        self._opened.move_to_end(file.identity)
        if len(self._opened) > MAX_OPEN:
            self._opened.popitem(last=False)[1].close()
        if file.was_cut:
            self.done(file)
            self._begin_anew(file)
            return False
        file.sound = file.size
        return True

    def block(self, file: GrowingFile) -> Block | None:
        """The next whole lines of a file, None if there are none; raises as `begin` does."""
        if not self.begin(file):
            return None
        block = file.block()
        if not file.was_cut:  # what was read lay behind what is known, and not behind what came in its place
            return block
        self._begin_anew(file)
        return None

    def done(self, file: GrowingFile) -> None:
        """Its turn is over."""
        self._round = deque(item for item in self._round if item[0] is not file)

    def give(self, file: GrowingFile, mark: Mark) -> None:
        """Rows up to a mark are given to the reader; they count once it says so."""
        self._given[file.identity] = (mark.key(file.identity.inode, file.name), mark.offset)

    def acknowledge(self) -> Position:
        """All that was given is done with."""
        self._kept |= self._given
        self._given = {}
        for identity in self._gone:
            self._kept.pop(identity, None)
        self._gone = set()
        return Position(self._source, dict(self._kept.values()))

    def set_aside(self, file: GrowingFile) -> None:
        """A file cannot be read: leave it alone for a while."""
        file.rest_until = self._elapsed() + REST_S
        file.tried = (0, 0)
        self.done(file)

    def close(self) -> None:
        """Close every file."""
        for file in self._opened.values():
            file.close()
        self._opened.clear()

    def _look(self) -> None:
        now = self._elapsed()
        if now >= self._listed_at + LIST_S:
            self._list(now)
        elif not self._round and now >= self._looked_at + LOOK_S:
            self._looked_at = now
            for file in sorted(self._opened.values(), key=lambda file: file.number):
                if now < file.grown_at + BUSY_S:
                    self._notice(file, file.look(), now)

    def _list(self, now: float) -> None:
        self._listed_at = self._looked_at = now
        there = dict(_stats(self._find()))
        fresh = [identity for identity in there if identity not in self._files]
        names = [file.name for file in self._files.values()] if fresh else []
        taken = {*names, *map(base_of, names)}
        for identity in fresh:
            name, path, _ = there[identity]
            self._add(path, f"{name}@{identity.inode:x}" if name in taken else name, identity, Mark())
        for identity, file in list(self._files.items()):
            if identity in there:
                _, file.path, found = there[identity]
                self._notice(file, file.look() or found, now)
            else:
                self._miss(file, now)

    def _notice(self, file: GrowingFile, found: os.stat_result | None, now: float) -> None:
        """See whether there is anything new in a file; it has its turn in this round then."""
        if found is None:
            return
        if found.st_size < file.mark.offset:
            self._begin_anew(file)
        state = (found.st_size, found.st_mtime_ns)
        if state != (file.size, file.changed):
            file.size, file.changed = state
            file.grown_at = now
        if state == file.tried or not file.unread or now < file.rest_until:
            return
        if file.packed is None:
            if file.size < _MAGIC_BYTES:
                return
            with suppress(OSError), Path(file.path).open("rb") as stream:
                file.packed = self._packed(stream.read(1_024))
        if not file.packed or now >= file.grown_at + SETTLED_S:
            file.tried = state
            self._round.append((file, file.size))

    def _miss(self, file: GrowingFile, now: float) -> None:
        """A file that the pattern does not name any more is read to its end, wherever it lies."""
        found = file.look()
        if found is None and (path := renamed(file.path, file.identity.inode)):
            found = Path(path).stat()
        self._notice(file, found, now)
        waits = any(item[0] is file for item in self._round)
        if found is None or (not waits and now >= file.grown_at + BUSY_S):
            self._let_go(file)

    def _let_go(self, file: GrowingFile) -> None:
        file.close()
        self._opened.pop(file.identity, None)
        if self._files.pop(file.identity, None):
            live.file_let_go(self._source, file.name, file.unread)
            self._gone.add(file.identity)

    def _begin_anew(self, file: GrowingFile) -> None:
        live.file_cut_short(self._source, file.name, max(file.sound - file.mark.offset, 0))
        file.begin_anew()
        file.tried, file.size, file.sound = (0, 0), 0, 0

    def _recognise(self, known: Sequence[Known]) -> None:
        """Find the files of a position again, by their inode or their name."""
        there = dict(_stats(self._find())) if known else {}
        by_inode = {identity.inode: identity for identity in there}
        by_name = {name: identity for identity, (name, _, _) in there.items()}
        for item in known:
            places = [by_inode.get(item.inode)]
            if item.mark.before or not item.inode:
                places += [by_name.get(item.name), by_name.get(base_of(item.name))]
            for identity in filter(None, places):
                if identity not in self._files and fits(there[identity][1], item.mark):
                    self._add(there[identity][1], item.name, identity, item.mark)
                    break
            else:
                self._seek(item)

    def _seek(self, item: Known) -> None:
        path = renamed(base_of(item.name), item.inode)
        if path and fits(path, item.mark):
            found = Path(path).stat()
            self._add(path, item.name, Identity(found.st_dev, found.st_ino), item.mark)
        else:
            live.file_let_go(self._source, item.name, 0)

    def _add(self, path: str, name: str, identity: Identity, mark: Mark) -> None:
        self._numbers += 1
        file = GrowingFile(path, name, identity, self._numbers, mark, grown_at=self._elapsed())
        self._files[identity] = file
        self._kept[identity] = (mark.key(identity.inode, name), mark.offset)  # also if nothing of it was read yet


def _stats(paths: Mapping[str, str]) -> Iterator[tuple[Identity, tuple[str, str, os.stat_result]]]:
    """What the system says of files, each of them once: name, path and the answer."""
    seen = set()
    for name, path in paths.items():
        with suppress(OSError):
            found = Path(path).stat()
            identity = Identity(found.st_dev, found.st_ino)
            if identity not in seen:
                seen.add(identity)
                yield identity, (name, path, found)
