"""A database keeps what it said it kept: beside other programs, across schemas, killed, full and broken."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest

from tocsin import log
from tocsin.database import BACKUPS, Database, rows_of
from tocsin.errors import ConflictError, IntegrityError, NewerFormatError, NotStored, RegistryError, TocsinError

OURS = 0x746F6373
MIGRATIONS = (
    """
    CREATE TABLE readings (host TEXT NOT NULL, at INTEGER NOT NULL, value REAL, PRIMARY KEY (host, at)) STRICT;
    CREATE INDEX by_time ON readings (at)
    """,
    """
    -- a column of its own for what was part of the name; here and below
    ALTER TABLE readings ADD COLUMN site TEXT NOT NULL DEFAULT '';
    UPDATE readings SET site = substr(host, 1, 2)
    """,
    """
    CREATE TABLE hosts (host TEXT PRIMARY KEY) STRICT;
    INSERT INTO hosts SELECT DISTINCT host FROM readings;
    CREATE TABLE moved (
      host TEXT NOT NULL REFERENCES hosts (host), at INTEGER NOT NULL, value REAL, site TEXT NOT NULL DEFAULT '',
      PRIMARY KEY (host, at)
    ) STRICT;
    INSERT INTO moved SELECT host, at, value, site FROM readings;
    DROP TABLE readings;
    ALTER TABLE moved RENAME TO readings;
    CREATE INDEX by_time ON readings (at)
    """,
)
ROWS = 500


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "readings.db"


def opened(path: Path, schema: int = len(MIGRATIONS), wait_s: float = 10.0) -> Database:
    return Database(path, OURS, MIGRATIONS[:schema], wait_s=wait_s)


def filled(path: Path, schema: int) -> str:
    """A database of some schema with rows; returns the digest of them."""
    with opened(path, 1) as database, database.transaction() as connection:
        rows = ((f"h{number % 7}", number, number / 3) for number in range(ROWS))
        connection.executemany("INSERT INTO readings VALUES (?, ?, ?)", rows)
    with opened(path, schema) as database:
        return digest(database)


def digest(database: Database) -> str:
    """Of all rows, by the columns that every schema has."""
    rows = database.rows("SELECT host, at, value FROM readings ORDER BY host, at")
    assert len(rows) == ROWS
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_committed_is_there_again_and_what_fails_leaves_nothing(path: Path) -> None:
    before = filled(path, 3)
    with opened(path) as database:
        with pytest.raises(KeyError), database.transaction() as connection:
            raise KeyError(connection.execute("DELETE FROM readings"))
        assert digest(database) == before
    with opened(path) as database:
        assert digest(database) == before
    assert path.stat().st_mode & 0o777 == 0o600


def test_every_promise_of_the_file_is_set(path: Path) -> None:
    filled(path, 3)
    with opened(path) as database:
        found = {
            name: database.rows(f"PRAGMA {name}")[0][0]
            for name in ("journal_mode", "synchronous", "mmap_size", "foreign_keys", "trusted_schema", "user_version")
        }
        assert found == {
            "journal_mode": "wal",
            "synchronous": 2,
            "mmap_size": 0,
            "foreign_keys": 1,
            "trusted_schema": 0,
            "user_version": 3,
        }
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"), database.transaction() as connection:
            connection.execute("INSERT INTO readings VALUES ('nobody', 1, 0.0, '')")


def test_a_mistake_in_a_statement_is_no_trouble_of_the_file(path: Path) -> None:
    with opened(path) as database:
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            database.rows("SELECT * FROM absent")
        with pytest.raises(sqlite3.ProgrammingError):
            database.rows("SELECT ?")
        assert database.rows("SELECT count(*) FROM readings") == [(0,)]


OPENS_AND_WAITS = """
import sys
from collections.abc import Callable
from pathlib import Path
from tocsin import log
from tocsin.database import Database
log.configure("error")
with Database(Path(sys.argv[1]), int(sys.argv[2]), ["CREATE TABLE t (a)"]):
    print("open", flush=True)
    sys.stdin.read()
