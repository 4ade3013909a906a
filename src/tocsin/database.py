"""One SQLite file with one writer: what is committed survives a power cut, and a schema grows in numbered steps.

A lock beside the file is held for as long as it is open, so that there is never a second connection. SQLite older than
3.51.3 needs that: two connections that write or checkpoint its log at the same instant can damage the file.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from tocsin import observe
from tocsin.errors import ConflictError, IntegrityError, NewerFormatError, NoRoom, NotStored, RegistryError, TocsinError

SOUND = (3, 51, 3)
"""The first SQLite that two writers cannot damage."""
BACKUPS = 2
"""Kept of earlier schemas."""
LOG_BYTES = 4 * 2**20
"""What is left of the log after a large transaction."""

_LOOK_S = 0.01
_BESIDE = ("", "-wal", "-shm")
"""Files of one database, by what follows its name."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PRIMARY = 0xFF
"""The part of an error's code that says what kind it is."""
_SETTINGS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "mmap_size = 0",
    "trusted_schema = OFF",
    "cell_size_check = ON",
    f"journal_size_limit = {LOG_BYTES}",
)


class Database:
    """A file that is open for this process alone.

    Parameters
    ----------
    path
        Made if it does not exist, for its owner alone.
    application
        Number in the file's head that says whose it is; files of other programs are refused.
    migrations
        SQL scripts; the n-th leads from schema n - 1 to n. One that was ever released is never changed. Foreign keys
        are enforced behind the last of them.
    anew
        Delete what is there and begin with an empty file.
    shared
        Let others look into it with `rows_of` meanwhile.
    wait_s
        For another process that has the file open.

    Raises
    ------
    ConflictError
        If another process has it open for longer than that.
    IntegrityError
        If it is damaged, or no database.
    NewerFormatError
        If its schema is newer than the last migration; it is left as it is.
    RegistryError
        If it is another program's, or cannot be read or written. All that was committed still holds.
    """

    def __init__(  # noqa: PLR0913  # whose file it is, and how it is opened
        self,
        path: Path,
        application: int,
        migrations: Sequence[str],
        *,
        anew: bool = False,
        shared: bool = False,
        wait_s: float = 10.0,
    ) -> None:
        self._path = path
        self._lost: sqlite3.Error | None = None
        self._open = ExitStack()
        with self._open as opened, self._refusals(), _system_refusals(path):
            opened.callback(os.close, _locked(path, wait_s))
            if anew:
                for suffix in _BESIDE:
                    Path(f"{path}{suffix}").unlink(missing_ok=True)
            os.close(_opened(path))
            self._connection = sqlite3.connect(path, timeout=wait_s, isolation_level=None)
            opened.callback(self._connection.close)
            if not shared:
                self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            schema = self._schema(application, len(migrations))
            for setting in _SETTINGS:
                self._connection.execute(f"PRAGMA {setting}").fetchall()
            if schema < len(migrations):
                self._migrate(application, schema, migrations)
            self._connection.execute("PRAGMA foreign_keys = ON")
            self._open = opened.pop_all()
        if sqlite3.sqlite_version_info < SOUND:
            observe.database_engine_old(sqlite3.sqlite_version)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and let the next one in."""
        self._open.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing; when this returns, it survives a power cut. Raises as opening does.

        After an error of the device the file is closed for good: what a second try reports as written need not be.
        """
        with self._refusals():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # SQLite may have rolled back already
                    self._connection.execute("ROLLBACK")
                raise

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What a query finds. Raises as opening does."""
        with self._refusals():
            return self._connection.execute(query, values).fetchall()

    def _schema(self, application: int, newest: int) -> int:
        """The number of the file's schema, 0 for an empty file; nothing is written."""
        (owner,), (schema,), (tables,) = (
            self._connection.execute(query).fetchone()
            for query in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_schema")
        )
        if owner != application and (owner, schema, tables) != (0, 0, 0):
            hint = "move it away, or choose another place"
            raise RegistryError(str(self._path), "a database of another program", "one written by Tocsin", hint)
        if schema > newest:
            hint = "a newer Tocsin wrote this: upgrade, or read it there"
            raise NewerFormatError(str(self._path), f"schema {schema}", f"at most {newest}", hint)
        return int(schema)

    def _migrate(self, application: int, schema: int, migrations: Sequence[str]) -> None:
        """Take the steps that are missing, each whole or not at all; the file as it was is kept beside it."""
        if schema:
            self._back_up(schema)
        for number, script in enumerate(migrations[schema:], schema + 1):
            marks = f"PRAGMA application_id = {application}; PRAGMA user_version = {number}"
            self._connection.executescript(f"BEGIN IMMEDIATE;\n{script};\n{marks};\nCOMMIT;")
        if schema:
            observe.database_migrated(self._path.name, schema, len(migrations))

    def _back_up(self, schema: int) -> None:
        partial, kept = (self._path.with_name(f"{self._path.name}.{end}") for end in ("partial", f"{schema}.backup"))
        partial.unlink(missing_ok=True)
        try:
            os.close(_opened(partial))
            with closing(sqlite3.connect(partial)) as copy:
                self._connection.backup(copy)
            _flush(partial)
            partial.replace(kept)
        finally:
            partial.unlink(missing_ok=True)
        _flush(self._path.parent)
        for old in self._backups()[:-BACKUPS]:
            old.unlink(missing_ok=True)

    def _backups(self) -> list[Path]:
        """Those of the earliest schema first."""
        form = re.compile(re.escape(self._path.name) + r"\.(\d{1,9})\.backup")
        found = {int(name[1]): path for path in self._path.parent.iterdir() if (name := form.fullmatch(path.name))}
        return [found[schema] for schema in sorted(found)]

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Say in Tocsin's own words what SQLite refuses; what is wrong with a statement is left as it is."""
        if self._lost:
            raise _unusable(self._path, self._lost)
        try:
            yield
        except sqlite3.Error as error:
            kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & _PRIMARY
            if kind == sqlite3.SQLITE_IOERR:
                self._lost = error
                self.close()
            if kind in _REFUSALS:
                raise _REFUSALS[kind](self._path, error) from error
            raise


