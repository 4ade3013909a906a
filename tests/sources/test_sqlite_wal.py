"""Databases that others write, damage, lock and delete from while they are read."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from hashlib import file_digest
from pathlib import Path

from tocsin.checks.source import batches_of
from tocsin.records import FILE, ROW, Batch, Position
from tocsin.sources.base_envelopes import Envelope, FlowEvent, checksum_of
from tocsin.sources.sqlite_wal import SqliteWal

TABLE = """
CREATE TABLE wal (
  id INTEGER PRIMARY KEY AUTOINCREMENT, idem TEXT NOT NULL, ts_ns INTEGER NOT NULL,
  bytes BLOB NOT NULL, checksum BLOB NOT NULL, sig BLOB, prev_sig BLOB
);
CREATE UNIQUE INDEX wal_idem ON wal(idem);
CREATE INDEX wal_ts ON wal(ts_ns);
"""
"""As later agents make it: with two more columns."""

Row = tuple[str, bytes, bytes]


def flow(key: str, protocol: str = "TCP") -> Row:
    sent = FlowEvent(src_ip="192.0.2.1", dst_ip="192.0.2.9", protocol=protocol)
    data = Envelope(version="v1", ts_ns=1_767_600_000 * 10**9, idempotency_key=key, flow=sent).SerializeToString()
    return key, data, checksum_of(data)


def write(path: Path, rows: Sequence[Row], *, table: str = TABLE) -> sqlite3.Connection:
    """A writer that stays: what it wrote lies in the `-wal` file until it is closed."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.executescript(table)
    if rows:
        append(database, rows)
    return database


def append(database: sqlite3.Connection, rows: Iterable[Row]) -> None:
    with database:
        database.executemany("INSERT INTO wal (idem, ts_ns, bytes, checksum) VALUES (?, 0, ?, ?)", rows)


def stored(path: Path, rows: Sequence[Row], *, table: str = TABLE) -> Path:
    write(path, rows, table=table).close()
    return path


def refused(batches: Iterable[Batch]) -> list[tuple[int, str]]:
    return [(item.row, item.reason) for batch in batches for item in batch.rejected]


def test_a_writer_goes_on_while_its_database_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(write(path, [flow(f"a{n}") for n in range(5)])) as writer:
        source = SqliteWal(path=str(path), rows=2)
        source.open()
        position = None
        seen: list[int] = []
        while (batch := source.read(0.1)) is not None:
            seen += batch[ROW].tolist()
            position = source.acknowledge(batch)
            append(writer, [flow(f"b{len(seen)}")])
            assert writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0  # nobody is in its way
        source.close()
        assert seen == [1, 2, 3, 4, 5]
        after = batches_of(source, position)
        assert [number for batch in after for number in batch[ROW].tolist()] == [6, 7, 8]


def test_a_writer_may_delete_what_was_read(tmp_path: Path) -> None:
    with closing(write(tmp_path / "a.db", [flow(f"k{n}") for n in range(6)])) as writer:
        source = SqliteWal(path=str(tmp_path / "a.db"), rows=2)
        source.open()
        read = source.read(0.1)
        writer.execute("DELETE FROM wal WHERE id <= 3")
        rest = [source.read(0.1), source.read(0.1)]
        assert [batch[ROW].tolist() for batch in (read, *rest) if batch] == [[1, 2], [4, 5], [6]]


def killed_writer(path: Path, rows: int) -> None:
    """A database whose writer died: the whole table lies in the `-wal` file."""
    with closing(write(path, [flow(f"k{n}") for n in range(rows)])):
        for part in ("", "-wal"):
            shutil.copy(f"{path}{part}", f"{path}.copy{part}")
    for part in ("", "-wal"):
        shutil.move(f"{path}.copy{part}", f"{path}{part}")
    Path(f"{path}-shm").unlink(missing_ok=True)


