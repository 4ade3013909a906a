"""Small files for the eyes of their owner alone: written whole or not at all, and on the disk when that is done."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tocsin.errors import IntegrityError, RegistryError
from tocsin.storage.local import flush_folder

_TEMPORARY = ".unfinished-"


def read(path: Path, limit_bytes: int) -> bytes | None:
    """The bytes of a file, None if there is none.

    Raises
    ------
    IntegrityError
        If there are more than `limit_bytes`.
    RegistryError
        If it cannot be read.
    """
    with _access_to(path), suppress(FileNotFoundError), path.open("rb") as file:
        data = file.read(limit_bytes + 1)
        if len(data) > limit_bytes:
            raise IntegrityError(str(path), f"more than {limit_bytes} bytes", f"at most {limit_bytes}")
        return data
    return None


def replace(path: Path, data: bytes) -> None:
    """Write a file over the one that may be there; raises RegistryError if that is refused."""
    with _access_to(path), _written(path, data) as temporary:
        temporary.rename(path)
        flush_folder(path.parent)


def create(path: Path, data: bytes) -> bool:
    """Write a file unless there is one; whether it was written. Raises as `replace` does."""
    with _access_to(path), _written(path, data) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        flush_folder(path.parent)
        return True


def move(path: Path, to: Path) -> None:
    """Let a file take the name of another; raises as `replace` does."""
    with _access_to(to):
        path.rename(to)
        flush_folder(to.parent)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Nobody else on this machine is between the beginning and the end of such a block for the same file."""
    with _access_to(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _written(path: Path, data: bytes) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _access_to(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        got = f"no access to it ({error.strerror})"
        raise RegistryError(str(path), got, "a file that its owner may read and write") from error
