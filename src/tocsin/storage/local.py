"""A store in a folder of this machine."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from tocsin.errors import ConflictError, IntegrityError, NotStored, RegistryError
from tocsin.storage.base import MAX_SEGMENTS, SEGMENT, Store

UNFINISHED_AFTER_S = 3_600.0
"""A put takes seconds; what it left behind for longer than this belongs to a process that died."""

_TEMPORARY = ".unfinished-"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class LocalStore(Store):
    """A folder on this machine.

    Files are written beside their final place, flushed to the disk and then linked to their name: at any moment a
    name holds all of its bytes or does not exist.

    Parameters
    ----------
    folder
        Created with the first put. Group members may read it, others may not.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def __repr__(self) -> str:
        return f"LocalStore({str(self._folder)!r})"

    def get(self, name: str, limit_bytes: int) -> bytes:
        """Read one file; see `Store.get`."""
        path = self._path(name)
        try:
            # O_NONBLOCK: a pipe planted under the name must not hang the reader.
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise _unreadable(name, error) from error
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise IntegrityError(name, "something that is no plain file", "a file written by Tocsin")
            data = file.read(limit_bytes + 1)
        if len(data) > limit_bytes:
            raise IntegrityError(name, f"more than {limit_bytes} bytes", f"at most {limit_bytes}")
        return data

    def put(self, name: str, data: bytes) -> None:
        """Create one file; see `Store.put`."""
        path = self._path(name)
        if path.exists():
            raise _exists(name, path)
        try:
            _make_folder(path.parent)
            self.clear_unfinished()
            self._publish(path, data)
        except FileExistsError as error:
            raise _exists(name, path) from error
        except OSError as error:
            raise _unwritable(name, error) from error

    def _publish(self, path: Path, data: bytes) -> None:
        descriptor, text = tempfile.mkstemp(prefix=_TEMPORARY, dir=self._folder)
        temporary = Path(text)
        try:
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
                os.fchmod(descriptor, 0o440)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.link(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        flush_folder(path.parent)

    def times(self, prefix: str) -> Mapping[str, datetime]:
        """Walk one folder and ask for every file; see `Store.times`."""
        times = {}
        for name, entry in sorted(self._files(prefix)):
            with suppress(FileNotFoundError):  # deleted meanwhile
                times[name] = _time(entry.stat(follow_symlinks=False))
        return times

    def list(self, prefix: str) -> tuple[str, ...]:
        """Walk one folder, which tells no times; see `Store.list`."""
        return tuple(sorted(name for name, _ in self._files(prefix)))

    def delete(self, name: str) -> None:
        """Unlink one file; see `Store.delete`."""
        path = self._path(name)
        try:
            path.unlink(missing_ok=True)
            if path.parent.is_dir():
                flush_folder(path.parent)
        except OSError as error:
            raise _unwritable(name, error) from error

    def modified(self, name: str) -> datetime:
        """The file's own time; see `Store.modified`."""
        try:
            return _time(self._path(name).lstat())
        except OSError as error:
            raise _unreadable(name, error) from error

    def clear_unfinished(self, older_than_s: float = UNFINISHED_AFTER_S) -> int:
        """Remove what puts left behind that were killed half-way; every put does it first. Returns their number."""
        oldest, cleared = time.time() - older_than_s, 0
        for path in list(self._folder.glob(_TEMPORARY + "*")):
            with suppress(FileNotFoundError):  # its own put has just finished
                if path.lstat().st_mtime <= oldest:
                    path.unlink()
                    cleared += 1
        return cleared

    def _files(self, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        return _files_in(self._path(prefix), f"{prefix}/") if prefix else _files_in(self._folder)

    def _path(self, name: str) -> Path:
        segments = name.split("/")
        if len(segments) > MAX_SEGMENTS or not all(SEGMENT.fullmatch(segment) for segment in segments):
            raise RegistryError("name", repr(name[:200]), f"at most {MAX_SEGMENTS} segments like {SEGMENT.pattern}")
        path = self._folder.joinpath(*segments)
        if path.parent.resolve() != path.parent:
            raise IntegrityError(name, "a link on the way to it", "plain folders")
        return path


def _files_in(folder: Path, before: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Plain files below a folder by their names; whatever has no closed name is none of ours."""
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if not SEGMENT.fullmatch(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files_in(Path(entry.path), f"{before}{entry.name}/")
        elif entry.is_file(follow_symlinks=False):
            yield before + entry.name, entry


def _time(status: os.stat_result) -> datetime:
    return datetime.fromtimestamp(status.st_mtime, UTC)


def _make_folder(folder: Path) -> None:
    """Create a folder that survives a power cut, with all folders above it."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o750)
    flush_folder(folder.parent)


def flush_folder(folder: Path) -> None:
    """Let what was created, renamed or removed in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exists(name: str, path: Path) -> ConflictError:
    with suppress(OSError):
        os.utime(path, follow_symlinks=False)
    return ConflictError(name, "a name that exists", "a new name", "somebody else was first: read again, decide again")


def _unreadable(name: str, error: OSError) -> RegistryError | IntegrityError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return NotStored(name, "nothing stored under this name")
    if error.errno == errno.ELOOP:
        return IntegrityError(name, "a link", "a file written by Tocsin")
    return RegistryError(name, f"no bytes ({error.strerror})", "a file that can be read")


def _unwritable(name: str, error: OSError) -> RegistryError:
    if error.errno in _FULL:
        return RegistryError(
            name,
            f"no room to write it ({error.strerror})",
            "free space",
            "nothing was published and all that was stored before still holds; free some space, then repeat",
        )
    return RegistryError(
        name,
        f"a refused write ({error.strerror})",
        "a folder that can be written, on a file system with hard links",
        "what was stored before still holds; this write counts as lost",
    )