def rows_of(path: Path, query: str, *values: object) -> list[tuple[Any, ...]]:
    """What a query finds in a file that another process may be writing; nothing is written or tidied up here.

    Raises
    ------
    NotStored
        If there is no such file.
    ConflictError, IntegrityError, RegistryError
        As opening a `Database`.
    """
    if not path.is_file():
        raise NotStored(str(path), "no such file", "a database written by Tocsin")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            if not connection.execute("PRAGMA user_version").fetchone()[0]:
                raise NotStored(str(path), "an empty file", "a database written by Tocsin", "it is begun just now")
            return connection.execute(query, values).fetchall()
    except sqlite3.Error as error:
        kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & _PRIMARY
        if kind in _REFUSALS:
            raise _REFUSALS[kind](path, error) from error
        raise


def in_use(path: Path) -> bool:
    """Whether a process has the `Database` open; which one may change at any moment."""
    try:
        descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


@contextmanager
def _system_refusals(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in _FULL
        raise (_no_room if full else _unusable)(path, error) from error


def _locked(path: Path, wait_s: float) -> int:
    """A descriptor that keeps every other process out until it is closed."""
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    descriptor = _opened(path.with_name(path.name + ".lock"))
    until = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > until:
                os.close(descriptor)
                raise _busy(path, error) from error
            time.sleep(_LOOK_S)
        else:
            return descriptor


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _no_room(path: Path, error: Exception) -> NoRoom:
    hint = "what was committed before still holds; free some space, then repeat"
    return NoRoom(str(path), f"no room to write it ({error})", "free space", hint)


def _unusable(path: Path, error: Exception) -> RegistryError:
    hint = "what was committed before still holds; this write counts as lost"
    return RegistryError(str(path), f"a refused read or write ({error})", "a file that can be read and written", hint)


def _damaged(path: Path, error: Exception) -> IntegrityError:
    hint = "look at the disk; put a copy back, or move the file away to begin anew: docs/operating.md"
    return IntegrityError(str(path), f"a damaged file ({error})", "a database written by Tocsin", hint)


def _busy(path: Path, error: Exception) -> ConflictError:
    hint = "another process works with it: let it end, then repeat"
    return ConflictError(str(path), f"a file in use ({error})", "to be alone with it", hint)


_REFUSALS: dict[int, Callable[[Path, Exception], TocsinError]] = {
    sqlite3.SQLITE_FULL: _no_room,
    sqlite3.SQLITE_IOERR: _unusable,
    sqlite3.SQLITE_CANTOPEN: _unusable,
    sqlite3.SQLITE_READONLY: _unusable,
    sqlite3.SQLITE_PERM: _unusable,
    sqlite3.SQLITE_CORRUPT: _damaged,
    sqlite3.SQLITE_NOTADB: _damaged,
    sqlite3.SQLITE_BUSY: _busy,
    sqlite3.SQLITE_LOCKED: _busy,
}
"""By the kind of SQLite's error."""
