"""Write-ahead databases of AMOSKYS: the SQLite table in which agents and event bus keep their envelopes.

Source: SQLite, "Write-Ahead Logging" and "Uniform Resource Identifiers"; `base_envelopes` for what lies within.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from os import SEEK_END
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from tocsin.records import Batch, Column, Rejected
from tocsin.sources.base import RowsPerBatch
from tocsin.sources.base_envelopes import (
    BadEnvelope,
    Envelope,
    FlowEvent,
    checksum_of,
    device_columns,
    device_values,
    flow_columns,
    flow_values,
    opened,
)
from tocsin.sources.base_files import MAX_COLUMNS, MAX_RAW, BrokenFile, FileSource

MAX_ENVELOPE = 131_072
"""Bytes of an envelope, as the event bus limits them, and of whatever else a row holds."""
_BATCH_BYTES = 1 << 25
"""Envelopes after which a batch is full, however few its rows."""
_WAIT_S = 1.0
"""For a writer that has locked the whole database."""
_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24
"""Of a `-wal` file, and of each frame in it, which is followed by one page."""

TABLE = (
    "CREATE TABLE wal (id INTEGER PRIMARY KEY AUTOINCREMENT, idem TEXT NOT NULL, ts_ns INTEGER NOT NULL,"
    " bytes BLOB NOT NULL, checksum BLOB NOT NULL)"
)
_PAGE = "SELECT rowid, idem, bytes, checksum FROM wal WHERE rowid > ? AND rowid <= ? ORDER BY rowid LIMIT ?"
_REASONS = {
    "SQLITE_NOTADB": "wrong_format",
    "SQLITE_CORRUPT": "corrupt",
    "SQLITE_BUSY": "locked",
    "SQLITE_LOCKED": "locked",
    "SQLITE_ERROR": "no_table",
}

Message = Literal["flow", "device"]
_READERS: dict[Message, tuple[Any, Any]] = {
    "flow": (flow_values, flow_columns),
    "device": (device_values, device_columns),
}


class SqliteWal(FileSource):
    """Read the envelopes that AMOSKYS keeps in SQLite, while its agents go on writing.

    The database is opened for reading alone and for one batch at a time: nothing is deleted, marked or checkpointed,
    and no writer waits. What is appended after a file's turn has come is read from the position next time. Every
    envelope must match its checksum and its row's key; all others are refused with a reason. The column
    `idempotency_key` as the schema's key makes an envelope count once, in however many files it lies.

    Flows become the columns of the `flows` preset: `bytes_in` is what the source of a flow sent (`bytes_sent`),
    `bytes_out` what it got back (`bytes_recv`); AMOSKYS counts no packets, and a duration that a flow does not tell is
    missing. Device telemetry becomes a row per envelope with a column per numeric metric, at most 1,024 of them.
    Batches of telemetry are refused: their rows would share one key.

    Parameters
    ----------
    path
        A database or a pattern with `*`, `?`, `[...]` and `**`, such as `wal/*.db`.
    message
        What the envelopes carry that become rows, `flow` or `device`; those with another message are refused.
    rows
        Rows per batch at most.
    """

    def __init__(self, *, path: str, message: Message = "flow", rows: RowsPerBatch = 10_000) -> None:
        super().__init__(path=path, rows=rows)
        self.message: Message = message
        self._names: set[str] = set()
        """Of columns; the first to come stay."""

    @classmethod
    def example(cls, folder: Path) -> Self:
        """Six envelopes, the third damaged after its checksum was made."""
        with closing(sqlite3.connect(folder / "example.db")) as database, database:
            database.execute(TABLE)
            for second in range(6):
                flow = FlowEvent(src_ip="192.0.2.1", dst_ip="192.0.2.9", dst_port=53, protocol="UDP", bytes_sent=60)
                time = (1_767_600_000 + second) * 10**9
                envelope = Envelope(version="v1", ts_ns=time, idempotency_key=f"key-{second}", flow=flow)
                data = envelope.SerializeToString()
                row = (f"key-{second}", time, data[:-1] if second == 2 else data, checksum_of(data))
                database.execute("INSERT INTO wal (idem, ts_ns, bytes, checksum) VALUES (?, ?, ?, ?)", row)
        return cls(path=str(folder / "*.db"), rows=2)

    def read_file(self, file: str, path: str, behind: int) -> Iterator[Batch]:
        for page in _pages(path, behind, self.rows):
            if page.rows or page.problems:
                yield self._batch(file, page)
        try:
            self._digests[file] = _digest(path)
        except OSError as error:
            yield self._marked(file, {}, np.arange(0), [Rejected(file, 0, "unreadable_file", str(error))])

    def _batch(self, file: str, page: _Page) -> Batch:
        values_of, columns_of = _READERS[self.message]
        rows, values, rejected = [], [], [Rejected(file, *problem) for problem in page.problems]
        for row, idem, data, checksum in page.rows:
            try:
                values.append(values_of(opened(idem, data, checksum)))
                rows.append(row)
            except BadEnvelope as error:
                begun = data[: MAX_RAW // 2].hex() if isinstance(data, bytes) else ""
                rejected.append(Rejected(file, row, error.reason, error.detail, begun))
        columns = self._bounded(columns_of(values))
        return self._marked(file, columns, np.array(rows, dtype=np.int64), rejected)

    def _bounded(self, columns: dict[str, Column]) -> dict[str, Column]:
        known = self._names
        # From behind: there stand the names that every row has.
        known.update([name for name in reversed(columns) if name not in known][: MAX_COLUMNS - len(known)])
        self._leave_out([name for name in columns if name not in known], "too_many_columns")
        return {name: column for name, column in columns.items() if name in known}


@dataclass(slots=True)
class _Page:
    """Rows of the table as they lie there, and what could not be read: row number, reason, detail."""

    rows: list[tuple[int, Any, Any, Any]] = field(default_factory=list)
    problems: list[tuple[int, str, str]] = field(default_factory=list)


def _pages(path: str, behind: int, limit: int) -> Iterator[_Page]:
    """What lies behind a row when the first page is asked for; a connection lives as long as one page is read."""
    torn = _torn_bytes(path)
    last: int | None = None
    while last is None or behind < last:
        page = _Page()
        try:
            with closing(_connected(path)) as database:
                last = _newest(database) if last is None else last
                _fill(page, database, (behind, last, limit))
        except (sqlite3.Error, OSError, BrokenFile) as error:
            page.problems.append((0, *_why(error)))
            yield page
            return
        if not page.rows and not page.problems:
            break
        behind = max([*(row[0] for row in page.rows[-1:]), *(problem[0] for problem in page.problems)])
        yield page
    if torn and _torn_bytes(path) == torn:
        yield _Page(problems=[(0, "truncated", "the -wal file beside the database breaks off")])


def _connected(path: str) -> sqlite3.Connection:
    database = _opened_as(path, "mode=ro")
    try:
        database.execute("BEGIN")
        database.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.Error as error:
        database.close()
        # SQLite wants files beside a database that may be written to. Where they cannot be made, nobody writes.
        if _name_of(error) != "SQLITE_CANTOPEN" or _wal_beside(path):
            raise
        return _opened_as(path, "immutable=1")
    return database


def _opened_as(path: str, how: str) -> sqlite3.Connection:
    where = f"{Path(path).absolute().as_uri()}?{how}"
    database = sqlite3.connect(where, uri=True, timeout=_WAIT_S, isolation_level=None)
    database.text_factory = bytes
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_ENVELOPE)
    return database


def _newest(database: sqlite3.Connection) -> int:
    # A view could hide any amount of work behind the same name.
    if not database.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'wal'").fetchone():
        raise BrokenFile("no_table", "no table `wal` in this database")
    newest: int | None = database.execute("SELECT max(rowid) FROM wal").fetchone()[0]
    return newest or 0


def _fill(page: _Page, database: sqlite3.Connection, span: tuple[int, int, int]) -> None:
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
            page.problems.append((row, *_why(error)))


def _append(page: _Page, database: sqlite3.Connection, span: tuple[int, int, int]) -> None:
    size = 0
    for row in database.execute(_PAGE, span):
        page.rows.append(row)
        size += len(row[2]) if isinstance(row[2], bytes) else 0
        if size > _BATCH_BYTES:
            return


def _why(error: Exception) -> tuple[str, str]:
    if isinstance(error, BrokenFile):
        return error.reason, error.detail
    if isinstance(error, sqlite3.DataError):
        return "too_large", f"a value of more than {MAX_ENVELOPE:,} bytes"
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


def _digest(path: str) -> str:
    """SHA-256 of the database, followed by what its `-wal` file adds, as they lie on disk now."""
    digest = sha256()
    for part in filter(None, (Path(path), _wal_beside(path))):
        with part.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
