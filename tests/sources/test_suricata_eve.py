from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from tocsin.annotations import ColumnLabeller
from tocsin.checks.source import batches_of
from tocsin.component import PartSpec, build
from tocsin.config import LabelsConfig
from tocsin.errors import ConfigError, SchemaError
from tocsin.presets import read_preset
from tocsin.records import ROW, Batch
from tocsin.schema import Field, Schema
from tocsin.sources.base import Intake
from tocsin.sources.suricata_eve import SuricataEve

SCHEMA = Schema.model_validate(read_preset("flows/suricata")["schema"])


def flow(number: int = 0, **changes: Any) -> dict[str, Any]:
    """A flow event as Suricata writes it, with some values changed."""
    return {
        "timestamp": f"2026-01-05T00:01:{number % 60:02}.250000+0100",
        "flow_id": 1_959_620_435_402_694 + number,
        "in_iface": "eth0",
        "event_type": "flow",
        "src_ip": "192.0.2.7",
        "src_port": 49_152,
        "dest_ip": "198.51.100.9",
        "dest_port": 443,
        "proto": "TCP",
        "app_proto": "tls",
        "flow": {
            "pkts_toserver": 7,
            "pkts_toclient": 8,
            "bytes_toserver": 708,
            "bytes_toclient": 4_091,
            "start": "2026-01-05T00:00:00.500000+0100",
            "end": "2026-01-05T00:00:03.250000+0100",
            "age": 3,
            "state": "closed",
            "reason": "timeout",
            "alerted": False,
        },
        "tcp": {"tcp_flags": "1b", "syn": True},
        **changes,
    }


def written(folder: Path, *events: object, name: str = "eve.json") -> str:
    """A log of these events; text stands as it is."""
    lines = [event.encode() if isinstance(event, str) else orjson.dumps(event) for event in events]
    (folder / name).write_bytes(b"\n".join([*lines, b""]))
    return str(folder / name)


def test_a_flow_has_the_columns_of_the_preset_and_all_others_by_their_path(tmp_path: Path) -> None:
    (batch,) = batches_of(SuricataEve(path=written(tmp_path, flow())))
    row = {name: column[0] for name, column in batch.items() if not name.startswith("_")}
    assert row == {
        "timestamp": "2026-01-05T00:01:00.250000+0100",
        "flow_id": 1_959_620_435_402_694,
        "in_iface": "eth0",
        "event_type": "flow",
        "src_ip": "192.0.2.7",
        "src_port": 49_152,
        "dst_ip": "198.51.100.9",
        "dst_port": 443,
        "protocol": "TCP",
        "app_proto": "tls",
        "packets_in": 7,
        "packets_out": 8,
        "bytes_in": 708,
        "bytes_out": 4_091,
        "flow.start": "2026-01-05T00:00:00.500000+0100",
        "flow.end": "2026-01-05T00:00:03.250000+0100",
        "flow.age": 3,
        "flow.state": "closed",
        "flow.reason": "timeout",
        "flow.alerted": False,
        "tcp.tcp_flags": "1b",
        "tcp.syn": True,
        "duration_s": 2.75,
    }


@pytest.mark.parametrize("preset", ["flows", "flows/suricata"])
def test_flows_fit_the_presets_of_flows(tmp_path: Path, preset: str) -> None:
    schema = Schema.model_validate(read_preset(preset)["schema"])
    intake = Intake(SuricataEve(path=written(tmp_path, flow(1), flow(2))), schema)
    rows = Batch.concatenate(intake)
    assert rows["timestamp"].tolist() == [1_767_567_661_250_000, 1_767_567_662_250_000]
    assert rows["bytes_in"].tolist() == [708.0, 708.0]
    assert rows["duration_s"].tolist() == [2.75, 2.75]


def test_events_of_other_types_are_counted_as_ignored(tmp_path: Path) -> None:
    other: list[dict[str, Any]] = [{"event_type": kind, "timestamp": "x"} for kind in ("dns", "stats", "alert")]
    path = written(tmp_path, *other, flow(1), other[0], flow(1), '{"event_type": "flow", "time', flow(2), "7", {"a": 1})
    for rows in (1, 2, 10_000):
        intake = Intake(SuricataEve(path=path, rows=rows), SCHEMA)
        ids = [name for batch in intake for name in batch["flow_id"].tolist()]
        tally = intake.tally
        assert ids == ["1959620435402695", "1959620435402696"]
        assert (tally.received, tally.passed_on, tally.ignored, tally.duplicates, tally.quarantined) == (10, 2, 4, 1, 3)
        assert tally.reasons == {"not_json": 1, "not_an_object": 1, "not_an_event": 1}


def test_labels_and_event_types_both_leave_rows_out(tmp_path: Path) -> None:
    flows = [flow(number, label=label) for number, label in enumerate(("bad", "unsure", "fine"))]
    path = written(tmp_path, {"event_type": "dns"}, *flows)
    labels = ColumnLabeller(LabelsConfig(column="label", normal=("fine",), ignore=("unsure",)))
    for rows in (1, 10):
        intake = Intake(SuricataEve(path=path, rows=rows), SCHEMA, labels=labels)
        assert [label for batch in intake for label in batch["_label"].tolist()] == [1, 0]
        assert (intake.tally.received, intake.tally.ignored, intake.tally.quarantined) == (4, 2, 0)


