"""Envelopes of AMOSKYS, written by the definition of their wire format and read from a database."""

from __future__ import annotations

import sqlite3
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin import log
from tocsin.checks.source import batches_of
from tocsin.records import FILE, ROW, Batch
from tocsin.schema import Field, Schema
from tocsin.sources.base import Intake, Tally
from tocsin.sources.sqlite_wal import TABLE, SqliteWal

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


def stored(path: Path, rows: Sequence[tuple[Any, bytes, bytes]]) -> Path:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(TABLE)
        database.executemany("INSERT INTO wal (idem, ts_ns, bytes, checksum) VALUES (?, 0, ?, ?)", rows)
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
        ({}, None),
        ({9: NOW, 10: NOW + 1_500_000_000}, 1.5),
        ({9: 1_767_600_000, 10: 1_767_600_007}, 7.0),
        ({9: 1_767_600_000_000, 10: 1_767_600_000_015, 14: 15}, 0.015),
        ({9: NOW, 10: NOW}, 0.0),
        ({9: NOW}, None),
        ({9: NOW, 10: NOW - 10**9}, -1.0),
        ({10: NOW}, None),
    ],
    ids=["milliseconds", "nothing", "span", "seconds", "both", "no time at all", "no end", "backwards", "no start"],
)
def test_a_duration_is_what_the_flow_says_of_it(times: dict[int, int], lasted: float | None, tmp_path: Path) -> None:
    path = stored(tmp_path / "a.db", [row("k", {4: message({1: "192.0.2.1", 2: "192.0.2.9", **times})})])
    (batch,) = batches_of(SqliteWal(path=str(path)))
    assert batch["duration_s"].tolist() == [pytest.approx(np.nan if lasted is None else lasted, nan_ok=True)]


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


def test_a_table_without_an_index_gives_each_envelope_once(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.db", [flow("a"), flow("b"), flow("a")])
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
    path = stored(tmp_path / "a.db", [(key, *flow("a")[1:]) for key in ("a", b"\xff", "", 7)])
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE wal SET idem = CAST(x'FF' AS TEXT) WHERE id = 4")
    (batch,) = batches_of(SqliteWal(path=str(path)))
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
    before = log.counters().get(counter, 0)
    batches = batches_of(SqliteWal(path=str(path), message="device", rows=2))
    assert len({name for batch in batches for name in batch} - {FILE, ROW}) == 1_024
    assert {"device_id", "timestamp", "idempotency_key"} <= set(batches[-1])
    assert log.counters()[counter] - before == 1_800 + 5 - 1_024
