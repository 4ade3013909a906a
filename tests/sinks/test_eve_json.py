from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from tocsin.checks.sink import example_alert
from tocsin.records import Alert
from tocsin.sinks.base import alert_json
from tocsin.sinks.eve_json import EveJson
from tocsin.sources.suricata_eve import SuricataEve


def written(path: Path, *alerts: Alert) -> list[Any]:
    sink = EveJson(path=str(path))
    sink.open()
    sink.write(alerts)
    sink.close()
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_an_alert_is_an_event_as_suricata_writes_it(tmp_path: Path) -> None:
    (event,) = written(tmp_path / "eve.json", replace(example_alert(), entity="192.0.2.7"))
    assert event == {
        "timestamp": "2026-01-01T00:00:30.000000+0000",
        "event_type": "alert",
        "src_ip": "192.0.2.7",
        "alert": {
            "action": "allowed",
            "gid": 1,
            "signature_id": event["alert"]["signature_id"],
            "rev": 1,
            "signature": "Tocsin anomaly: bytes_out",
            "category": "Anomaly",
            "severity": 1,
        },
        "tocsin": alert_json(replace(example_alert(), entity="192.0.2.7")),
    }


def test_our_own_source_of_such_logs_reads_it(tmp_path: Path) -> None:
    written(tmp_path / "eve.json", example_alert(1), replace(example_alert(2), severity="low"))
    source = SuricataEve(path=str(tmp_path / "eve.json"), event_types=("alert",))
    source.open()
    batch = source.read(1.0)
    assert batch is not None
    assert batch.rejected == ()
    assert batch["timestamp"].tolist() == ["2026-01-01T00:01:30.000000+0000", "2026-01-01T00:02:30.000000+0000"]
    assert batch["alert.signature"].tolist() == 2 * ["Tocsin anomaly: bytes_out"]
    assert batch["alert.severity"].tolist() == [1, 3]
    assert batch["tocsin.id"].tolist() == [example_alert(1).id, example_alert(2).id]
    source.close()


def test_one_cause_has_one_signature_and_number(tmp_path: Path) -> None:
    alerts = [replace(example_alert(n), cause=cause) for n, cause in enumerate(["port", "port", "bytes", ""])]
    found = [event["alert"] for event in written(tmp_path / "eve.json", *alerts)]
    numbers = [alert["signature_id"] for alert in found]
    assert numbers[0] == numbers[1]
    assert len(set(numbers)) == 3
    assert all(1_000_000 <= number < 2_000_000 for number in numbers)
    assert found[3]["signature"] == "Tocsin anomaly: of no single cause"


def test_an_alert_without_a_clock_is_of_the_moment_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EveJson, "_now", staticmethod(lambda: 1_767_225_600.25))
    (event,) = written(tmp_path / "eve.json", replace(example_alert(), start=None, end=None))
    assert event["timestamp"] == "2026-01-01T00:00:00.250000+0000"


def test_an_alert_is_in_the_file_once_after_a_restart(tmp_path: Path) -> None:
    written(tmp_path / "eve.json", example_alert(1), example_alert(2))
    events = written(tmp_path / "eve.json", example_alert(2), example_alert(3))
    assert [event["tocsin"]["id"][-1] for event in events] == ["1", "2", "3"]


def test_its_group_may_read_it(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        written(tmp_path / "eve.json", example_alert())
    finally:
        os.umask(before)
    assert (tmp_path / "eve.json").stat().st_mode & 0o777 == 0o640
