"""Envelopes of a write-ahead log per second: opened, checked, decoded, deduplicated and through a schema.

100,000 envelopes lie in two databases, as an agent and the event bus keep them: 1 % damaged, 5 % in both. Beside ours
what one writes by hand: fetch, parse, and a dictionary for each message, with no check of any kind.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import numpy as np
import orjson
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError

from tocsin.schema import Field, Schema
from tocsin.sources.base import Intake, Tally
from tocsin.sources.base_envelopes import DeviceTelemetry, Envelope, FlowEvent, checksum_of
from tocsin.sources.sqlite_wal import TABLE, SqliteWal

ENVELOPES, DAMAGED, TWICE = 100_000, 1_000, 5_000
DEVICES, METRICS = 5_000, 43
"""The number of metrics that the `hosts` preset begins with."""
REPEATS = 3
START_NS = 1_767_600_000 * 10**9
BAR = 50_000

FLOWS = Schema(
    time="timestamp",
    entity="src_ip",
    key="idempotency_key",
    fields={
        "timestamp": Field(dtype="time"),
        "idempotency_key": Field(dtype="category"),
        **{name: Field(dtype="address", identity=True) for name in ("src_ip", "dst_ip")},
        **{name: Field(dtype="integer", minimum=0, maximum=65_535) for name in ("src_port", "dst_port")},
        "protocol": Field(dtype="category"),
        **{name: Field(dtype="integer", unit="bytes", minimum=0) for name in ("bytes_in", "bytes_out")},
        "duration_s": Field(dtype="float", unit="s", minimum=0),
    },
)
DEVICE_FIELDS = {f"metric_{number}": Field(dtype="float") for number in range(METRICS)}

Row = tuple[str, int, bytes, bytes]


def main(out: Path) -> None:
    """Measure, print a table, write the JSON."""
    with TemporaryDirectory() as folder:
        rows = list(damaged(flows(ENVELOPES - TWICE)))
        store(Path(folder, "bus.db"), rows)
        store(Path(folder, "agent.db"), rows[-TWICE:])
        store(Path(folder, "device.db"), devices(DEVICES))
        tally = read(Path(folder, "[ab]*.db"))
        rates = {
            "ours, flows": ENVELOPES / best(lambda: read(Path(folder, "[ab]*.db"))),
            f"ours, devices of {METRICS} metrics": DEVICES / best(lambda: read_devices(Path(folder, "device.db"))),
            "by hand, flows": ENVELOPES / best(lambda: by_hand(Path(folder, "bus.db"), Path(folder, "agent.db"))),
        }
    held = bars(tally, rates["ours, flows"])
    print("  ".join(f"{name} {number:,}" for name, number in counts(tally).items()))
    for name, rate in rates.items():
        print(f"{name:<30}{rate:>10,.0f}/s")
    print(orjson.dumps(held, option=orjson.OPT_INDENT_2).decode())
    figures = {"became": counts(tally), "reasons": tally.reasons, "per_s": rates, "bars": held}
    out.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))


def counts(tally: Tally) -> dict[str, int]:
    return {
        "read": tally.received,
        "scored": tally.passed_on,
        "quarantined": tally.quarantined,
        "duplicate": tally.duplicates,
    }


def bars(tally: Tally, rate: float) -> dict[str, bool]:
    """What the figures are held against."""
    expected = (ENVELOPES, ENVELOPES - DAMAGED - TWICE, DAMAGED, TWICE)
    return {
        "read = scored + quarantined + duplicate, each as planted": tuple(counts(tally).values()) == expected,
        f">= {BAR:,} envelopes/s": rate >= BAR,
    }


def flows(count: int) -> Iterator[Row]:
    random = np.random.default_rng(0)
    ports = random.integers(1_024, 65_536, count).tolist()
    sizes = random.lognormal(8.0, 2.0, (count, 2)).astype(int).tolist()
    for number, (port, (sent, received)) in enumerate(zip(ports, sizes, strict=True)):
        time = START_NS + number * 10**7
        flow = FlowEvent(
            src_ip=f"192.0.2.{number % 250}", dst_ip=f"198.51.100.{port % 250}", src_port=port, dst_port=443,
            protocol="TCP", bytes_sent=sent, bytes_recv=received, start_time=time, duration_ms=sent % 10_000,
        )  # fmt: skip
        yield row(random.bytes(32).hex(), time, flow=flow, sig_or_process=random.bytes(64))


def devices(count: int) -> Iterator[Row]:
    random = np.random.default_rng(0)
    for number in range(count):
        time = START_NS + number * 10**9
        device = DeviceTelemetry(device_id=f"router-{number % 50}", device_type="NETWORK", timestamp_ns=time)
        for place, value in enumerate(random.normal(50.0, 10.0, METRICS).tolist()):
            metric = device.events.add().metric_data
            metric.metric_name, metric.numeric_value = f"metric_{place}", value
        yield row(random.bytes(32).hex(), time, prev_sig_or_device=device.SerializeToString())


def row(key: str, time: int, **payload: Any) -> Row:
    data = Envelope(version="v1", ts_ns=time, idempotency_key=key, **payload).SerializeToString()
    return key, time, data, checksum_of(data)


def damaged(rows: Iterator[Row]) -> Iterator[Row]:
    """The first rows get one wrong byte each, every second of them before its checksum was made."""
    for number, (key, time, data, checksum) in enumerate(islice(rows, DAMAGED)):
        wrong = b"\xff" + data[1:]
        yield key, time, wrong, checksum_of(wrong) if number % 2 else checksum
    yield from rows


def store(path: Path, rows: Iterator[Row] | list[Row]) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute(TABLE)
        database.execute("CREATE UNIQUE INDEX wal_idem ON wal(idem)")
        database.executemany("INSERT INTO wal (idem, ts_ns, bytes, checksum) VALUES (?, ?, ?, ?)", rows)


def read(path: Path) -> Tally:
    intake = Intake(SqliteWal(path=str(path)), FLOWS)
    for _ in intake:
        pass
    return intake.tally


def read_devices(path: Path) -> None:
    fields = {name: FLOWS.fields[name] for name in ("timestamp", "idempotency_key")} | DEVICE_FIELDS
    intake = Intake(SqliteWal(path=str(path), message="device"), Schema(key="idempotency_key", fields=fields))
    assert sum(batch.rows for batch in intake) == DEVICES


def by_hand(*paths: Path) -> list[dict[str, Any]]:
    messages = []
    for path in paths:
        with closing(sqlite3.connect(path)) as database:
            for (data,) in database.execute("SELECT bytes FROM wal ORDER BY id"):
                try:
                    messages.append(MessageToDict(Envelope.FromString(data)))
                except DecodeError:
                    continue
    return messages


def best(work: Callable[[], object]) -> float:
    """CPU seconds of the fastest run: those of the clock on an idle machine, and the same on a busy one."""

    def once() -> float:
        start = process_time()
        work()
        return process_time() - start

    return min(once() for _ in range(REPEATS))
