"""The embedded log: one SQLite file that events are appended to, and that `sqlite_wal` reads; no server needed.

Events that come together are committed together, a row of the table for up to a quarter of a megabyte of them: JSON
lines, and their checksum. An append returns when a power cut can no longer undo it.

Source: SQLite, "Write-Ahead Logging"; Gray and Reuter, Transaction Processing, 1992, section 9.3 (group commit).
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from queue import Empty, Full, Queue
from typing import Any, Self

import orjson

from tocsin.database import Database, rows_of
from tocsin.errors import ConflictError, DataError, LimitExceeded, NotStored
from tocsin.observe import live
from tocsin.sources.base_event_rows import checksum_of

APPLICATION = 0x746F6C31
"""In the head of a log that is Tocsin's own: `tol1`."""
MAX_EVENT = 65_536
"""Bytes of one event."""
MAX_ROW = 1 << 18
"""Bytes of a row, of events one after the other."""
MAX_EVENTS = 10_000
"""Of one row, and of one append."""
MOST_WAITING = 256
"""Appends at once; more are refused."""
_GROUP = 64
"""Appends of one commit."""
_HELD_S, _GAP_S = 1.0, 0.03
"""How long the file is held while there is work, and left to others in between."""
_WAIT_S = 10.0
"""For others who write."""
_IDLE_S = 0.05
"""Without work, before the file is left to others."""
_PATIENCE_S = 3.0
"""For the gap between two turns of who appends."""
_PRUNED = 500
"""Rows that one transaction deletes."""
MAX_KEYS = 1_000_000
"""Keys that are remembered of rows that are deleted."""

