from __future__ import annotations

import os
import shutil
import sqlite3
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin import observe
from tocsin.checks.source import batches_of
from tocsin.records import FILE, ROW, Batch, Position
from tocsin.schema import Field, Schema
from tocsin.sources.base import Intake, Tally
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
INSERT = "INSERT INTO wal (idem, ts_ns, bytes, checksum)"
NOW = 1_767_600_000_000_000_000
FLOW = {1: "192.0.2.1", 2: "192.0.2.9", 3: 51_000, 4: 443, 5: "TCP", 6: 1_200, 7: 300, 9: NOW, 14: 2_500}
SCHEMA = Schema(
    key="idempotency_key",
    fields={
        "timestamp": Field(dtype="time"),
        "src_ip": Field(dtype="address"),
        "idempotency_key": Field(dtype="category"),
    },
)

Row = tuple[str, bytes, bytes]


def varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number % 128 + 128]) + varint(number // 128)


def message(fields: Mapping[int, Any]) -> bytes:
    """The wire format by its definition, so that the reader is not tested against itself."""
    parts = []
    for number, given_value in fields.items():
        for value in given_value if isinstance(given_value, list) else [given_value]:
            if isinstance(value, int):
                parts.append(varint(number << 3) + varint(value))
            elif isinstance(value, float):
                parts.append(varint(number << 3 | 1) + struct.pack("<d", value))
            else:
                raw = value.encode() if isinstance(value, str) else value
                parts.append(varint(number << 3 | 2) + varint(len(raw)) + raw)
    return b"".join(parts)


def row(key: str, fields: Mapping[int, Any]) -> Row:
    data = message({1: "v1", 2: NOW, 3: key, **fields})
    return key, data, checksum(data)


def checksum(data: bytes) -> bytes:
    return blake2b(data, digest_size=32).digest()


def flow(key: str) -> Row:
    return row(key, {4: message(FLOW)})


def device(key: str, metrics: Sequence[Mapping[int, Any]]) -> Row:
    events = [message({1: "event", 2: "METRIC", 5: message(metric)}) for metric in metrics]
    return row(key, {6: message({1: "router-1", 2: "NETWORK", 5: events, 7: NOW + 5, 8: "snmp"})})


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
        database.executemany(f"{INSERT} VALUES (?, 0, ?, ?)", rows)


def stored(path: Path, rows: Sequence[Row], *, table: str = TABLE) -> Path:
    write(path, rows, table=table).close()
    return path


def refused(batches: Iterable[Batch]) -> list[tuple[int, str]]:
    return [(item.row, item.reason) for batch in batches for item in batch.rejected]


def tally_of(source: SqliteWal) -> Tally:
    intake = Intake(source, SCHEMA)
    assert sum(batch.rows for batch in intake) == intake.tally.passed_on
    return intake.tally


def first(batch: Batch) -> dict[str, Any]:
    return {name: column.tolist()[0] for name, column in batch.items() if not name.startswith("_")}


def test_a_flow_has_the_columns_of_the_preset(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.db", [flow("k")])
    (batch,) = batches_of(SqliteWal(path=str(path)))
    assert first(batch) == {
        "timestamp": NOW,
        "src_ip": "192.0.2.1",
        "dst_ip": "192.0.2.9",
        "src_port": 51_000,
        "dst_port": 443,
        "protocol": "TCP",
        "bytes_in": 1_200,
        "bytes_out": 300,
        "duration_s": 2.5,
        "flags": 0,
        "idempotency_key": "k",
    }


def test_the_other_names_of_a_field_are_read_too(tmp_path: Path) -> None:
    other = {1: "192.0.2.1", 2: "192.0.2.9", 11: 64, 12: 128, 13: "UDP"}
    path = stored(tmp_path / "a.db", [row("k", {4: message(other)})])
    (batch,) = batches_of(SqliteWal(path=str(path)))
    read = first(batch)
    assert (read["bytes_in"], read["bytes_out"], read["protocol"], read["timestamp"]) == (64, 128, "UDP", NOW)


@pytest.mark.parametrize(
    ("times", "lasted"),
    [
        ({14: 15}, 0.015),
        ({}, 0.0),
        ({9: NOW, 10: NOW + 1_500_000_000}, 1.5),
        ({9: 1_767_600_000, 10: 1_767_600_007}, 7.0),
        ({9: 1_767_600_000_000, 10: 1_767_600_000_015, 14: 15}, 0.015),
        ({9: NOW}, 0.0),
        ({9: NOW, 10: NOW - 10**9}, -1.0),
        ({10: NOW}, 0.0),
    ],
    ids=["milliseconds", "nothing", "span", "span in seconds", "both", "no end", "end before start", "no start"],
)
def test_a_duration_is_what_the_flow_says_of_it(times: dict[int, int], lasted: float, tmp_path: Path) -> None:
    path = stored(tmp_path / "a.db", [row("k", {4: message({1: "192.0.2.1", 2: "192.0.2.9", **times})})])
    (batch,) = batches_of(SqliteWal(path=str(path)))
    assert batch["duration_s"].tolist() == [pytest.approx(lasted)]


def test_old_forms_of_an_envelope_are_read(tmp_path: Path) -> None:
    key, data, _ = flow("copy")
    rows = [
        (key, data, data),
        row("enclosed", {7: message(FLOW)}),
        row("signed", {4: message(FLOW), 5: b"s" * 64, 6: b"p" * 64}),
    ]
    (batch,) = batches_of(SqliteWal(path=str(stored(tmp_path / "a.db", rows))))
    assert batch["idempotency_key"].tolist() == ["copy", "enclosed", "signed"]
    assert set(batch["bytes_in"].tolist()) == {1_200}


def test_fields_of_a_later_schema_are_passed_over(tmp_path: Path) -> None:
    later = {4: message(FLOW | {40: "new", 41: 7}), 8: 3, 18: 2, 99: message({1: 0.5})}
    (batch,) = batches_of(SqliteWal(path=str(stored(tmp_path / "a.db", [row("k", later)]))))
    assert batch["src_ip"].tolist() == ["192.0.2.1"]
    assert batch.rejected == ()


GARBAGE = b"\x00\xff" * 20
BROKEN: dict[str, Callable[[str], Row]] = {
    "bad_checksum": lambda key: (key, flow(key)[1][:-1], flow(key)[2]),
    "not_an_envelope": lambda key: (key, GARBAGE, checksum(GARBAGE)),
    "wrong_key": lambda key: (key, *flow("another")[1:]),
    "no_payload": lambda key: row(key, {5: b"s" * 64}),
    "other_message": lambda key: device(key, [{1: "cpu_avg_pct", 3: 5.0}]),
    "too_large": lambda key: row(key, {4: message(FLOW), 90: bytes(131_073)}),
}


@pytest.mark.parametrize("reason", BROKEN)
def test_a_broken_envelope_is_refused_with_its_reason_and_stops_no_other(reason: str, tmp_path: Path) -> None:
    path = stored(tmp_path / "a.db", [flow("a"), BROKEN[reason]("b"), flow("c")])
    batches = batches_of(SqliteWal(path=str(path)))
    assert refused(batches) == [(2, reason)]
    assert [number for batch in batches for number in batch[ROW].tolist()] == [1, 3]


def test_a_refused_envelope_keeps_how_it_began(tmp_path: Path) -> None:
    (batch,) = batches_of(SqliteWal(path=str(stored(tmp_path / "a.db", [BROKEN["not_an_envelope"]("k")]))))
    assert batch.rejected[0].raw == GARBAGE.hex()


def test_the_largest_envelope_is_still_read(tmp_path: Path) -> None:
    room = 131_072 - len(row("k", {4: message(FLOW)})[1]) - 5
    largest = row("k", {4: message(FLOW), 15: bytes(room + 1)})
    assert len(largest[1]) == 131_072
    (batch,) = batches_of(SqliteWal(path=str(stored(tmp_path / "a.db", [largest]))))
    assert batch.rows == 1


@given(
    kinds=st.lists(st.sampled_from(["good", *BROKEN]), max_size=25),
    again=st.lists(st.integers(0, 24), max_size=10, unique=True),
    rows=st.integers(1, 8),
)
@settings(max_examples=40, deadline=None)
def test_every_envelope_is_scored_refused_or_a_duplicate(
    kinds: list[str], again: list[int], rows: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("wal")
    written = [flow(f"k{n}") if kind == "good" else BROKEN[kind](f"k{n}") for n, kind in enumerate(kinds)]
    repeated = [flow(f"k{n}") for n in again]
    stored(folder / "agent.db", written)
    stored(folder / "bus.db", repeated)
    tally = tally_of(SqliteWal(path=str(folder / "*.db"), rows=rows))
    wrong = Counter(kind for kind in kinds if kind != "good")
    twice = sum(n < len(kinds) and kinds[n] == "good" for n in again)
    assert tally.reasons == wrong
    assert tally.duplicates == twice
    assert tally.received == len(written) + len(repeated) == tally.passed_on + tally.quarantined + tally.duplicates


def test_a_table_without_its_index_gives_each_envelope_once(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.db", [flow("a"), flow("b"), flow("a")], table=TABLE.partition("CREATE UNIQUE")[0])
    tally = tally_of(SqliteWal(path=str(path), rows=1))
    assert (tally.received, tally.passed_on, tally.duplicates) == (3, 2, 1)


@given(data=st.binary(max_size=300), kind=st.sampled_from(["flow", "device"]), inside=st.integers(0, 8))
@settings(max_examples=150, deadline=None)
def test_no_bytes_stop_the_reader(
    data: bytes, kind: Any, inside: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = [row("k", {inside: data}) if inside else ("k", data, checksum(data)), row("last", {})]
    path = stored(tmp_path_factory.mktemp("wal") / "a.db", rows)
    batches = batches_of(SqliteWal(path=str(path), message=kind))
    assert sum(batch.rows + len(batch.rejected) for batch in batches) == 2
    assert {reason for _, reason in refused(batches)} <= {"not_an_envelope", "wrong_key", "no_payload", "other_message"}


def test_messages_nested_without_end_are_refused(tmp_path: Path) -> None:
    groups = b"\xa3\x06" * 50_000  # field 100 begins a group, again and again
    nested = b""
    while len(nested) < 100_000:
        nested = message({6: nested, 100: nested[:10]})
    rows = [("g", groups, checksum(groups)), row("n", {4: nested}), row("m", {6: message({1: "d", 5: [b""] * 60_000})})]
    path = stored(tmp_path / "a.db", rows)
    assert refused(batches_of(SqliteWal(path=str(path)))) == [(1, "not_an_envelope"), (3, "other_message")]
    (batch,) = batches_of(SqliteWal(path=str(path), message="device"))
    assert batch["device_id"].tolist() == ["d"]


def test_what_is_no_text_in_a_key_is_a_wrong_key(tmp_path: Path) -> None:
    with closing(write(tmp_path / "a.db", [flow("a")])) as database:
        rows = [(key, *flow("a")[1:]) for key in (b"\xff", "", 7)]
        database.executemany(f"{INSERT} VALUES (?, 0, ?, ?)", rows)
        database.execute("UPDATE wal SET idem = CAST(x'FF' AS TEXT) WHERE id = 4")
    (batch,) = batches_of(SqliteWal(path=str(tmp_path / "a.db")))
    assert refused([batch]) == [(2, "wrong_key"), (3, "wrong_key"), (4, "wrong_key")]
    assert batch.rows == 1


def test_a_device_becomes_a_row_with_a_column_per_metric(tmp_path: Path) -> None:
    metrics: list[dict[int, Any]] = [
        {1: "cpu_avg_pct", 2: "GAUGE", 3: 12.5, 7: "percent"},
        {1: "proc_new"},
        {1: "link_up", 5: 1},
        {1: "sysDescr", 4: "Linux"},
        {1: "raw", 6: b"\x01"},
        {1: "if_errors", 3: 4.0, 8: [message({1: "port", 2: "3"}), message({1: "dir", 2: "in"})]},
        {3: 1.0},
    ]
    rows = [
        device("a", metrics),
        flow("b"),
        device("c", [{1: "proc_new", 3: 2.0}]),
        row("d", {7: message({1: b"\n\x01d"})}),
    ]
    (batch,) = batches_of(SqliteWal(path=str(stored(tmp_path / "a.db", rows)), message="device"))
    assert first(batch) == {
        "cpu_avg_pct": 12.5,
        "proc_new": 0.0,
        "link_up": 1.0,
        "if_errors{dir=in,port=3}": 4.0,
        "timestamp": NOW + 5,
        "device_id": "router-1",
        "device_type": "NETWORK",
        "collection_agent": "snmp",
        "idempotency_key": "a",
    }
    assert np.array_equal(batch["cpu_avg_pct"], [12.5, np.nan], equal_nan=True)
    assert refused([batch]) == [(2, "other_message"), (4, "other_message")]


def test_a_device_cannot_take_the_names_of_the_envelope(tmp_path: Path) -> None:
    metrics = [{1: "timestamp", 3: 1.0}, {1: "device_id", 3: 2.0}, {1: "_row", 3: 3.0}]
    (batch,) = batches_of(SqliteWal(path=str(stored(tmp_path / "a.db", [device("a", metrics)])), message="device"))
    assert (batch["timestamp"].tolist(), batch["device_id"].tolist(), batch[ROW].tolist()) == (
        [NOW + 5],
        ["router-1"],
        [1],
    )


def test_metrics_beyond_the_limit_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [device(f"k{part}", [{1: f"m{part}_{n}", 3: 1.0} for n in range(600)]) for part in range(3)]
    path = stored(tmp_path / "a.db", rows)
    counter = 'tocsin_columns_left_out_total{reason="too_many_columns",source="sqlite_wal"}'
    before = observe.counters().get(counter, 0)
    batches = batches_of(SqliteWal(path=str(path), message="device", rows=2))
    assert len({name for batch in batches for name in batch} - {FILE, ROW}) == 1_024
    assert {"device_id", "timestamp", "idempotency_key"} <= set(batches[-1])
    assert observe.counters()[counter] - before == 1_800 + 5 - 1_024


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
    large = [row(f"k{n}", {4: message(FLOW), 90: bytes(130_000)}) for n in range(300)]
    batches = batches_of(SqliteWal(path=str(stored(tmp_path / "a.db", large))))
    assert len(batches) == 2
    assert sum(batch.rows for batch in batches) == 300


def test_reading_goes_on_behind_a_position(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.db", [flow(f"k{n}") for n in range(9)])
    batches = batches_of(SqliteWal(path=str(path), rows=4), Position("sqlite_wal", {str(path): 7}))
    assert [batch[ROW].tolist() for batch in batches] == [[8, 9]]


def test_without_protobuf_the_extra_is_named() -> None:
    script = (
        "import sys; sys.modules['google.protobuf'] = None\n"
        "from tocsin.component import part\n"
        "from tocsin.errors import MissingExtraError\n"
        "try:\n    part('sources', 'sqlite_wal')\nexcept MissingExtraError as error:\n    print(error.problem.hint)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout == "pip install 'tocsin[wal]'\n"
