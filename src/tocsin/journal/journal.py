"""The journal of a running service: input, position, alerts and what became of them move in one transaction.

A service that is killed at any moment goes on from its last checkpoint and replays what came after it: accepted rows
lie here, or the source gives them again. Whatever rings once more has the same id, and an alert enters but once.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Self

import orjson

from tocsin.config import KeepConfig
from tocsin.database import Database
from tocsin.journal.rows_as_bytes import from_bytes, to_bytes
from tocsin.journal.step import Progress, Step
from tocsin.journal.stored import FILE, Stored, alert_text, as_text, position_text
from tocsin.journal.tables import APPLICATION, MIGRATIONS
from tocsin.observe import live
from tocsin.records import SECOND, Alert, Batch, Rejected

MOST_LETTERS = 1_000_000
"""Refused rows that are kept; the oldest beyond it go."""
_NUMBER = re.compile(r"-\d+$")
MOST_VERDICTS = 1_000_000
"""What was said of rows; the oldest beyond them go."""
_TIDY_EVERY, _TIDY_ROWS = 1_000, 100_000
"""Commits, and refused rows and verdicts, between two looks for what is kept no longer."""


class Journal:
    """Written by one thread of one service; others look into it with `Stored.beside`.

    Parameters
    ----------
    folder
        Where it lies; made for its owner alone.
    sinks
        Names of those that alerts go to.
    keep
        How long what is written is kept.
    now
        The time of day, UTC microseconds.

    Raises
    ------
    ConflictError
        If another service has it open.
    RegistryError
        As opening a `Database`; every method raises these, too.
    """

    def __init__(self, folder: Path, sinks: Sequence[str], keep: KeepConfig, now: Callable[[], int]) -> None:
        self._database = Database(folder / FILE, APPLICATION, MIGRATIONS, shared=True, wait_s=1.0)
        self.stored = Stored(self._database.rows)
        self._files = (folder / FILE, folder / f"{FILE}-wal")
        self._sinks = tuple(sinks)
        self._keep = keep
        self._now = now
        self._entered = 0
        """Refused rows and verdicts since the last look for what is kept no longer."""
        self.sequence = self.stored.progress().sequence
        """Of the last commit."""
        self._bequeath()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def size(self) -> int:
        """Bytes of the file, and of the log beside it."""
        return sum(path.stat().st_size for path in self._files if path.exists())

    def close(self) -> None:
        """Let the next one in."""
        self._database.close()

    def _bequeath(self) -> None:
        """Let what waits for a sink that is gone go to a new one of its type: it has another address, or had no key.

        The first of those gone goes to the first new one. A type ends with a colon, or, as before there were addresses
        in keys, with a dash and a number from the second one on.
        """
        known = sorted((key for (key,) in self._database.rows("SELECT DISTINCT sink FROM deliveries")), key=_in_order)
        new = [sink for sink in self._sinks if sink not in known]
        with self._database.transaction() as connection:
            for gone in known:
                heir = next((sink for sink in new if _type_of(sink) == _type_of(gone)), None)
                if gone not in self._sinks and heir is not None:
                    new.remove(heir)
                    statement = "UPDATE deliveries SET sink = ? WHERE sink = ? AND outcome = ''"
                    if waiting := connection.execute(statement, (heir, gone)).rowcount:
                        live.sink_succeeded(gone, heir, waiting)

    def commit(self, step: Step) -> tuple[Alert, ...]:
        """Make a step durable; returns those of its alerts that are new and are to be delivered."""
        now = self._now()
        with self._database.transaction() as connection:
            before = self.stored.progress()
            sequence = before.sequence + 1
            fresh = [alert for alert in step.alerts if self._enter(connection, alert, sequence, now)]
            connection.executemany(
                "INSERT INTO accepted VALUES (?, ?, ?)",
                [(sequence, part, to_bytes(batch)) for part, batch in enumerate(step.accepted)],
            )
            connection.executemany("DELETE FROM letters WHERE id = ?", [(letter,) for letter in step.withdrawn])
            connection.executemany("INSERT OR IGNORE INTO letters VALUES (?, ?, ?, ?, ?, ?, ?)", _letters(step, now))
            connection.executemany(
                "INSERT OR IGNORE INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", _verdicts(step, now)
            )
            connection.executemany(
                "UPDATE deliveries SET outcome = ? WHERE sink = ? AND alert = ?",
                [(receipt.outcome, receipt.sink, receipt.alert) for receipt in step.receipts],
            )
            position, tally, model = (
                step.position or before.position,
                step.tally or before.tally,
                step.model or before.model,
            )
            _advance(connection, Progress(sequence, position, tally, model, now))
            self._entered += len(step.refused) + len(step.verdicts)
            if sequence % _TIDY_EVERY == 0 or self._entered >= _TIDY_ROWS:
                self._tidy(connection, now)
        self.sequence = sequence
        return tuple(alert for alert in fresh if not alert.quiet)

    def go_on_from(self, sequence: int) -> None:
        """Number steps behind this one: what was written before them is gone, and a checkpoint knows of it."""
        with self._database.transaction() as connection:
            _advance(connection, replace(self.stored.progress(), sequence=sequence, committed=self._now()))
        self.sequence = sequence

    def accepted(self, after: int) -> Iterator[Batch]:
        """The rows of the steps behind a sequence number, in their order."""
        behind = (after, -1)
        while True:
            found = self._database.rows(
                "SELECT sequence, part, data FROM accepted WHERE (sequence, part) > (?, ?)"
                " ORDER BY sequence, part LIMIT 8",
                *behind,
            )
            if not found:
                return
            for sequence, part, data in found:
                behind = (sequence, part)
                if sequence > after:
                    yield from_bytes(data)

    def forget_accepted(self, up_to: int) -> None:
        """A checkpoint holds what followed from the rows up to a sequence number."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM accepted WHERE sequence <= ?", (up_to,))

    def _enter(self, connection: sqlite3.Connection, alert: Alert, sequence: int, now: int) -> bool:
        """Whether the alert is new."""
        entered = connection.execute(
            "INSERT OR IGNORE INTO alerts VALUES (?, ?, ?, ?, ?, ?, ?)",
            (alert.id, sequence, now, as_text(alert.entity), alert.severity, alert.quiet, alert_text(alert)),
        )
        if not entered.rowcount and not self._wakes(connection, alert):
            return False
        if not alert.quiet:
            rows = [(alert.id, sink, "") for sink in self._sinks]
            connection.executemany("INSERT INTO deliveries VALUES (?, ?, ?)", rows)
        return True

    def _wakes(self, connection: sqlite3.Connection, alert: Alert) -> bool:
        """Whether it was silenced before a kill and rings now that its silence is over."""
        if alert.quiet:
            return False
        changed = connection.execute(
            "UPDATE alerts SET quiet = '', body = ? WHERE id = ? AND quiet = 'silenced'", (alert_text(alert), alert.id)
        )
        return changed.rowcount > 0

    def _tidy(self, connection: sqlite3.Connection, now: int) -> None:
        """Delete what is older than it is kept, or too much; alerts that wait for a sink of the config stay."""
        self._entered = 0
        connection.execute(
            "DELETE FROM alerts WHERE committed < ? AND id NOT IN"
            " (SELECT alert FROM deliveries WHERE outcome = '' AND sink IN (SELECT value FROM json_each(?)))",
            (now - round(self._keep.alerts * SECOND), orjson.dumps(self._sinks).decode()),
        )
        if beyond := _shortened(connection, "letters", now - round(self._keep.dead_letters * SECOND), MOST_LETTERS):
            live.letters_given_up(beyond)
        if beyond := _shortened(connection, "verdicts", now - round(self._keep.verdicts * SECOND), MOST_VERDICTS):
            live.verdicts_given_up(beyond)