"""


def test_one_process_at_a_time(path: Path) -> None:
    command = [sys.executable, "-c", OPENS_AND_WAITS, str(path), str(OURS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(ConflictError, match=r"a file in use .*\n.*another process works with it"):
            Database(path, OURS, ["CREATE TABLE t (a)"], wait_s=0.05)
        other.communicate()
    with Database(path, OURS, ["CREATE TABLE t (a)"], wait_s=0.05) as first:
        with pytest.raises(ConflictError):
            Database(path, OURS, [], wait_s=0.05)
        assert first.rows("SELECT count(*) FROM t") == [(0,)]


def test_a_program_that_knows_no_lock_is_waited_for_and_named(path: Path) -> None:
    filled(path, 3)
    with closing(sqlite3.connect(path)) as foreign:
        foreign.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ConflictError, match="database is locked"):
            opened(path, wait_s=0.05)


@pytest.mark.parametrize(
    ("content", "refusal", "words"),
    [
        (b"no database at all, but long enough to look like one" * 50, IntegrityError, "file is not a database"),
        (b"SQLite format 3\0" + bytes(5_000), IntegrityError, "a damaged file"),
    ],
)
def test_what_is_no_database_is_refused_and_left_as_it_is(
    content: bytes, refusal: type[TocsinError], words: str, path: Path
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(refusal, match=words):
        opened(path)
    assert path.read_bytes() == content


def test_the_database_of_another_program_is_refused_and_left_as_it_is(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as foreign:
        foreign.execute("CREATE TABLE precious (a)")
    content = path.read_bytes()
    with pytest.raises(RegistryError, match="a database of another program"):
        opened(path)
    assert path.read_bytes() == content


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(RegistryError, match="a refused read or write"):
        opened(path)
    assert not (tmp_path / "elsewhere.db").exists()


def test_a_newer_schema_is_refused_and_left_as_it_is(path: Path) -> None:
    filled(path, 3)
    before = contents(path.parent)
    with pytest.raises(NewerFormatError, match="schema 3, wanted at most 2"):
        opened(path, 2)
    assert contents(path.parent) == before


def test_an_older_schema_is_brought_up_and_kept_beside(path: Path) -> None:
    before = filled(path, 1)
    counted = log.counters().get("tocsin_databases_migrated_total", 0)
    with opened(path) as database:
        assert digest(database) == before
        assert database.rows("SELECT count(*) FROM hosts") == [(7,)]
    assert log.counters()["tocsin_databases_migrated_total"] == counted + 1
    backup = path.with_name("readings.db.1.backup")
    assert backup.stat().st_mode & 0o777 == 0o600
    with opened(backup, 1) as database:
        assert digest(database) == before


def test_so_many_backups_are_kept(path: Path) -> None:
    steps = tuple(f"CREATE TABLE t{number} (a)" for number in range(1, 13))
    for schema in range(1, 13):
        Database(path, OURS, steps[:schema]).close()
    assert sorted(path.name for path in path.parent.glob("*.backup")) == [
        "readings.db.10.backup",
        "readings.db.11.backup",
    ]
    assert BACKUPS == 2


def test_a_step_that_fails_leaves_the_schema_before(path: Path) -> None:
    before = filled(path, 1)
    with pytest.raises(sqlite3.OperationalError):
        Database(path, OURS, (MIGRATIONS[0], "DELETE FROM readings; SELECT nonsense"))
    with opened(path, 1) as database:
        assert digest(database) == before


def test_begun_anew_the_file_is_empty(path: Path) -> None:
    filled(path, 3)
    with Database(path, OURS, MIGRATIONS, anew=True) as database:
        assert database.rows("SELECT count(*) FROM readings") == [(0,)]


KILLED = """
import os, shutil, signal, sqlite3, sys
from functools import partial
from pathlib import Path
from tocsin import log
from tocsin.database import Database

log.configure("error")
template, folder, application = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
migrations = sys.argv[4:]
statements = left = 0

class Traced(sqlite3.Connection):
    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.set_trace_callback(traced)

def traced(statement):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

sqlite3.connect = partial(sqlite3.connect, factory=Traced)
while True:
    statements += 1
    place = folder / f"{statements:03d}"
    shutil.copytree(template, place)
    child = os.fork()
    if not child:
        left = statements
        Database(place / "readings.db", application, migrations).close()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(statements, -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), flush=True)
    if not os.WIFSIGNALED(status):
        break
