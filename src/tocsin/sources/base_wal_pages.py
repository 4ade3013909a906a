"""How the table of a write-ahead database is read while others write to it: page by page, for reading alone.

Source: SQLite, "Write-Ahead Logging" and "Uniform Resource Identifiers".
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from os import SEEK_END
from pathlib import Path
from typing import Any

from tocsin.sources.base_files import BrokenFile

_BATCH_BYTES = 1 << 25
"""Of rows, after which a page is full, however few they are."""
_WORD_BYTES = 1 << 16
"""Of a value, where none is asked for that could be large."""
_WAIT_S = 1.0
"""For a writer that has locked the whole database."""
_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24
"""Of a `-wal` file, and of each frame in it, which is followed by one page."""
_PAGE = "SELECT rowid, idem, bytes, checksum FROM wal WHERE rowid > ? AND rowid <= ? ORDER BY rowid LIMIT ?"
_REASONS = {
    "SQLITE_NOTADB": "wrong_format",
    "SQLITE_CORRUPT": "corrupt",
    "SQLITE_BUSY": "locked",
    "SQLITE_LOCKED": "locked",
    "SQLITE_ERROR": "no_table",
}


@dataclass(slots=True)
class Page:
    """Rows of the table as they lie there, and what could not be read: row number, reason, detail."""

    rows: list[tuple[int, Any, Any, Any]] = field(default_factory=list)
    problems: list[tuple[int, str, str]] = field(default_factory=list)


def pages(path: str, behind: int, rows: int, row_bytes: int) -> Iterator[Page]:
    """What lies behind a row when the first page is asked for; a connection lives as long as one page is read.

    Parameters
    ----------
    path, behind
        The database, and the id of a row.
    rows
        Of a page, at most.
    row_bytes
        What a value may have; a larger one is a problem, and the row after it comes.
    """
    last: int | None = None
    while last is None or behind < last:
        page = Page()
        try:
            with closing(_connected(path, row_bytes)) as database:
                last = _newest(database) if last is None else last
                _fill(page, database, (behind, last, rows))
        except (sqlite3.Error, OSError, BrokenFile) as error:
            page.problems.append((0, *_why(error, row_bytes)))
            yield page
            return
        if not page.rows and not page.problems:
            break
        behind = max([*(row[0] for row in page.rows[-1:]), *(problem[0] for problem in page.problems)])
        yield page


def whole_pages(path: str, behind: int, rows: int, row_bytes: int) -> Iterator[Page]:
    """The same; at the end it is a problem if the `-wal` file breaks off, and nobody is writing to it."""
    torn = _torn_bytes(path)
    yield from pages(path, behind, rows, row_bytes)
    if torn and _torn_bytes(path) == torn:
        yield Page(problems=[(0, "truncated", "the -wal file beside the database breaks off")])


def ever_written(path: str) -> int | None:
    """The id of the last row that there ever was; None where the database does not keep it."""
    try:
        with closing(_connected(path, _WORD_BYTES)) as database:
            found = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'wal'").fetchone()
    except sqlite3.Error:
        return None
    return int(found[0]) if found else 0


def is_begun(path: str) -> bool:
    """Whether there is any table; False while somebody is about to make the first one."""
    try:
        with closing(_connected(path, _WORD_BYTES)) as database:
            return database.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None
    except sqlite3.Error:
        return True  # whoever reads it will say what is wrong


def parts_of(path: str) -> list[Path]:
    """The files that make up a database."""
    return [Path(path), *filter(None, (_wal_beside(path),))]


def stamp_of(path: str) -> tuple[tuple[int, int], ...]:
    """Changes when anything is written to a database."""
    return tuple((found.st_size, found.st_mtime_ns) for found in (part.stat() for part in parts_of(path)))


def _connected(path: str, row_bytes: int) -> sqlite3.Connection:
    database = _opened_as(path, "mode=ro", row_bytes)
    try:
        database.execute("BEGIN")
        database.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.Error as error:
        database.close()
        # SQLite wants files beside a database that may be written to. Where they cannot be made, nobody writes.
        if _name_of(error) != "SQLITE_CANTOPEN" or _wal_beside(path):
            raise
        return _opened_as(path, "immutable=1", row_bytes)
    return database


def _opened_as(path: str, how: str, row_bytes: int) -> sqlite3.Connection:
    where = f"{Path(path).absolute().as_uri()}?{how}"
    database = sqlite3.connect(where, uri=True, timeout=_WAIT_S, isolation_level=None)
    database.text_factory = bytes
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, row_bytes)
    return database


def _newest(database: sqlite3.Connection) -> int:
    # A view could hide any amount of work behind the same name.
    if not database.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'wal'").fetchone():
        raise BrokenFile("no_table", "no table `wal` in this database")
    newest: int | None = database.execute("SELECT max(rowid) FROM wal").fetchone()[0]
    return newest or 0


def _fill(page: Page, database: sqlite3.Connection, span: tuple[int, int, int]) -> None:
    """Read rows until the span or the page ends, or one that cannot be read is next; that one alone, if it is first."""
    behind, last, limit = span
    try:
        _append(page, database, (behind, last, limit))
    except sqlite3.DatabaseError:
        # A cursor reads one row ahead and drops the row in hand if that fails, so that row is asked for alone.
        behind = page.rows[-1][0] if page.rows else behind
        try:
            _append(page, database, (behind, last, 1))
        except sqlite3.DataError as error:
            row = database.execute("SELECT min(rowid) FROM wal WHERE rowid > ?", (behind,)).fetchone()[0]
            page.problems.append((row, *_why(error, database.getlimit(sqlite3.SQLITE_LIMIT_LENGTH))))


def _append(page: Page, database: sqlite3.Connection, span: tuple[int, int, int]) -> None:
    size = 0
    for row in database.execute(_PAGE, span):
        page.rows.append(row)
        size += len(row[2]) if isinstance(row[2], bytes) else 0
        if size > _BATCH_BYTES:
            return


def _why(error: Exception, row_bytes: int) -> tuple[str, str]:
    if isinstance(error, BrokenFile):
        return error.reason, error.detail
    if isinstance(error, sqlite3.DataError):
        return "too_large", f"a value of more than {row_bytes:,} bytes"
    return _REASONS.get("_".join(_name_of(error).split("_")[:2]), "unreadable_file"), str(error)


def _name_of(error: Exception) -> str:
    """What SQLite calls an error; "" for one that Python found."""
    return getattr(error, "sqlite_errorname", "")


def _wal_beside(path: str) -> Path | None:
    """The `-wal` file of a database, if it holds anything."""
    wal = Path(f"{path}-wal")
    try:
        return wal if wal.stat().st_size else None
    except OSError:
        return None


def _torn_bytes(path: str) -> int:
    """The size of the `-wal` file if it is no header and a whole number of frames, else 0."""
    wal = _wal_beside(path)
    if not wal:
        return 0
    try:
        with wal.open("rb") as file:
            header = file.read(_HEADER_BYTES)
            size = file.seek(0, SEEK_END)
    except OSError:
        return 0
    frame = _FRAME_HEADER_BYTES + int.from_bytes(header[8:12], "big")
    return size if size < _HEADER_BYTES or (size - _HEADER_BYTES) % frame else 0
