"""What rings, what it says, and where names may stand."""

from __future__ import annotations

import csv
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Run = Callable[..., CompletedProcess[str]]

INTRUDER = "203.0.113.77"
NETWORK = "203.0.113."
"""Every host of the site is in it."""
STAYS_HERE = {"alerts.jsonl", "quarantine.jsonl", "fresh.csv", "rows.csv"}


@pytest.fixture
def fresh(site: Path, lines: list[str]) -> Path:
    """The next day's rows without labels: one host sends far too much twice within a minute, one row is broken."""
    header, *rows = (line.rpartition(",")[0].replace("2026-03-02", "2026-03-03") for line in lines[:601])
    planted = [f"2026-03-03T10:00:{second}+00:00,{INTRUDER},80000.0,800" for second in ("00", "30")]
    broken = f"2026-03-03T10:01:00+00:00,{NETWORK}99,lots,1"
    path = site / "fresh.csv"
    path.write_text("\n".join([header, *rows, *planted, broken]) + "\n", "utf-8")
    return path


def test_a_planted_row_rings_with_its_name_its_time_and_its_reasons(
    fresh: Path, site: Path, configure: Callable[..., Path], tocsin: Run
) -> None:
    configure(("1%", "1/day, cooldown: 5m"))
    trained = json.loads(tocsin("train", "--promote", "--no-plots", "--json").stdout)
    scored = tocsin("score", fresh, "--json")
    assert scored.returncode == 0
    found = json.loads(scored.stdout)
    alerts = [json.loads(line) for line in (site / "alerts.jsonl").read_text("utf-8").splitlines()]
    assert found["alerts"] == len(alerts)
    (alert,) = [alert for alert in alerts if alert["entity"] == INTRUDER]
    assert alert["start"] == "2026-03-03T10:00:00.000000Z"
    assert alert["end"] == "2026-03-03T10:00:30.000000Z"
    assert alert["rows"] == 2
    assert alert["model"] == f"small 1 ({trained['model'][:12]})"
    assert alert["severity"] in ("low", "medium", "high", "critical")
    assert alert["state"] == "ready"
    assert 0 < alert["p_value"] <= min(other["p_value"] for other in alerts)
    assert alert["origin"].endswith("fresh.csv:602")
    assert "generated" not in alert
    reasons = {reason["feature"]: reason for reason in alert["reasons"]}
    assert reasons["bytes"]["value"] == 80_000
    assert reasons["bytes"]["unit"] == "bytes"
    assert 800 < reasons["bytes"]["usual_low"] < 1_000 < reasons["bytes"]["usual_high"] < 1_300
    assert [reason["contribution"] for reason in alert["reasons"]] == sorted(
        (reason["contribution"] for reason in alert["reasons"]), reverse=True
    )


def test_what_rang_once_is_not_written_again(fresh: Path, site: Path, tocsin: Run) -> None:
    tocsin("train", "--no-plots")
    for _ in range(2):
        tocsin("score", fresh)
    ids = [json.loads(line)["id"] for line in (site / "alerts.jsonl").read_text("utf-8").splitlines()]
    assert len(ids) == len(set(ids)) > 0


def test_the_console_shows_the_name_and_the_machine_gets_one_document(
    fresh: Path, configure: Callable[..., Path], tocsin: Run
) -> None:
    configure(("{type: jsonl, path: alerts.jsonl}", "{type: console}"))
    tocsin("train", "--no-plots")
    for_people = tocsin("score", fresh)
    assert INTRUDER in for_people.stdout
    assert "bytes 80000 bytes (usual " in for_people.stdout
    for_machines = tocsin("score", fresh, "--json")
    assert json.loads(for_machines.stdout)["alerts"] > 0
    assert INTRUDER in for_machines.stderr


def test_names_stand_only_where_they_stay(fresh: Path, site: Path, tocsin: Run) -> None:
    said = [
        tocsin("train", "--promote", "-v"),
        tocsin("evaluate", "--save-predictions", "-v"),
        tocsin("score", fresh, "--output", "scores.csv", "-v"),
        tocsin("models", "show", "1"),
        tocsin("status"),
    ]
    assert [done.returncode for done in said] == [0] * len(said)
    assert INTRUDER in (site / "alerts.jsonl").read_text("utf-8")
    written = [path for path in site.rglob("*") if path.is_file() and path.name not in STAYS_HERE]
    written = [path for path in written if ".tocsin" not in path.parts]
    assert {"scores.csv", "predictions.csv", "report.html", "manifest.json"} <= {path.name for path in written}
    texts = {str(path): unpacked(path) for path in written}
    texts |= {" ".join(done.args): (done.stdout + done.stderr).encode() for done in said}
    assert [name for name, text in texts.items() if NETWORK.encode() in text] == []


def unpacked(path: Path) -> bytes:
    content = path.read_bytes()
    try:
        return zlib.decompress(content)
    except zlib.error:
        return content


def test_the_table_of_names_is_for_its_owner_alone(site: Path, tocsin: Run) -> None:
    tocsin("train", "--no-plots")
    modes = {path.name: path.stat().st_mode & 0o777 for path in (site / ".tocsin").iterdir() if path.is_file()}
    assert {"site.key", "names.jsonl"} <= modes.keys()
    assert set(modes.values()) == {0o600}


def test_rows_without_labels_are_scored_line_by_line(fresh: Path, site: Path, tocsin: Run) -> None:
    tocsin("train", "--no-plots")
    found = json.loads(tocsin("score", fresh, "--output", "scores.csv", "--json").stdout)
    with (site / "scores.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == found["rows"] == 602
    assert len({row["entity"] for row in rows}) == 6
    planted = [row for row in rows if row["time"].startswith("2026-03-03T10:00:") and float(row["score"]) > 100]
    assert [row["flagged"] for row in planted] == ["1", "1"]
    (refused,) = (site / "quarantine.jsonl").read_text("utf-8").splitlines()
    assert json.loads(refused)["reason"] == "not_a_number"
