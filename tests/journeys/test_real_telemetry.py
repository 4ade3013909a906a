"""Presets on telemetry that others recorded, with its own faults: nothing is lost, and nothing filled in."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

Run = Callable[..., CompletedProcess[str]]


pytestmark = pytest.mark.usefixtures("folder")


def faults(data: Path, *days: str, shift_s: int = 0) -> Path:
    """The days' faults as windows of four minutes: the list names no ends."""
    windows = []
    for day in days:
        listed = json.loads((data / "nezha_metrics" / day / f"{day}-fault_list.json").read_text())
        starts = [int(fault["inject_timestamp"]) + shift_s for hour in listed.values() for fault in hour]
        windows += [{"start": start, "end": start + 240} for start in starts]
    path = Path("faults.json")
    path.write_text(json.dumps(windows))
    return path


def added(text: str) -> None:
    with Path("tocsin.yaml").open("a") as file:
        file.write(text)


def document(done: CompletedProcess[str], code: int = 0) -> dict[str, Any]:
    assert done.returncode == code, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_front_service_from_its_first_config_to_its_scores(data: Path, tocsin: Run) -> None:
    days = ("2022-08-22", "2022-08-23")
    learnt_from, judged_on = (data / "nezha_metrics" / day / "metric" / "front_service.csv.gz" for day in days)
    assert tocsin("init", "--preset", "services/mesh", "--path", learnt_from).returncode == 0
    added(f"test: {{path: {judged_on}}}\nlabels: {{windows: {faults(data, *days)}}}\n")
    assert tocsin("check", "--connect").returncode == 0
    learnt = document(tocsin("train", "--promote", "--no-plots", "--json"))
    assert learnt["rows"]["received"] == learnt["rows"]["passed_on"] == 1_209
    assert learnt["report"]["figures"]["roc_auc"]["value"] > 0.7
    assert document(tocsin("evaluate", "--no-plots", "--json"))["report"]["generated"] is False
    assert document(tocsin("score", judged_on, "--json"))["rows"] == 721


def test_of_two_clocks_the_one_that_is_right_is_read_and_a_column_stuck_at_zero_is_told(
    data: Path, tocsin: Run
) -> None:
    """Of this pod one clock runs six years ahead, and its success rate was never measured."""
    file = data / "nezha_metrics" / "2022-08-22" / "metric" / "adservice-5f6585d649-fnmft_metric.csv.gz"
    with gzip.open(file, "rt") as rows:
        first = next(csv.DictReader(rows))
    assert (first["Time"][:4], first["TimeStamp"][:4], first["PodSuccessRate(%)"]) == ("2022", "1861", "0")
    Path("tocsin.yaml").write_text(
        f"version: 1\nname: pod\npreset: services/mesh\nsource: {{type: csv, path: {file}}}\n"
        "gate: {anomaly_rate: null, roc_auc: null}\n"
    )
    done = tocsin("train", "--promote", "--no-plots", "--json")
    assert document(done)["rows"]["quarantined"] == 0
    assert "Constant columns kept out of the scaler." in done.stderr
    assert "error_rate" in done.stderr
    done = tocsin("score", file, "--output", "scores.csv", "--json")
    assert document(done)["rows"] == 1_209
    with Path("scores.csv").open() as scores:
        assert {row["time"][:10] for row in csv.DictReader(scores)} == {"2022-08-22"}


@pytest.mark.parametrize("hours", [-8, 24])
def test_labels_whose_clock_is_off_so_far_that_no_row_has_one_are_told(hours: int, data: Path, tocsin: Run) -> None:
    file = data / "nezha_metrics" / "2022-08-23" / "metric" / "front_service.csv.gz"
    Path("tocsin.yaml").write_text(
        f"version: 1\nname: front\npreset: services/mesh\nsource: {{type: csv, path: {file}}}\n"
        f"labels: {{windows: {faults(data, '2022-08-23', shift_s=hours * 3_600)}}}\n"
        "gate: {anomaly_rate: null, roc_auc: null}\n"
    )
    done = tocsin("train", "--no-plots")
    assert "No labelled window holds a row; is its time zone that of the rows?" in done.stderr
    assert "windows=32" in done.stderr


def test_raw_units_without_header_and_clock(data: Path, tocsin: Run) -> None:
    place = data / "jumpstarter_d2"
    names = ", ".join(f"metric_{number}" for number in range(1, 20))
    Path("tocsin.yaml").write_text(
        "version: 1\nname: service\npreset: hosts/metrics\nschema: {fields: {timestamp: {interval_s: 60}}}\n"
        f"source: {{type: csv, path: {place}/train/service3.csv.gz, columns: [{names}]}}\n"
        f"test: {{path: {place}/test/service3.csv.gz}}\n"
        f"test_labels: {{array: {place}/test_label/service3.csv.gz}}\ngate: {{roc_auc: null, anomaly_rate: null}}\n"
    )
    assert tocsin("check", "--connect").returncode == 0
    learnt = document(tocsin("train", "--promote", "--no-plots", "--json"))
    assert (learnt["rows"]["received"], learnt["rows"]["quarantined"]) == (5_760, 0)
    assert document(tocsin("evaluate", "--no-plots", "--json"))["report"]["rows"]["all"] == 7_200
    assert document(tocsin("score", place / "test" / "service3.csv.gz", "--json"))["rows"] == 7_200


def test_a_file_without_header_that_is_read_as_if_it_had_one_is_refused(data: Path, tocsin: Run) -> None:
    """Its first row would become names, and no other file has those."""
    place = data / "jumpstarter_d2" / "train"
    Path("tocsin.yaml").write_text(
        "version: 1\nname: service\npreset: hosts/metrics\nschema: {fields: {timestamp: {interval_s: 60}}}\n"
        f"source: {{type: csv, path: {place}/service3.csv.gz}}\ngate: {{roc_auc: null, anomaly_rate: null}}\n"
    )
    done = tocsin("train", "--promote", "--no-plots")
    assert done.returncode == 1
    assert "header" in done.stderr


@pytest.mark.parametrize(
    ("ending", "more"), [("+08:00", ""), ("", "schema: {timezone: Asia/Shanghai}\n")], ids=["offset", "zone"]
)
def test_a_list_written_eight_hours_to_the_east_means_the_same_once_its_zone_is_told(
    ending: str, more: str, data: Path, tocsin: Run
) -> None:
    days = ("2022-08-22", "2022-08-23")
    one, other = (data / "nezha_metrics" / day / "metric" / "front_service.csv.gz" for day in days)

    def auc(labels: Path, more: str = "") -> float:
        Path("tocsin.yaml").write_text(
            f"version: 1\nname: front\npreset: services/mesh\nsource: {{type: csv, path: {one}}}\n"
            f"test: {{path: {other}}}\nlabels: {{windows: {labels}}}\n{more}"
            "gate: {anomaly_rate: null, roc_auc: null}\n"
        )
        found = document(tocsin("train", "--no-plots", "--json"))["report"]["figures"]
        return float(found["roc_auc"]["value"])

    right = auc(faults(data, *days))
    starts = [window["start"] for window in json.loads(Path("faults.json").read_text())]
    lines = [",".join(f"{east(start + s):%Y-%m-%d %H:%M:%S}{ending}" for s in (0, 240)) for start in starts]
    Path("east.csv").write_text("\n".join(["start,end", *lines, ""]))
    assert auc(Path("east.csv"), more) == right > 0.752


def east(epoch_s: int) -> datetime:
    return datetime.fromtimestamp(epoch_s, timezone(timedelta(hours=8)))
