"""The embedded log: what is appended is kept, once per key, and read while it grows; others have their turn."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tocsin.checks.source import batches_of
from tocsin.database import rows_of
from tocsin.errors import DataError, LimitExceeded, RegistryError
from tocsin.log import counters
from tocsin.records import ROW, Position
from tocsin.sources import base_event_log
from tocsin.sources.base_event_log import EventLog, is_event_log, prune
from tocsin.sources.sqlite_wal import SqliteWal


def events(*numbers: int) -> list[bytes]:
    return [f'{{"id":"e{number}","n":{number}}}'.encode() for number in numbers]


def numbers_in(path: Path) -> list[int]:
    source = SqliteWal(path=str(path), message="event")
    return [number for batch in batches_of(source) for number in batch["n"].tolist()]


def read_all(source: SqliteWal) -> tuple[list[int], Position | None]:
    """What is there now, acknowledged."""
    found: list[int] = []
    position = None
    while (batch := source.read(0.05)) is not None:
        found += batch["n"].tolist() if batch.rows else []
        position = source.acknowledge(batch)
    return found, position


def test_what_is_appended_is_read_in_its_order(tmp_path: Path) -> None:
    with EventLog(tmp_path / "events.db") as log:
        assert log.append(events(1, 2)) == 2
        assert log.append(events(3)) == 1
    assert numbers_in(tmp_path / "events.db") == [1, 2, 3]


def test_an_event_with_a_key_that_is_known_is_not_kept_again(tmp_path: Path) -> None:
    for _ in range(2):
        with EventLog(tmp_path / "events.db", key="id") as log:
            log.append(events(1, 2, 1))
            assert log.append(events(2, 3)) in (0, 1)
    assert numbers_in(tmp_path / "events.db") == [1, 2, 3]


def test_events_without_a_key_are_none_of_them_the_same(tmp_path: Path) -> None:
    with EventLog(tmp_path / "events.db", key="id") as log:
        assert (
            log.append([b'{"n": 1}', b'{"n": 1}', b'{"n": 1, "id": ""}', b'{"n": 2, "id": 7}', b'{"n": 3, "id": 7}'])
            == 4
        )
    assert numbers_in(tmp_path / "events.db") == [1, 1, 1, 2]


@pytest.mark.parametrize(
    ("event", "got"),
    [
        (b"[1]", "a JSON list"),
        (b'{"id": "x"', "unexpected end of data"),
        (b'{"id": NaN}', "unexpected character"),
        (b'{"id": "x", "text": "' + b"y" * 66_000 + b'"}', "66,0"),
        (b'{"id": "\xff"}', "UTF-8"),
    ],
)
def test_what_is_no_event_is_refused_and_nothing_beside_it_is_kept(tmp_path: Path, event: bytes, got: str) -> None:
    with EventLog(tmp_path / "events.db", key="id") as log:
        with pytest.raises(DataError, match=f"(?s)event 2.*{got}"):
            log.append([*events(1), event])
        assert log.append(events(3)) == 1
    assert numbers_in(tmp_path / "events.db") == [3]


def test_an_event_on_several_lines_is_kept_on_one(tmp_path: Path) -> None:
    with EventLog(tmp_path / "events.db") as log:
        log.append([b'{\n"n": 1,\r\n"text": "a\\nb"}'])
    (batch,) = batches_of(SqliteWal(path=str(tmp_path / "events.db"), message="event"))
    assert (batch["n"].tolist(), batch["text"].tolist()) == ([1], ["a\nb"])


def test_a_full_log_refuses_until_the_stream_has_read_on(tmp_path: Path) -> None:
    path, text = tmp_path / "events.db", "x" * 50_000
    big = [f'{{"n":{number},"text":"{text}"}}'.encode() for number in range(10)]
    with EventLog(path, limit_bytes=2_000_000) as log:
        kept = 0
        with pytest.raises(LimitExceeded, match="tocsin run"):  # noqa: PT012  # it is full after some of them
            for _ in range(10):
                kept += log.append(big)
        assert 0 < kept < 60
        source = SqliteWal(path=str(path), message="event", follow=True)
        source.open()
        assert len(read_all(source)[0]) == kept
        source.confirm()
        source.close()
        assert log.append(big) == 10
    assert path.stat().st_size < 2_500_000


def test_many_threads_append_in_few_commits(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with EventLog(path) as log, ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: log.append(events(number)), range(400)))
    assert sorted(numbers_in(path)) == list(range(400))


def test_a_log_that_is_read_while_it_grows_gives_every_event_once(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    source = SqliteWal(path=str(path), message="event", follow=True, rows=7)
    source.open()
    assert source.read(0.0) is None
    found: list[int] = []
    with EventLog(path) as log:
        for start in range(0, 200, 10):
            log.append(events(*range(start, start + 10)))
            if start % 30 == 0:
                batch = source.read(5.0)
                assert batch is not None
                found += batch["n"].tolist()
                position = source.acknowledge(batch)
            if start % 70 == 0:
                source.close()
                source.open(position)
        found += read_all(source)[0]
    source.close()
    assert found == list(range(200))
    assert (source.endless, source.ended) == (True, False)


def test_a_log_that_is_being_made_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA user_version = 0")
    source = SqliteWal(path=str(path), message="event", follow=True)
    source.open()
    assert source.read(0.1) is None
    with EventLog(path) as log:
        log.append(events(1))
    assert read_all(source)[0] == [1]
    source.close()


def test_reading_goes_on_within_a_row_that_was_begun(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with EventLog(path) as log:
        log.append(events(*range(10)))
        log.append(events(*range(10, 15)))
    source = SqliteWal(path=str(path), message="event", rows=4)
    source.open()
    batch = source.read(1.0)
    assert batch is not None
    position = source.acknowledge(batch)
    source.close()
    rest = batches_of(source, position)
    assert [number for batch in rest for number in batch["n"].tolist()] == list(range(4, 15))
    assert rest[-1][ROW].tolist()[-1] == 200_005


def test_only_what_was_acknowledged_is_deleted_and_only_of_a_log_of_our_own(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with EventLog(path) as log:
        for number in range(6):
            log.append(events(number))
    source = SqliteWal(path=str(path), message="event", rows=2)
    source.open()
    for _ in range(2):
        batch = source.read(1.0)
        assert batch is not None
        source.acknowledge(batch)
    assert source.read(1.0) is not None
    source.confirm()
    source.close()
    assert [id for (id,) in rows_of(path, "SELECT id FROM wal ORDER BY id")] == [4, 5, 6]
    other = tmp_path / "theirs.db"
    with closing(sqlite3.connect(other)) as database, database:
        database.execute("CREATE TABLE wal (id INTEGER PRIMARY KEY, idem, ts_ns, bytes BLOB, checksum BLOB)")
        database.execute("INSERT INTO wal VALUES (1, '', 0, ?, ?)", (b'{"n":1}', b'{"n":1}'))
    assert not is_event_log(other)
    theirs = SqliteWal(path=str(other), message="event")
    theirs.open()
    assert read_all(theirs)[0] == [1]
    theirs.confirm()
    theirs.close()
    assert numbers_in(other) == [1]
    with pytest.raises(RegistryError, match="another program"):
        prune(other, 1)


def test_a_key_is_known_after_its_event_was_deleted(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with EventLog(path, key="id") as log:
        log.append(events(1, 2))
        log.append(events(3))
    assert prune(path, 1) == 1
    with EventLog(path, key="id") as log:
        assert log.append(events(1, 2, 4)) == 1
    assert numbers_in(path) == [3, 4]


def test_keys_of_deleted_events_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_event_log, "MAX_KEYS", 5)
    path = tmp_path / "events.db"
    with EventLog(path, key="id") as log:
        for number in range(20):
            log.append(events(number))
    prune(path, 20)
    assert rows_of(path, "SELECT count(*) FROM keys") == [(5,)]


def test_a_log_that_was_begun_anew_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with EventLog(path) as log:
        for number in range(5):
            log.append(events(number))
    source = SqliteWal(path=str(path), message="event", follow=True)
    source.open()
    _, position = read_all(source)
    source.close()
    for beside in tmp_path.iterdir():
        beside.unlink()
    with EventLog(path) as log:
        log.append(events(70))
    source.open(position)
    assert read_all(source)[0] == [70]
    source.close()


def test_a_damaged_row_is_refused_and_the_next_one_read(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with EventLog(path) as log:
        for number in range(3):
            log.append(events(number))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE wal SET bytes = X'7B7D' WHERE id = 2")
    (batch,) = batches_of(SqliteWal(path=str(path), message="event"))
    assert batch["n"].tolist() == [0, 2]
    assert [(item.row, item.reason) for item in batch.rejected] == [(200_001, "bad_checksum")]


def test_two_logs_of_one_file_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with EventLog(path) as one, EventLog(path) as other:
        threads = [
            threading.Thread(target=_append_all, args=(log, range(start, start + 50)))
            for log, start in ((one, 0), (other, 50))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(numbers_in(path)) == list(range(100))


def _append_all(log: EventLog, numbers: Sequence[int]) -> None:
    for number in numbers:
        log.append(events(number))


KILLED = """
import sys
from pathlib import Path
from tocsin import log as lines
from tocsin.sources.base_event_log import EventLog
lines.configure("error")
with EventLog(Path(sys.argv[1]), key="id") as log:
    for number in range(int(sys.argv[2]), 10**9):
        log.append([b'{"id":"e%d","n":%d}' % (number, number)])
        print(number, flush=True)
"""


@pytest.mark.soak
def test_what_was_answered_survives_a_kill(
    tmp_path: Path, rng: np.random.Generator, rounds: Callable[[int, int], int]
) -> None:
    path, answered = tmp_path / "events.db", -1
    for _ in range(rounds(4, 60)):
        command = [sys.executable, "-c", KILLED, str(path), str(answered + 1)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
            assert process.stdout is not None
            for _ in range(int(rng.integers(1, 120))):
                answered = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            answered = max([answered, *(int(line) for line in process.stdout.read().split() if line)])
    kept = Counter(numbers_in(path))
    assert set(range(answered + 1)) <= set(kept)
    assert max(kept.values()) == 1


def test_what_is_appended_and_refused_is_counted(tmp_path: Path) -> None:
    before = counters()
    with EventLog(tmp_path / "events.db", limit_bytes=70_000) as log:
        log.append(events(1, 2))
        with pytest.raises(LimitExceeded):
            log.append([b'{"text":"' + b"x" * 60_000 + b'"}'])
    after = counters()
    for name, amount in (("tocsin_events_appended_total", 2), ("tocsin_event_log_full_total", 1)):
        assert after[name] - before.get(name, 0) == amount
