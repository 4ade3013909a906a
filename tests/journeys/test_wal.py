"""A write-ahead database of AMOSKYS, from its envelopes to scores: flows, and what its agents tell of devices."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from tocsin.sources.base_envelopes import DeviceTelemetry, Envelope, FlowEvent, checksum_of
from tocsin.sources.sqlite_wal import TABLE

Run = Callable[..., CompletedProcess[str]]
Row = tuple[str, int, bytes, bytes]

CONFIG = """\
version: 1
name: edge
preset: flows/amoskys
source: {path: "wal/*.db"}
sinks: [{type: jsonl, path: alerts.jsonl}]
"""
DEVICES = """\
version: 1
name: devices
preset: hosts/amoskys
source: {type: sqlite_wal, message: device, path: devices.db}
labels: {windows: burn.json}
alerts: {budget: 1%}
gate: {anomaly_rate: null, leak: off}  # the windows remember the burn for half an hour; one column is the label
sinks: [{type: jsonl, path: alerts.jsonl}]
"""
START_NS = 1_772_409_600 * 10**9
FLOWS = 1_500
LEAK = 1_400
"""A flow of the test span that sends far too much."""


def envelopes(rng: np.random.Generator) -> Iterator[Row]:
    """One flow every ten seconds, of five hosts."""
    for number in range(FLOWS):
        time = START_NS + number * 10**10
        sent = 10**9 if number == LEAK else int(rng.normal(1_000, 50))
        flow = FlowEvent(
            src_ip=f"192.0.2.{number % 5 + 1}", dst_ip="198.51.100.9", src_port=int(rng.integers(40_000, 60_000)),
            dst_port=443, protocol="TCP", bytes_sent=sent, bytes_recv=int(rng.normal(5_000, 200)), start_time=time,
            duration_ms=int(rng.integers(100, 900)),
        )  # fmt: skip
        key = f"flow-{number}"
        data = Envelope(version="v1", ts_ns=time, idempotency_key=key, flow=flow).SerializeToString()
        yield key, time, data, checksum_of(data)


def store(path: Path, rows: list[Row]) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute(TABLE)
        database.executemany("INSERT INTO wal (idem, ts_ns, bytes, checksum) VALUES (?, ?, ?, ?)", rows)


@pytest.fixture
def site(folder: Path, rng: np.random.Generator) -> Path:
    """The bus holds every flow, three of them damaged; the agent still holds the last hundred."""
    rows = list(envelopes(rng))
    damaged = [(key, time, data[:-1], checksum) for key, time, data, checksum in rows[:3]]
    (folder / "wal").mkdir()
    store(folder / "wal" / "bus.db", damaged + rows[3:])
    store(folder / "wal" / "agent.db", rows[-100:])
    (folder / "tocsin.yaml").write_text(CONFIG, "utf-8")
    return folder


def test_flows_in_envelopes_are_learnt_from_and_scored(site: Path, tocsin: Run) -> None:
    assert tocsin("check", "--connect").returncode == 0

    trained = tocsin("train", "--promote", "--no-plots", "--json")
    assert trained.returncode == 0, trained.stdout + trained.stderr
    became = json.loads(trained.stdout)["rows"]
    assert became["received"] == FLOWS + 100
    assert (became["passed_on"], became["quarantined"], became["duplicates"]) == (FLOWS - 3, 3, 100)
    kept = [json.loads(line) for line in (site / "quarantine.jsonl").read_text("utf-8").splitlines()]
    assert {(entry["row"], entry["reason"]) for entry in kept} == {(row, "bad_checksum") for row in (1, 2, 3)}

    scored = tocsin("score", "wal/bus.db", "--output", "scores.csv", "--json")
    assert scored.returncode == 0, scored.stdout + scored.stderr
    with (site / "scores.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == FLOWS - 3
    (leak,) = (row for row in rows if row["origin"].endswith(f"bus.db:{LEAK + 1}"))
    assert leak["flagged"] == "1"
    assert float(leak["score"]) == max(float(row["score"]) for row in rows)


def polls(rng: np.random.Generator) -> Iterator[Row]:
    """One device a minute, under the names of the founding catalogue; its processor burns in the test span."""
    for number in range(POLLS):
        time = START_NS + number * 60 * 10**9
        load = 95.0 if number in BURN else float(rng.normal(20, 3))
        device = DeviceTelemetry(device_id="router-1", device_type="NETWORK", timestamp_ns=time)
        metrics = {
            "cpu_avg_pct": load, "cpu_max_pct": load + 2, "memory_used_pct": float(rng.normal(50, 1)),
            "net_bytes_in": float(rng.normal(1e6, 1e4)), "net_packets_in": float(rng.normal(1_500, 20)),
            "proc_count": float(rng.integers(100, 110)),
        }  # fmt: skip
        for name, value in metrics.items():
            metric = device.events.add().metric_data
            metric.metric_name, metric.numeric_value = name, value
        key = f"poll-{number}"
        envelope = Envelope(ts_ns=time, idempotency_key=key, prev_sig_or_device=device.SerializeToString())
        data = envelope.SerializeToString()
        yield key, time, data, checksum_of(data)


POLLS, BURN = 1_200, range(1_100, 1_120)


def test_what_agents_tell_of_a_device_gets_the_features_of_the_founding_catalogue(
    folder: Path, tocsin: Run, rng: np.random.Generator
) -> None:
    store(folder / "devices.db", list(polls(rng)))
    (folder / "tocsin.yaml").write_text(DEVICES, "utf-8")
    burn = [START_NS // 10**9 + 60 * number for number in (BURN[0], BURN[-1])]
    (folder / "burn.json").write_text(json.dumps([burn]), "utf-8")
    trained = tocsin("train", "--promote", "--no-plots", "--json")
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert json.loads(trained.stdout)["rows"]["passed_on"] == POLLS
    assert json.loads(trained.stdout)["report"]["figures"]["roc_auc"]["value"] > 0.95

    assert tocsin("score", "devices.db").returncode == 0
    alerts = [json.loads(line) for line in (folder / "alerts.jsonl").read_text("utf-8").splitlines()]
    worst = max(alerts, key=lambda alert: float(alert["score"]))
    assert worst["entity"] == "router-1"
    assert any(reason["feature"].startswith("cpu_") for reason in worst["reasons"])