"""
"""A process that forks another for every statement of a migration; the k-th is killed before its k-th statement."""


def test_killed_before_any_statement_a_migration_goes_on(tmp_path: Path) -> None:
    template, folder = tmp_path / "template", tmp_path / "killed"
    before = filled(template / "readings.db", 1)
    command = [sys.executable, "-c", KILLED, str(template), str(folder), str(OURS), *MIGRATIONS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    ends = [line.split()[1] for line in done.stdout.splitlines()]
    steps = sum(script.count(";") + 1 for script in MIGRATIONS[1:])
    assert len(ends) > steps + 2 * len(MIGRATIONS[1:])
    assert ends == [str(-signal.SIGKILL)] * (len(ends) - 1) + ["0"]
    found = set()
    for place in sorted(folder.iterdir()):
        path = place / "readings.db"
        with closing(sqlite3.connect(path)) as killed:
            (schema,) = killed.execute("PRAGMA user_version").fetchone()
            assert killed.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found.add(schema)
        with opened(path, schema) as database:
            assert digest(database) == before
        if schema > 1:
            with pytest.raises(NewerFormatError):
                opened(path, schema - 1)
        with opened(path) as database:
            assert digest(database) == before
        with opened(path.with_name("readings.db.1.backup"), 1) as database:
            assert digest(database) == before
        assert not list(place.glob("*.partial"))
        with Database(path, OURS, (*MIGRATIONS, "CREATE TABLE later (a)")) as database:
            assert digest(database) == before
        with pytest.raises(NewerFormatError):
            opened(path)
    assert found == {1, 2, 3}


def test_on_a_full_disk_nothing_is_lost_and_it_goes_on_with_room_again(disk: Path, rng: np.random.Generator) -> None:
    path = disk / "readings.db"
    before, filler = filled(path, 3), disk / "filler"
    filler.write_bytes(bytes(2 * 2**20))
    with opened(path) as database:
        kept, refused = 0, list[str]()
        for _ in range(40):
            try:
                with database.transaction() as connection:
                    connection.execute("CREATE TABLE IF NOT EXISTS noise (bytes BLOB NOT NULL)")
                    connection.execute("INSERT INTO noise VALUES (?)", (rng.bytes(400_000),))
                kept += 1
            except RegistryError as error:
                refused.append(error.problem.got)
        assert kept > 3
        assert len(refused) > 3
        assert all(got.startswith("no room to write it") for got in refused)
        assert database.rows("SELECT count(*) FROM noise") == [(kept,)]
        assert digest(database) == before
        with pytest.raises(RegistryError, match="what was committed before still holds; free some space"):
            Database(path.with_name("another.db"), OURS, (*MIGRATIONS, f"CREATE TABLE t AS SELECT zeroblob({2**23})"))
    filler.unlink()
    with opened(path) as database:
        assert database.rows("PRAGMA integrity_check") == [("ok",)]
        with database.transaction() as connection:
            connection.execute("INSERT INTO noise VALUES (?)", (rng.bytes(400_000),))
        assert database.rows("SELECT count(*) FROM noise") == [(kept + 1,)]
        assert digest(database) == before


def test_no_room_for_the_backup_leaves_the_old_schema(disk: Path, rng: np.random.Generator) -> None:
    path = disk / "readings.db"
    before = filled(path, 1)
    filler = disk / "filler"
    with suppress(OSError):
        filler.write_bytes(bytes(8 * 2**20))
    with pytest.raises(RegistryError, match="no room to write it"):
        opened(path)
    assert [item.name for item in disk.glob("*.backup*")] == []
    with opened(path, 1) as database:
        assert digest(database) == before
    filler.unlink()
    with opened(path) as database:
        assert digest(database) == before


WRITES = """
import os, sys
from pathlib import Path
from tocsin import log
from tocsin.database import Database
from tocsin.errors import RegistryError

log.configure("error")
with Database(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]) as database:
    for number in range(1_000, 1_020):
        try:
            with database.transaction() as connection:
                connection.execute("INSERT INTO readings VALUES ('h0', ?, 0.0)", (number,))
            print("committed", number, flush=True)
        except RegistryError as error:
            print("refused", number, "this write counts as lost" in str(error), flush=True)
"""


@pytest.mark.parametrize("when", range(3, 12))
def test_an_error_of_the_device_is_the_end_of_that_opening(
    when: int, path: Path, need: Callable[[bool, str], None]
) -> None:
    need(shutil.which("strace") is not None, "no strace is installed")
    filled(path, 1)
    command = [sys.executable, "-c", WRITES, str(path), str(OURS), MIGRATIONS[0]]
    traced = ["strace", "-f", "-o", os.devnull, "-e", "trace=fdatasync,fsync"]
    injected = [*traced, "-e", f"inject=fdatasync,fsync:error=EIO:when={when}"]
    done = subprocess.run([*injected, *command], capture_output=True, text=True, check=False)
    lines = [line.split() for line in done.stdout.splitlines()]
    committed = [int(line[1]) for line in lines if line[0] == "committed"]
    refused = [line for line in lines if line[0] == "refused"]
    assert refused, done.stderr
    assert all(line[2] == "True" for line in refused)
    assert lines == [*lines[: len(committed)], *refused], "nothing is committed behind an error"
    with opened(path, 1) as database:
        assert database.rows("PRAGMA integrity_check") == [("ok",)]
        found = {at for (at,) in database.rows("SELECT at FROM readings WHERE at >= 1000")}
    assert set(committed) <= found <= {*committed, int(refused[0][1])}


def test_another_process_looks_in_while_a_shared_file_is_written_and_changes_nothing(path: Path) -> None:
    with pytest.raises(NotStored):
        rows_of(path, "SELECT 1")
    path.parent.mkdir()
    path.touch()
    with pytest.raises(NotStored, match="an empty file"):
        rows_of(path, "SELECT 1")
    with Database(path, OURS, MIGRATIONS, shared=True) as database:
        with database.transaction() as connection:
            connection.execute("INSERT INTO hosts VALUES ('a')")
        assert rows_of(path, "SELECT host FROM hosts") == [("a",)]
        with database.transaction() as connection:
            connection.execute("INSERT INTO hosts VALUES ('b')")
            assert rows_of(path, "SELECT count(*) FROM hosts") == [(1,)]
        with pytest.raises(RegistryError, match="readonly"):
            rows_of(path, "INSERT INTO hosts VALUES ('c')")
    assert rows_of(path, "SELECT host FROM hosts WHERE host > ?", "a") == [("b",)]
    path.write_bytes(b"no database " * 1_000)
    with pytest.raises(IntegrityError):
        rows_of(path, "SELECT 1")
