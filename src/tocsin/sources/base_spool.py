"""A folder for what is on its way: of this user and this process alone, and gone afterwards.

Source: flock(2); a lock ends with the process that holds it, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OURS = "spooled-"
"""What every folder here is called first: the folder above may be somebody's, with more in it."""


@contextmanager
def spool(folder: Path) -> Iterator[Path]:
    """An empty folder below this one; what killed processes left beside it is removed.

    Parameters
    ----------
    folder
        Made if it is missing; only its owner may enter.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(folder):  # nobody clears up between the making of a folder and its lock
        _clear(folder)
        own = Path(tempfile.mkdtemp(prefix=_OURS, dir=folder))
        lock = _lock(own)
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _clear(folder: Path) -> None:
    for left in folder.glob(f"{_OURS}*"):
        if left.is_dir() and not left.is_symlink() and (lock := _lock(left)) is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _lock(folder: Path) -> int | None:
    """Lock a folder until what is returned is closed; None if somebody has it, or has just removed it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
