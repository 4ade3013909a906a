"""Write-ahead databases: the embedded log, and the table in which AMOSKYS's agents and event bus keep envelopes.

Source: SQLite, "Write-Ahead Logging"; `base_wal_pages` for how it is read, `base_event_log` and `base_envelopes` for
what lies within.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path
from typing import Literal, Self

import numpy as np

from tocsin.component import optional_packages, snake_case
from tocsin.errors import TocsinError
from tocsin.observe import live
from tocsin.records import Batch, Column, Position, Rejected
from tocsin.sources.base import RowsPerBatch, last_row
from tocsin.sources.base_event_log import is_event_log, prune
from tocsin.sources.base_event_rows import MAX_EVENT_ROW, EventReader
from tocsin.sources.base_files import MAX_COLUMNS, MAX_RAW, FileSource
from tocsin.sources.base_messages import PLACES
from tocsin.sources.base_wal_pages import Page, ever_written, is_begun, pages, parts_of, stamp_of, whole_pages

MAX_ENVELOPE = 131_072
"""Bytes of an envelope, as the event bus limits them, and of whatever else a row holds."""
LOOK_S = 0.02
"""Between two looks at a file that is followed."""
LIST_S = 1.0
"""Between two looks at what the pattern names."""
REST_S = 5.0
"""Before a file is tried again that could not be read."""
_PARTING_S = 0.5

TABLE = (
    "CREATE TABLE wal (id INTEGER PRIMARY KEY AUTOINCREMENT, idem TEXT NOT NULL, ts_ns INTEGER NOT NULL,"
    " bytes BLOB NOT NULL, checksum BLOB NOT NULL)"
)
Message = Literal["flow", "device", "event"]


class SqliteWal(FileSource):
    """Read the embedded log, or the envelopes that AMOSKYS keeps in SQLite, while others go on writing.

    The database is opened for reading alone and for one page at a time: nothing is deleted, marked or checkpointed, and
    no writer waits. What is appended after a file's turn has come is read from the position next time. Every row must
    match its checksum, and an envelope its row's key; all others are refused with a reason. The column
    `idempotency_key` as the schema's key makes an envelope count once, in however many files it lies.

    With `message: event` it is the log that `tocsin append` and `POST /v1/events` write: a row of it holds up to 10,000
    JSON objects, flattened one level as in `jsonl`. Of such a log, and of no other, what the stream needs no more is
    deleted.

    Flows become the columns of the `flows` preset: `bytes_in` is what the source of a flow sent (`bytes_sent`),
    `bytes_out` what it got back (`bytes_recv`); AMOSKYS counts no packets, and a duration that a flow does not tell is
    missing. Device telemetry becomes a row per envelope with a column per numeric metric, at most 1,024 of them.
    Batches of telemetry are refused: their rows would share one key.

    Parameters
    ----------
    path
        A database or a pattern with `*`, `?`, `[...]` and `**`, such as `wal/*.db`.
    message
        What becomes rows: the `flow` or the `device` of envelopes, those with another message are refused; or `event`.
    rows
        Rows per batch at most.
    follow
        Go on with what is appended, and with new databases.
    """

    _elapsed: Callable[[], float] = staticmethod(time.monotonic)
    """Seconds that only grow."""
    _sleep: Callable[[float], None] = staticmethod(time.sleep)

    def __init__(
        self, *, path: str, message: Message = "flow", rows: RowsPerBatch = 10_000, follow: bool = False
    ) -> None:
        super().__init__(path=path, rows=rows)
        self.message: Message = message
        self.follow = follow
        self.replayable = not (follow and self._is_pattern)
        if message != "event":
            with optional_packages("$.source.message"):
                import tocsin.sources.base_envelopes  # noqa: F401  # what is missing is said now
        self._events = EventReader(path=path, rows=rows)
        self._names: set[str] = set()
        """Of columns; the first to come stay."""
        self._growing: Iterator[Batch | None] = iter(())
        self._pruning: threading.Thread | None = None

    @classmethod
    def example(cls, folder: Path) -> Self:
        """Six envelopes, the third damaged after its checksum was made."""
        from tocsin.sources.base_envelopes import Envelope, FlowEvent, checksum_of  # Protocol Buffers is an extra

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

    def open(self, resume: Position | None = None) -> None:
        """Find the databases; one that is followed need not be there yet, but its folder. Raises as other files do."""
        self._events = EventReader(path=self.path, rows=self.rows)
        if not self.follow:
            super().open(resume)
            return
        self._expect_folder()
        self._behind, self._left_out, self._batches = dict(resume.offsets if resume else {}), set(), iter(())
        self._growing = self._as_they_grow(dict(self._behind))

    def read(self, timeout_s: float) -> Batch | None:
        """The next rows of one database; None if none came in time."""
        if not self.follow or self._batches is None:
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
        """Whether the last row is read; never, if it follows."""
        return not self.follow and super().ended

    def confirm(self) -> None:
        """Delete what was acknowledged of logs that are Tocsin's own, beside the stream."""
        if self.message == "event" and not (self._pruning and self._pruning.is_alive()):
            done = {file: row // PLACES - 1 for file, row in self._behind.items()}
            self._pruning = threading.Thread(target=_prune, args=(done,), name="pruning", daemon=True)
            self._pruning.start()

    def close(self) -> None:
        """Forget the databases."""
        super().close()
        self._growing = iter(())
        if self._pruning:
            self._pruning.join(_PARTING_S)  # what it has not deleted then stays for another time

    def read_file(self, file: str, path: str, behind: int) -> Iterator[Batch]:
        for page in whole_pages(path, self._id_before(behind), self.rows, self._most_bytes):
            yield from self._rows_of(file, page, behind)
        try:
            self._digests[file] = _digest(path)
        except OSError as error:
            yield self._marked(file, {}, np.arange(0), [Rejected(file, 0, "unreadable_file", str(error))])

    def _as_they_grow(self, behind: dict[str, int]) -> Iterator[Batch | None]:
        """Batches for ever, None where there is nothing to read."""
        seen: dict[str, object] = {}
        rest: dict[str, float] = {}
        files: dict[str, str] = {}
        listed_at = float("-inf")
        while True:
            if self._elapsed() >= listed_at + LIST_S:
                files, listed_at = self._matching(), self._elapsed()
            nothing = True
            for file, path in files.items():
                stamp = _stamp(path)
                if stamp is None or stamp == seen.get(file) or self._elapsed() < rest.get(file, 0.0):
                    continue
                seen[file] = stamp
                if self._begun_anew(file, path, behind.get(file, 0)):
                    behind[file] = 0
                for batch in self._appended(file, path, behind):
                    nothing = False
                    yield batch
                    if any(not item.row for item in batch.rejected):
                        rest[file] = self._elapsed() + REST_S
                        del seen[file]
            if nothing:
                yield None

    def _appended(self, file: str, path: str, behind: dict[str, int]) -> Iterator[Batch]:
        start = behind.get(file, 0)
        for page in pages(path, self._id_before(start), self.rows, self._most_bytes):
            if page.problems and not is_begun(path):
                return
            for batch in self._rows_of(file, page, start):
                behind[file] = max(start, last_row(batch)[1])
                yield batch
            if page.rows:
                behind[file] = self._number(page.rows[-1][0], last=True)

    def _begun_anew(self, file: str, path: str, behind: int) -> bool:
        """Whether a log holds less than was read of it: it is another one."""
        ever = ever_written(path) if behind else None
        if ever is None or self._id_before(behind) <= ever:
            return False
        live.event_log_begun_anew(snake_case(type(self).__name__), file)
        self._behind.pop(file, None)
        return True

    @property
    def _most_bytes(self) -> int:
        return MAX_EVENT_ROW if self.message == "event" else MAX_ENVELOPE

    def _number(self, id: int, *, last: bool = False) -> int:
        """The number of the first row that comes of one in the table, or of the last that can."""
        if self.message != "event":
            return id
        return id * PLACES + (PLACES - 1 if last else 1)

    def _id_before(self, behind: int) -> int:
        """The id behind which the table is read: of an id whose rows are not known to be all done, the one before."""
        if self.message != "event" or not behind:
            return behind
        id, place = divmod(behind, PLACES)
        return id if place == PLACES - 1 else id - 1

    def _rows_of(self, file: str, page: Page, behind: int) -> Iterator[Batch]:
        problems = [Rejected(file, row and self._number(row), *why) for row, *why in page.problems]
        if self.message != "event":
            if page.rows or problems:
                yield self._envelopes(file, page, problems)
            return
        yield from self._events.batches(file, page.rows, behind)
        if problems:
            yield self._marked(file, {}, np.arange(0), problems)

    def _envelopes(self, file: str, page: Page, rejected: list[Rejected]) -> Batch:
        from tocsin.sources.base_envelopes import READERS, BadEnvelope, opened

        values_of, columns_of = READERS[self.message]
        rows, values = [], []
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


def _stamp(path: str) -> object:
    try:
        return stamp_of(path)
    except OSError:
        return None


def _prune(done: dict[str, int]) -> None:
    """Delete rows up to these ids, of logs that are Tocsin's own."""
    for file, id in done.items():
        with suppress(TocsinError):  # it could not be written now: there will be another time
            if id > 0 and is_event_log(Path(file)):
                prune(Path(file), id)


def _digest(path: str) -> str:
    """SHA-256 of the database, followed by what its `-wal` file adds, as they lie on disk now."""
    digest = sha256()
    for part in parts_of(path):
        with part.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