def _type_of(key: str) -> str:
    return key.partition(":")[0] if ":" in key else _NUMBER.sub("", key)


def _in_order(key: str) -> tuple[int, str]:
    return len(key), key


def _shortened(connection: sqlite3.Connection, table: str, oldest: int, most: int) -> int:
    """Delete what is older, and then the oldest beyond a number; returns how many of the latter there were."""
    connection.execute(f"DELETE FROM {table} WHERE committed < ?", (oldest,))  # noqa: S608  # our own names
    beyond = connection.execute(
        f"DELETE FROM {table} WHERE committed <"  # noqa: S608  # our own names
        f" (SELECT committed FROM {table} ORDER BY committed DESC LIMIT 1 OFFSET ?)",
        (most,),
    )
    return beyond.rowcount


def _advance(connection: sqlite3.Connection, progress: Progress) -> None:
    position = position_text(progress.position) if progress.position else None
    connection.execute(
        "INSERT INTO progress VALUES (1, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence,"
        " position = excluded.position, tally = excluded.tally, model = excluded.model, committed = excluded.committed",
        (progress.sequence, position, orjson.dumps(progress.tally).decode(), progress.model, progress.committed),
    )


def _verdicts(step: Step, now: int) -> Iterator[tuple[object, ...]]:
    for row in step.verdicts:
        said = (row.score, row.p_value, row.flagged, row.state, row.model or step.model)
        yield (now, row.time, as_text(row.entity), as_text(row.origin), *said)


def _letters(step: Step, now: int) -> Iterator[tuple[object, ...]]:
    for item in step.refused:
        texts = map(as_text, (item.reason, item.detail, item.raw))
        yield (letter_id(item), now, as_text(item.file), item.row, *texts)


def letter_id(item: Rejected) -> bytes:
    """Equal for the same refusal of the same row, however often it is replayed."""
    key = "\x1f".join((item.file, str(item.row), item.reason))
    return blake2b(as_text(key).encode(), digest_size=16).digest()