def test_nothing_is_changed_or_checkpointed(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    killed_writer(path, 5)
    before = [Path(f"{path}{part}").read_bytes() for part in ("", "-wal")]
    batches = batches_of(source := SqliteWal(path=str(path), rows=2))
    assert sum(batch.rows for batch in batches) == 5
    assert [Path(f"{path}{part}").read_bytes() for part in ("", "-wal")] == before
    assert list(source.digests) == [str(path)]


def test_a_quiet_database_is_known_by_its_digest(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.db", [flow("k")])
    batches_of(source := SqliteWal(path=str(path)))
    with path.open("rb") as file:
        assert source.digests == {str(path): file_digest(file, "sha256").hexdigest()}


def test_a_wal_file_that_breaks_off_gives_what_was_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    killed_writer(path, 5)
    wal = Path(f"{path}-wal")
    with closing(sqlite3.connect(path)) as database:
        append(database, [flow("later")])
        content = wal.read_bytes()
        shutil.copy(path, tmp_path / "b.db")
    Path(f"{tmp_path / 'b.db'}-wal").write_bytes(content[:-1_000])
    batches = batches_of(SqliteWal(path=str(tmp_path / "b.db")))
    assert sum(batch.rows for batch in batches) == 5
    assert refused(batches) == [(0, "truncated")]


def test_files_that_cannot_be_read_are_refused_and_the_others_go_on(tmp_path: Path) -> None:
    whole = stored(tmp_path / "z.db", [flow(f"k{n}") for n in range(100)]).read_bytes()
    (tmp_path / "a_cut.db").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "b_text.db").write_text("id,idem\n1,2\n" * 100)
    (tmp_path / "c_empty.db").write_bytes(b"")
    stored(tmp_path / "d_other.db", [], table="CREATE TABLE events (id INTEGER PRIMARY KEY)")
    stored(tmp_path / "e_view.db", [], table="CREATE VIEW wal AS SELECT 1 AS idem, 2 AS bytes, 3 AS checksum")
    stored(tmp_path / "f_short.db", [], table="CREATE TABLE wal (id INTEGER PRIMARY KEY, idem TEXT)")
    batches = batches_of(SqliteWal(path=str(tmp_path / "*.db")))
    assert refused(batches) == [
        (0, reason) for reason in ("corrupt", "wrong_format", "no_table", "no_table", "no_table", "no_table")
    ]
    assert sum(batch.rows for batch in batches) == 100


def test_a_damaged_page_gives_the_rows_before_it(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.db", [flow(f"k{n:04}") for n in range(500)])
    with closing(sqlite3.connect(path)) as database:
        size = database.execute("PRAGMA page_size").fetchone()[0]
    content = bytearray(path.read_bytes())
    place = content.index(b"k0250") // size * size
    content[place : place + size] = b"\xee" * size
    path.write_bytes(content)
    batches = batches_of(SqliteWal(path=str(path), rows=100))
    assert refused(batches) == [(0, "corrupt")]
    rows = [number for batch in batches for number in batch[ROW].tolist()]
    assert rows == list(range(1, len(rows) + 1))
    assert 200 < len(rows) < 251


def test_a_database_that_is_locked_is_refused(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.db", [flow("k")])
    with closing(sqlite3.connect(path, isolation_level=None)) as owner:
        owner.execute("PRAGMA locking_mode=EXCLUSIVE")
        owner.execute("DELETE FROM wal WHERE id = 9")
        assert refused(batches_of(SqliteWal(path=str(path)))) == [(0, "locked")]
    assert sum(batch.rows for batch in batches_of(SqliteWal(path=str(path)))) == 1


def test_a_database_with_no_room_beside_it_is_read_as_it_stands(tmp_path: Path) -> None:
    stored(tmp_path / "a.db", [flow("k")])
    path = tmp_path / f"{'a' * 250}.db"  # a name to which `-wal` cannot be added
    (tmp_path / "a.db").rename(path)
    (batch,) = batches_of(SqliteWal(path=str(path)))
    assert batch.rows == 1


def test_names_that_mean_something_in_an_address_are_names(tmp_path: Path) -> None:
    path = stored(tmp_path / "50%25 #1?mode=rw.db", [flow("k")])
    (batch,) = batches_of(SqliteWal(path=str(path)))
    assert batch[FILE].tolist() == [str(path)]


def test_batches_are_bounded_in_bytes(tmp_path: Path) -> None:
    large = [flow(f"k{n}", protocol="T" * 130_000) for n in range(300)]
    batches = batches_of(SqliteWal(path=str(stored(tmp_path / "a.db", large))))
    assert len(batches) == 2
    assert sum(batch.rows for batch in batches) == 300


def test_reading_goes_on_behind_a_position(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.db", [flow(f"k{n}") for n in range(9)])
    batches = batches_of(SqliteWal(path=str(path), rows=4), Position("sqlite_wal", {str(path): 7}))
    assert [batch[ROW].tolist() for batch in batches] == [[8, 9]]


def test_without_protobuf_events_are_read_and_for_all_else_the_extra_is_named() -> None:
    script = (
        "import sys; sys.modules['google.protobuf'] = None\n"
        "from tocsin.component import part\n"
        "from tocsin.errors import MissingExtraError\n"
        "kind = part('sources', 'sqlite_wal')\n"
        "print(kind(path='x', message='event').message)\n"
        "try:\n    kind(path='x')\nexcept MissingExtraError as error:\n    print(error.problem.hint)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout == "event\npip install 'tocsin[wal]'\n"
