"""Recorded walks, as snmpwalk writes them and as nobody should."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sources.snmp_agent import IF, OCTETS, UPTIME

from tocsin.records import ROW, Batch
from tocsin.sources.snmp_walk import SnmpWalk

STORE = "1.3.6.1.2.1.25.2.3.1"
TYPES = ("", "STRING: ", "Hex-STRING: ", "OID: ", "Counter32: ", "Timeticks: ")


def walk(folder: Path, text: str, name: str = "core-1.walk") -> list[Batch]:
    (folder / name).write_text(text)
    source = SnmpWalk(path=str(folder / name))
    source.open()
    batches = []
    while not source.ended:
        if (batch := source.read(0.1)) is not None:
            batches.append(batch)
    return batches


def test_a_walk_is_read_as_snmpwalk_writes_it_with_and_without_its_options(tmp_path: Path) -> None:
    plain = [
        ".1.3.6.1.2.1.1.1.0 = STRING: Some router",
        '.1.3.6.1.2.1.1.4.0 = STRING: "two',
        'lines"',
        ".1.3.6.1.2.1.1.3.0 = Timeticks: (360000) 1:00:00.00",
        '.1.3.6.1.2.1.2.2.1.2.7 = STRING: "ge-0/0/7"',
        ".1.3.6.1.2.1.2.2.1.2.8 = Hex-STRING: 67 65 00 ",
        "00 ",
        ".1.3.6.1.2.1.2.2.1.3.8 = INTEGER: ethernetCsmacd(6)",
        ".1.3.6.1.2.1.2.2.1.10.7 = Counter32: 1000",
        ".1.3.6.1.2.1.2.2.1.10.8 = Counter32: 10",
        ".1.3.6.1.2.1.99 = No Such Object available on this agent at this OID",
    ]
    bare = [".1.3.6.1.2.1.1.3.0 = 366000", '.1.3.6.1.2.1.2.2.1.2.7 = "ge-0/0/7"', ".1.3.6.1.2.1.2.2.1.10.7 = 1600"]
    (batch,) = walk(tmp_path, "\n".join(["2026-01-05T01:00:00+01:00", *plain, "2026-01-05T00:01:00Z", *bare, ""]))
    assert batch.rejected == ()
    assert batch["device_id"].tolist() == ["core-1", "core-1"]
    assert batch["timestamp"].astype(str).tolist() == ["2026-01-05T00:00:00.000000", "2026-01-05T00:01:00.000000"]
    assert batch["sys_uptime_sec"].tolist() == [3_600, 3_660]
    assert batch[OCTETS].tolist() == [1_010, 1_610]
    assert batch[ROW].tolist() == [1, 13]


def test_a_poll_without_values_and_a_line_that_is_none_are_refused_alone(tmp_path: Path) -> None:
    times = [f"2026-01-05T00:0{minute}:00Z" for minute in range(3)]
    text = f"{times[0]}\n.1.3.6.1.2.1.1.3.0 = 5\nTimeout: No Response\n{times[1]}\n{times[2]}\n.1.3.6.1.2.1.1.3.0 = 9\n"
    (batch,) = walk(tmp_path, text)
    assert [(item.row, item.reason) for item in batch.rejected] == [(3, "wrong_format"), (4, "no_answer")]
    assert batch[ROW].tolist() == [1, 5]


def test_hexadecimal_digits_are_the_rest_of_a_hex_string_or_a_line_that_is_none(tmp_path: Path) -> None:
    name = [f".{IF}.2.8 = Hex-STRING: 67 65", "00", "00 01"]
    lines = ["2026-01-05T00:00:00Z", f".{UPTIME} = 5", "DE AD", *name, f".{IF}.10.8 = 7", "00"]
    (batch,) = walk(tmp_path, "\n".join(lines))
    assert [(item.row, item.reason, item.raw) for item in batch.rejected] == [
        (3, "wrong_format", "DE AD"),
        (8, "wrong_format", "00"),
    ]
    assert batch[OCTETS].tolist() == [7]


def test_a_poll_of_other_objects_alone_was_answered_and_tells_nothing(tmp_path: Path) -> None:
    text = f"2026-01-05T00:00:00Z\n.1.3.6.1.2.1.99.1 = 5\n2026-01-05T00:01:00Z\n.{UPTIME} = No Such Object here\n"
    (batch,) = walk(tmp_path, text)
    assert [(item.row, item.reason) for item in batch.rejected] == [(1, "no_values"), (3, "no_values")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (".1.3.6.1.2.1.1.3.0 = 5\n", "no_time"),
        ("2026-01-05T00:00:00\n", "no_offset"),
        ("2026-13-05T00:00:00Z\n", "not_a_time"),
    ],
)
def test_a_file_that_does_not_tell_its_times_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (batch,) = walk(tmp_path, text)
    assert [(item.row, item.reason) for item in batch.rejected] == [(0, reason)]


def test_totals_go_on_where_a_resumed_walk_does(tmp_path: Path) -> None:
    polls = [
        f"2026-01-05T00:0{n}:00Z\n.{UPTIME} = {6_000 * (n + 9)}\n.{IF}.10.1 = {(2**32 - 500 + 300 * n) % 2**32}\n"
        for n in range(4)
    ]
    (whole,) = walk(tmp_path, "".join(polls))
    source = SnmpWalk(path=str(tmp_path / "core-1.walk"))
    source.open()
    first = source.read(0.1)
    assert first is not None
    position = source.acknowledge(first.take(slice(0, 2)))
    source.open(position)
    rest = source.read(0.1)
    assert rest is not None
    assert rest[OCTETS].tolist() == whole[OCTETS][2:].tolist() == [2**32 + 100, 2**32 + 400]


@given(st.lists(st.tuples(st.sampled_from([UPTIME, f"{IF}.10.1", f"{STORE}.2.1"]), st.sampled_from(TYPES), st.text())))
def test_any_line_is_read_or_refused(lines: list[tuple[str, str, str]]) -> None:
    text = "".join(f".{name} = {kind}{value}\n{value}\n" for name, kind, value in lines)
    with TemporaryDirectory() as folder:
        batches = walk(Path(folder), f"2026-01-05T00:00:00Z\n{text}")
    assert sum(batch.rows + sum(bool(item.row) for item in batch.rejected) for batch in batches) >= 1