_OLD_KEYS = "DELETE FROM keys WHERE id <= min(?, (SELECT id FROM keys ORDER BY id DESC LIMIT 1 OFFSET ?))"
_MIGRATIONS = (
    """
    CREATE TABLE wal (id INTEGER PRIMARY KEY AUTOINCREMENT, idem TEXT NOT NULL, ts_ns INTEGER NOT NULL,
        bytes BLOB NOT NULL, checksum BLOB NOT NULL);
    CREATE TABLE keys (key BLOB PRIMARY KEY, id INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX keys_of_row ON keys (id);
    """,
)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Events that somebody waits to have kept."""

    events: Sequence[bytes]
    keys: Sequence[bytes]
    answer: Future[int] = field(default_factory=Future)


class EventLog:
    """Appends events, from any thread; whoever else wants to write has a turn every second.

    Parameters
    ----------
    path
        Made if it does not exist, for its owner alone.
    key
        The field of an event that is its producer's id. An event whose id is in the log already is not kept again; one
        that has none is kept.
    limit_bytes
        Of the file. Beyond it appends are refused until the stream has read on.
    now
        The time of day, nanoseconds since 1970.
    """

    def __init__(
        self,
        path: Path,
        *,
        key: str | None = None,
        limit_bytes: int = 1 << 30,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self.path = path
        self._key = key
        self._limit_bytes = limit_bytes
        self._now = now
        self._asked: Queue[_Asked | None] = Queue(MOST_WAITING)
        self._thread = threading.Thread(target=self._work, name="event log", daemon=True)
        self._closed = False
        _opened(path, _WAIT_S).close()  # what is wrong with the file is said now
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, events: Sequence[bytes], timeout_s: float = 30.0) -> int:
        """Keep events for good; returns how many were new.

        Parameters
        ----------
        events
            JSON objects, each on one line of at most 65,536 bytes; at most 10,000.

        Raises
        ------
        DataError
            If one is no object or too large: none of them is kept then.
        LimitExceeded
            If the log is full, too many appends wait, or no answer came in time.
        RegistryError
            If the file cannot be written.
        """
        if len(events) > MAX_EVENTS:
            raise LimitExceeded(str(self.path), f"{len(events):,} events", f"at most {MAX_EVENTS:,} at once")
        lines, keys = [], []
        for number, event in enumerate(events, 1):
            line, key = checked(event, self._key, f"event {number}")
            lines.append(line)
            keys.append(key)
        asked = _Asked(lines, keys if self._key else ())
        try:
            if self._closed:
                raise Full
            self._asked.put_nowait(asked)
            return asked.answer.result(timeout_s)
        except (Full, TimeoutError):
            hint = "send them again in a moment; with a key none counts twice"
            raise LimitExceeded(str(self.path), "appends that wait", "fewer at once", hint) from None

    def close(self) -> None:
        """Keep what was asked for, then let go of the file; may be called twice."""
        if not self._closed:
            self._closed = True
            self._asked.put(None)
            self._thread.join()

    def _work(self) -> None:
        ended = False
        while not ended and (asked := self._asked.get()) is not None:
            ended = self._serve(asked)

    def _serve(self, asked: _Asked | None) -> bool:
        """Work until there is nothing more to do for now; whether that is the end."""
        ended = False
        while asked is not None and not ended:
            now = asked
            try:
                with closing(_opened(self.path, _WAIT_S)) as database:
                    asked, ended = self._hold(database, now)
            except Exception as error:  # noqa: BLE001  # it is raised where the events came from
                _refuse(now, error)
                return False
            if asked is not None:
                time.sleep(_GAP_S)
        return ended

    def _hold(self, database: Database, asked: _Asked) -> tuple[_Asked | None, bool]:
        """Commit what is asked for, as long as the file may be held; what is left, and whether this is the end."""
        until = time.monotonic() + _HELD_S
        while time.monotonic() < until:
            group = [asked]
            ended = self._gather(group)
            self._commit(database, group)
            if ended:
                return None, True
            try:
                following = self._asked.get(timeout=_IDLE_S)
            except Empty:
                return None, False
            if following is None:
                return None, True
            asked = following
        return asked, False

    def _gather(self, group: list[_Asked]) -> bool:
        """Add what waits already; whether this is the end."""
        while len(group) < _GROUP:
            try:
                asked = self._asked.get_nowait()
            except Empty:
                return False
            if asked is None:
                return True
            group.append(asked)
        return False

    def _commit(self, database: Database, group: Sequence[_Asked]) -> None:
        """One transaction for all of them."""
        answers: list[int | Exception] = []
        try:
            with database.transaction() as connection:
                used = _used(connection)
                for asked in group:
                    size = sum(map(len, asked.events)) + len(asked.events)
                    if used + size > self._limit_bytes:
                        answers.append(self._full(used))
                        continue
                    used += size
                    answers.append(self._keep(connection, asked))
        except Exception as error:  # noqa: BLE001  # it is raised where the events came from
            answers = [error] * len(group)
        for asked, answer in zip(group, answers, strict=True):
            if isinstance(answer, Exception):
                _refuse(asked, answer)
            else:
                asked.answer.set_result(answer)
        live.events_appended(sum(answer for answer in answers if isinstance(answer, int)))

    def _full(self, used: int) -> LimitExceeded:
        live.event_log_full(self.path.name, used)
        hint = "the stream has to read on: is `tocsin run` at work? Then send them again"
        return LimitExceeded(str(self.path), f"a log of {used:,} bytes", f"at most {self._limit_bytes:,}", hint)

    def _keep(self, connection: sqlite3.Connection, asked: _Asked) -> int:
        events = list(asked.events)
        if asked.keys:
            fresh = _fresh(connection, asked.keys)
            events = [event for event, is_new in zip(events, fresh, strict=True) if is_new]
        now = self._now()
        for row in _rows(events):
            values = (now, row, checksum_of(row))
            connection.execute("INSERT INTO wal (idem, ts_ns, bytes, checksum) VALUES ('', ?, ?, ?)", values)
        return len(events)


def _refuse(asked: _Asked, error: Exception) -> None:
    if not asked.answer.done():
        asked.answer.set_exception(error)


def is_event_log(path: Path) -> bool:
    """Whether a file is a log that Tocsin made, rather than one of AMOSKYS; raises as `rows_of` does."""
    try:
        return rows_of(path, "PRAGMA application_id") == [(APPLICATION,)]
    except NotStored:
        return False


def prune(path: Path, up_to: int) -> int:
    """Delete rows up to an id, which nobody needs to read again; returns how many.

    Somebody else who holds the file for long is left alone: there will be another time.

    Raises
    ------
    RegistryError
        As opening a `Database`.
    """
    pruned = 0
    try:
        with closing(_opened(path, _PATIENCE_S)) as database:
            while True:
                with database.transaction() as connection:
                    last = connection.execute(
                        "SELECT max(id) FROM (SELECT id FROM wal WHERE id <= ? ORDER BY id LIMIT ?)", (up_to, _PRUNED)
                    ).fetchone()[0]
                    if last is None:
                        connection.execute(_OLD_KEYS, (up_to, MAX_KEYS))
                        break
                    pruned += connection.execute("DELETE FROM wal WHERE id <= ?", (last,)).rowcount
    except ConflictError:
        pass
    live.event_rows_pruned(pruned)
    return pruned


def _opened(path: Path, wait_s: float) -> Database:
    return Database(path, APPLICATION, _MIGRATIONS, shared=True, wait_s=wait_s)


def checked(event: bytes, key: str | None, where: str) -> tuple[bytes, bytes]:
    """An event on one line, and its key, empty if it has none; raises DataError."""
    if len(event) > MAX_EVENT:
        raise DataError(where, f"{len(event):,} bytes", f"at most {MAX_EVENT:,}")
    try:
        value: Any = orjson.loads(event)
    except orjson.JSONDecodeError as error:
        raise DataError(where, str(error), "a JSON object") from None
    if not isinstance(value, dict):
        raise DataError(where, f"a JSON {type(value).__name__}", "an object")
    if b"\n" in event or b"\r" in event:
        event = orjson.dumps(value)
    found = None if key is None else value.get(key)
    return event, b"" if found in (None, "") else blake2b(orjson.dumps(found), digest_size=16).digest()


def _rows(events: Sequence[bytes]) -> Iterator[bytes]:
    """Events as lines, in as few rows as their limits allow."""
    lines: list[bytes] = []
    size = 0
    for event in events:
        if lines and (size + len(event) >= MAX_ROW or len(lines) == MAX_EVENTS):
            yield b"\n".join(lines)
            lines, size = [], 0
        lines.append(event)
        size += len(event) + 1
    if lines:
        yield b"\n".join(lines)


def _fresh(connection: sqlite3.Connection, keys: Sequence[bytes]) -> list[bool]:
    """Which keys are new; they are remembered with the row that comes next."""
    last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'wal'").fetchone()
    row, insert = (last[0] if last else 0) + 1, "INSERT OR IGNORE INTO keys VALUES (?, ?)"
    return [not key or connection.execute(insert, (key, row)).rowcount == 1 for key in keys]


def _used(connection: sqlite3.Connection) -> int:
    """Bytes of the file that hold something."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)
