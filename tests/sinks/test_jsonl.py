from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.checks.sink import example_alert
from tocsin.errors import DeliveryError
from tocsin.log import counters
from tocsin.records import Alert
from tocsin.sinks import base, base_lines
from tocsin.sinks.base import alert_json
from tocsin.sinks.jsonl import Jsonl


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out" / "alerts.jsonl"


def write(path: Path, *alerts: Alert) -> None:
    sink = Jsonl(path=str(path))
    sink.open()
    sink.write(alerts)
    sink.close()


def lines(path: Path) -> list[Any]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_an_alert_is_one_line_of_json(path: Path) -> None:
    write(path, example_alert(0), example_alert(1))
    first, second = lines(path)
    assert second["id"] == example_alert(1).id
    assert first == {
        "generated": True,
        "id": "0" * 32,
        "entity": "host 0",
        "start": "2026-01-01T00:00:00.000000Z",
        "end": "2026-01-01T00:00:30.000000Z",
        "rows": 3,
        "score": 5.25,
        "p_value": 0.0005,
        "severity": "high",
        "state": "ready",
        "model": "example 1",
        "reasons": [
            {"feature": "bytes_out", "value": 9.5e6, "usual_low": 120.0, "usual_high": 4.1e5, "contribution": 7.5,
             "unit": "bytes", "similar_low": 300.0, "similar_high": 9.2e4, "normal": 2_048.0},
            {"feature": "port", "value": None, "usual_low": 0.0, "usual_high": 1.0, "contribution": 0.5, "unit": "",
             "similar_low": None, "similar_high": None, "normal": None},
        ],
        "origin": "flows.csv:1",
        "confidence": 0.75,
        "cause": "bytes_out", "entities": [], "incident": "", "quiet": "",
    }  # fmt: skip


def test_only_generated_alerts_speak_of_it() -> None:
    assert "generated" not in alert_json(replace(example_alert(), generated=False))


def test_the_file_is_readable_by_its_owner_alone(path: Path) -> None:
    write(path, example_alert())
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_alert_that_is_in_the_file_is_not_written_again(path: Path) -> None:
    write(path, example_alert(1), example_alert(2))
    write(path, example_alert(2), example_alert(3), example_alert(3))
    assert [line["id"] for line in lines(path)] == [example_alert(number).id for number in (1, 2, 3)]


def test_a_line_cut_short_by_a_crash_is_ended_and_its_alert_comes_again(path: Path) -> None:
    write(path, example_alert(1), example_alert(2))
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    write(path, example_alert(2), example_alert(3))
    first, cut, second, third = path.read_bytes().splitlines()
    assert [orjson.loads(line)["id"] for line in (first, second, third)] == [example_alert(n).id for n in (1, 2, 3)]
    assert cut == whole.splitlines()[1][:-39]


def test_a_disk_that_takes_half_of_a_batch_keeps_none_of_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Jsonl(path=str(path))
    sink.open()
    sink.write([example_alert(1)])
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DeliveryError, match="No space left on device"):
            sink.write([example_alert(2), example_alert(3)])
    assert path.read_bytes() == before
    sink.write([example_alert(2)])
    sink.close()
    assert len(lines(path)) == 2


def test_a_place_that_cannot_be_written_is_refused_at_open(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="a file that can be written"):
        Jsonl(path=str(tmp_path)).open()


def test_the_ids_remembered_are_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (base, base_lines):
        monkeypatch.setattr(module, "REMEMBERED_IDS", 2)
    write(path, *(example_alert(number) for number in range(5)))
    write(path, example_alert(0), example_alert(3), example_alert(4))
    assert [line["id"] for line in lines(path)][5:] == [example_alert(0).id]


def test_a_file_of_something_else_is_never_written_into(tmp_path: Path) -> None:
    telemetry = tmp_path / "flows.csv"
    telemetry.write_text("time,host\n1,a\n")
    with pytest.raises(DeliveryError, match="something else"):
        Jsonl(path=str(telemetry)).open()
    assert telemetry.read_text() == "time,host\n1,a\n"


def test_a_file_that_was_renamed_is_begun_anew(path: Path) -> None:
    sink = Jsonl(path=str(path))
    sink.open()
    sink.write([example_alert(1)])
    path.rename(path.with_name("alerts.jsonl.1"))
    sink.write([example_alert(1), example_alert(2)])
    sink.close()
    assert [line["id"] for line in lines(path)] == [example_alert(2).id]
    write(path, example_alert(1), example_alert(2), example_alert(3))
    assert [line["id"] for line in lines(path)] == [example_alert(2).id, example_alert(3).id]


def test_a_file_that_was_removed_with_its_folder_is_begun_anew(path: Path) -> None:
    sink = Jsonl(path=str(path))
    sink.open()
    sink.write([example_alert(1)])
    path.unlink()
    path.parent.rmdir()
    sink.write([example_alert(2)])
    sink.close()
    assert [line["id"] for line in lines(path)] == [example_alert(2).id]


def test_a_full_file_is_moved_aside_and_counted(path: Path) -> None:
    before = counters().get('tocsin_alert_files_turned_total{sink="jsonl"}', 0)
    sink = Jsonl(path=str(path), size=1 << 16)
    sink.open()
    for number in range(0, 400, 10):
        sink.write([example_alert(number + step) for step in range(10)])
    sink.close()
    turned = counters()['tocsin_alert_files_turned_total{sink="jsonl"}'] - before
    assert turned >= 2
    assert sorted(file.name for file in path.parent.iterdir()) == ["alerts.jsonl", "alerts.jsonl.1"]
    kept = [line["id"] for file in (path.with_name("alerts.jsonl.1"), path) for line in lines(file)]
    assert kept == [example_alert(number).id for number in range(400)][-len(kept) :]
    assert path.stat().st_size < (1 << 16) + 10_000


def test_a_foreign_file_in_its_place_is_not_written_into(path: Path) -> None:
    sink = Jsonl(path=str(path))
    sink.open()
    path.unlink()
    path.write_text("time,host\n1,a\n")
    for message in ("something else", "a write while closed"):
        with pytest.raises(DeliveryError, match=message):
            sink.write([example_alert(1)])
    assert path.read_text() == "time,host\n1,a\n"


def test_an_alert_of_many_entities_is_known_again(path: Path) -> None:
    crowd = replace(example_alert(1), entities=tuple(f"host {number}" for number in range(2_000)))
    write(path, crowd)
    write(path, crowd)
    assert len(lines(path)) == 1


@given(steps=st.lists(st.sampled_from(["new", "again", "rename", "restart"]), max_size=30))
def test_every_alert_is_in_the_files_once(steps: list[str]) -> None:
    """However the file is renamed and the sink opened again between writes."""
    with TemporaryDirectory() as folder:
        path, sent = Path(folder) / "alerts.jsonl", 0
        sink = Jsonl(path=str(path))
        sink.open()
        for number, step in enumerate(steps):
            if step == "rename" and path.exists():
                path.rename(path.with_name(f"{number}.jsonl"))
            if step == "restart":
                sink.close()
                sink.open()
            if step in ("new", "again"):
                sent += step == "new"
                sink.write([example_alert(number) for number in range(sent)])
        sink.close()
        found = [line["id"] for file in Path(folder).iterdir() for line in lines(file)]
        assert sorted(found) == [example_alert(number).id for number in range(sent)]
