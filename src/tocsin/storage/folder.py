"""A folder of this machine as a bucket: the keys are its files, with `/` between the folders."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from tocsin.errors import ConflictError, IntegrityError, NotStored, SourceLost
from tocsin.storage.bucket import Bucket, Entry, expect_plain

_UNFINISHED = ".unfinished-"


class FolderBucket(Bucket):
    """Plain files below a folder; links, pipes and what is hidden are no objects. Nothing of it is metered.

    Parameters
    ----------
    folder
        Created with the first object.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self.url = str(self._folder)

    def __repr__(self) -> str:
        return f"FolderBucket({self.url!r})"

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Walk the folder; see `Bucket.list`."""
        yield from sorted(self._entries(self._folder, prefix), key=lambda entry: entry.key)

    def read(
        self, key: str, *, start: int = 0, length: int | None = None, etag: str | None = None, limit: int | None = None
    ) -> bytes:
        """Read one file; see `Bucket.read`."""
        try:
            # O_NONBLOCK: a pipe planted under the name must not hang the reader.
            descriptor = os.open(self._path(key), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotStored(key, "nothing stored under this key") from error
        except OSError as error:
            raise self._lost(key, error) from error
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise NotStored(key, "something that is no plain file")
            if etag is not None and etag != _etag(found):
                raise ConflictError(key, "a file that was written meanwhile", "the one that was listed")
            file.seek(start)
            wanted = max(found.st_size - start, 0) if length is None else length
            if limit is not None and min(wanted, found.st_size - start) > limit:
                raise IntegrityError(key, f"{found.st_size} bytes", f"at most {limit}")
            return file.read(wanted)

    def create(self, key: str, data: bytes) -> None:
        """Link a whole file to a free name; see `Bucket.create`."""
        temporary = self._written(key, data)
        try:
            os.link(temporary, self._path(key))
        except FileExistsError as error:
            raise ConflictError(key, "a key that exists", "a new key") from error
        except OSError as error:
            raise self._lost(key, error) from error
        finally:
            temporary.unlink(missing_ok=True)

    def write(self, key: str, data: bytes) -> None:
        """Put a whole file in the place of what was there; see `Bucket.write`."""
        temporary = self._written(key, data)
        try:
            temporary.replace(self._path(key))
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise self._lost(key, error) from error

    def delete(self, key: str) -> None:
        """Unlink one file; see `Bucket.delete`."""
        try:
            self._path(key).unlink(missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as error:
            raise self._lost(key, error) from error

    def _entries(self, folder: Path, prefix: str) -> Iterator[Entry]:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
            for entry in entries:
                key = Path(entry.path).relative_to(self._folder).as_posix()
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if prefix.startswith(key + "/") or (key + "/").startswith(prefix):
                        yield from self._entries(Path(entry.path), prefix)
                elif key.startswith(prefix) and entry.is_file(follow_symlinks=False):
                    with suppress(FileNotFoundError):  # it has just been deleted
                        found = entry.stat(follow_symlinks=False)
                        yield Entry(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC), _etag(found))

    def _path(self, key: str) -> Path:
        expect_plain(key)
        path = self._folder / key
        if path.parent.resolve() != path.parent:
            raise NotStored(key[:200], "a link on the way to it", "plain folders")
        return path

    def _written(self, key: str, data: bytes) -> Path:
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, text = tempfile.mkstemp(prefix=_UNFINISHED, dir=path.parent)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
        except OSError as error:
            raise self._lost(key, error) from error
        return Path(text)

    def _lost(self, key: str, error: OSError) -> SourceLost:
        return SourceLost(f"{self.url}/{key}", error.strerror or str(error), "a folder that can be read and written")


def _etag(found: os.stat_result) -> str:
    return f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"