def test_a_column_that_the_wanted_events_lack_is_told_of_them_alone(tmp_path: Path) -> None:
    path = written(tmp_path, {"event_type": "dns"}, flow(1))
    intake = Intake(SuricataEve(path=path), Schema(fields={"colour": Field(dtype="category")}))
    with pytest.raises(SchemaError, match="no column 'colour'"):
        list(intake)
    assert intake.tally.reasons == {"missing_column": 1}
    assert (intake.tally.received, intake.tally.ignored) == (2, 1)


def test_a_file_that_is_cut_in_the_middle_of_a_line_gives_the_rows_before(tmp_path: Path) -> None:
    whole = b"".join(orjson.dumps(flow(number), option=orjson.OPT_APPEND_NEWLINE) for number in range(50))
    for cut in (700, len(whole) // 2 + 7, len(whole) - 2):
        (tmp_path / "eve.json").write_bytes(whole[:cut])
        (batch,) = batches_of(SuricataEve(path=str(tmp_path / "eve.json")))
        lines = whole[:cut].count(b"\n")
        assert batch[ROW].tolist() == list(range(1, lines + 1))
        assert [(item.row, item.reason) for item in batch.rejected] == [(lines + 1, "not_json")]


def test_a_compressed_file_that_breaks_off_gives_its_rows_and_says_so(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    whole = b"".join(orjson.dumps(flow(int(random.integers(2**40)))) + b"\n" for _ in range(3_000))
    packed = gzip.compress(whole)
    (tmp_path / "eve.json.gz").write_bytes(packed[: len(packed) // 2])
    batches = batches_of(SuricataEve(path=str(tmp_path / "eve.json.gz")))
    rows = [row for batch in batches for row in batch[ROW].tolist()]
    assert rows == list(range(1, len(rows) + 1))
    assert 1_000 < len(rows) < 2_000
    assert [item.reason for batch in batches for item in batch.rejected] == ["truncated"]


def test_an_alert_on_the_way_to_the_client_is_told_from_the_side_of_its_sender(tmp_path: Path) -> None:
    alert = {"signature": "x", "severity": 2, "metadata": {"tag": ["a"]}}
    events = [flow(event_type="alert", alert=alert, direction=way) for way in ("to_server", "to_client")]
    (batch,) = batches_of(SuricataEve(path=written(tmp_path, *events), event_types=("alert",)))
    assert (batch["bytes_in"].tolist(), batch["packets_out"].tolist()) == ([708, 4_091], [8, 7])
    assert (batch["alert.severity"].tolist(), batch["alert.metadata"].tolist()) == ([2, 2], ['{"tag":["a"]}'] * 2)


@pytest.mark.parametrize(
    "times",
    [{"end": "soon"}, {"start": None}, {"start": "2026-01-05T00:00:00"}, {"start": 7, "end": []}, {"start": {}}],
)
def test_a_duration_that_cannot_be_known_is_missing(tmp_path: Path, times: dict[str, object]) -> None:
    event = flow()
    event["flow"] |= times
    (batch,) = batches_of(SuricataEve(path=written(tmp_path, event)))
    assert batch["duration_s"].tolist() == [None]


def test_events_of_different_keys_share_a_batch(tmp_path: Path) -> None:
    ping = flow(2, proto="ICMP", icmp_type=8)
    del ping["src_port"], ping["dest_port"], ping["tcp"], ping["app_proto"]
    (batch,) = batches_of(SuricataEve(path=written(tmp_path, flow(1), ping, flow(3))))
    assert batch["dst_port"].tolist() == [443, None, 443]
    assert batch["icmp_type"].tolist() == [None, 8, None]
    assert batch["tcp.syn"].tolist() == [True, None, True]


def test_the_sample_of_real_alerts_is_read_whole(data: Path) -> None:
    source = SuricataEve(path=str(data / "suricata_samples" / "*.gz"), event_types=("alert",))
    batches = batches_of(source)
    assert [batch.rows for batch in batches] == [136, 44, 161, 207]
    assert not any(batch.rejected for batch in batches)
    assert {kind for batch in batches for kind in batch["event_type"].tolist()} == {"alert"}
    protocols = Counter(word for batch in batches for word in batch["protocol"].tolist())
    assert set(protocols) <= {"TCP", "UDP", "ICMP", "IPv6-ICMP"}
    sent = [value for batch in batches if "bytes_in" in batch for value in batch["bytes_in"].tolist()]
    assert sent[0] == 66


def test_real_alerts_are_all_ignored_where_flows_are_wanted(data: Path) -> None:
    intake = Intake(SuricataEve(path=str(data / "suricata_samples" / "*.gz"), rows=50), SCHEMA)
    assert list(intake) == []
    assert (intake.tally.received, intake.tally.ignored, intake.tally.reasons) == (548, 548, {})


def test_real_alerts_have_times_with_and_without_offset(data: Path) -> None:
    fields = {
        "timestamp": Field(dtype="time"),
        "signature": Field(dtype="category", aliases=("alert.signature",)),
        "severity": Field(dtype="integer", aliases=("alert.severity",), minimum=1, maximum=4),
    }
    source = SuricataEve(path=str(data / "suricata_samples" / "*.gz"), event_types=("alert",))
    rows = Batch.concatenate(Intake(source, Schema(fields=fields, time="timestamp")))
    assert rows.rows == 548
    assert rows["timestamp"][0] == 1_427_648_498_221_126


def test_at_least_one_event_type_is_wanted() -> None:
    with pytest.raises(ConfigError, match=r"\$\.event_types"):
        build("sources", PartSpec("suricata_eve", {"path": "eve.json", "event_types": []}))
