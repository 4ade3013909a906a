"""What an operator asks every day: how did the last runs go, what takes room, what is old, what serves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.storage.servers import S3Server

from tocsin.cli.status import BARS, sparkline
from tocsin.system.logbook import LOGBOOK

Run = Callable[..., CompletedProcess[str]]
Configure = Callable[..., Path]
Status = Callable[[], dict[str, Any]]


def test_each_end_of_a_run_is_told_apart(site: Path, configure: Callable[..., Path], tocsin: Run) -> None:
    assert tocsin("train", "--no-plots").returncode == 0
    configure(more="gate: {recall: '< 0.5'}\n")
    assert tocsin("train", "--no-plots").returncode == 1
    configure(more="limits: {train_time: 1ms}\n")
    assert tocsin("train", "--no-plots").returncode == 1
    configure(("[bytes, packets]", "[bytez]"))
    assert tocsin("evaluate", "--no-plots").returncode == 2
    lines = [json.loads(line) for line in (site / LOGBOOK).read_text("utf-8").splitlines()]
    ends = [(line["verb"], line["result"], line["stage"], line["reason"]) for line in lines]
    assert ends[0] == ("train", "passed", "publishing", "")
    assert ends[1][:2] == ("train", "refused")
    assert "recall" in ends[1][3]
    assert ends[2][1:] == ("failed", "reading", "LimitExceeded $.limits.train_time")
    assert ends[3] == ("evaluate", "failed", "checking", "ConfigError $.features.columns[0]")
    assert lines[0]["newest_row"] == "2026-03-02T19:59:00.000000Z"
    assert lines[0]["figures"]["recall"] > 0
    assert "203.0.113" not in (site / LOGBOOK).read_text("utf-8")


@pytest.fixture
def status(tocsin: Run) -> Callable[[], dict[str, Any]]:
    """What `tocsin status --json` says; its exit code goes by it."""

    def ask() -> dict[str, Any]:
        done = tocsin("status", "--json")
        found: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == {"valid": 0, "partial": 1}[found["status"]]
        return found

    return ask


def test_before_the_first_training_there_is_nothing_but_data(site: Path, tocsin: Run, status: Status) -> None:
    found = status()
    assert found["storage"]["models"] == {"versions": 0, "bytes": 0}
    assert (found["channels"], found["runs"]["last"], found["fallback"]) == ({}, [], False)
    rows = site / "data" / "rows.csv"
    assert found["storage"]["data"]["source"]["bytes"] == rows.stat().st_size
    assert datetime.fromisoformat(found["freshness"]["newest_object"]).timestamp() == pytest.approx(
        rows.stat().st_mtime
    )
    assert not (site / "registry").exists()
    assert "Models: none yet" in tocsin("status").stdout


def test_after_some_runs_it_tells_how_they_went(configure: Configure, tocsin: Run, status: Status) -> None:
    for _ in range(2):
        assert tocsin("train", "--promote", "--no-plots").returncode == 0
    configure(more="limits: {train_time: 1ms}\n")
    assert tocsin("train", "--no-plots").returncode == 1
    found = status()
    assert found["storage"]["models"]["versions"] == 2
    assert found["storage"]["models"]["bytes"] > 0
    assert found["channels"]["champion"]["version"] == 2
    assert found["channels"]["champion"]["judge"]["role"] == "train"
    assert [run["result"] for run in found["runs"]["last"]] == ["passed", "passed", "failed"]
    assert found["runs"]["last_failed"]["reason"] == "LimitExceeded $.limits.train_time"
    assert found["runs"]["last_folder"].endswith(found["runs"]["last_passed"]["folder"])
    assert found["freshness"]["newest_row"] == "2026-03-02T19:59:00.000000Z"
    assert len(found["trend"]["recall"]) == 2
    told = tocsin("status").stdout
    assert "champion: version 2, promoted" in told
    assert "train failed in reading: LimitExceeded $.limits.train_time" in told
    assert "recall ▁▁ 1" in told


def test_what_does_not_answer_leaves_the_rest(configure: Configure, tocsin: Run, status: Status) -> None:
    tocsin("train", "--promote", "--no-plots")
    configure(("data/*.csv", "dato/*.csv"))
    found = status()
    assert [problem["got"] for problem in found["problems"]] == ["no file matching 'dato/*.csv'"]
    assert found["channels"]["champion"]["version"] == 1
    done = tocsin("status")
    assert "champion: version 1" in done.stdout
    assert "no file matching 'dato/*.csv'" in done.stderr


def test_a_champion_that_cannot_be_trusted_is_told_and_who_serves_instead(
    site: Path, tocsin: Run, status: Status
) -> None:
    tocsin("train", "--promote", "--no-plots")
    tocsin("score", "data/rows.csv")
    (step,) = (site / "registry" / "models" / "small" / "channels" / "champion").iterdir()
    step.chmod(0o600)
    step.write_bytes(step.read_bytes().replace(b'"promoted"', b'"renewed"'))
    found = status()
    assert (found["status"], found["fallback"]) == ("partial", True)
    assert found["channels"]["champion"]["version"] is None
    assert "changed" in found["channels"]["champion"]["problem"]["got"]
    assert "the last good model of this machine serves" in tocsin("status").stdout
    listed = tocsin("models", "list")
    assert listed.returncode == 1
    assert "000001.json\n  got bytes that have changed" in listed.stdout


def test_a_channel_that_nobody_renewed_is_stale(configure: Configure, tocsin: Run, status: Status) -> None:
    configure(more="registry: {expires: 1ms}\n")
    tocsin("train", "--promote", "--no-plots")
    assert status()["channels"]["champion"]["stale"] is True
    assert "tocsin models promote 1 renews it" in tocsin("status").stdout


def test_a_registry_in_a_bucket_is_told_of_from_another_machine(
    s3: S3Server, site: Path, configure: Configure, tocsin: Run, status: Status
) -> None:
    configure(more=f"registry: {{path: '{s3.bucket()}/models'}}\n")
    for _ in range(2):
        tocsin("train", "--promote", "--no-plots")
    shutil.rmtree(site / ".tocsin")
    shutil.rmtree(site / "runs")
    found = status()
    assert (found["channels"]["champion"]["version"], found["storage"]["models"]["versions"]) == (2, 2)
    assert (found["runs"]["last"], len(found["trend"]["recall"])) == ([], 2)


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=20))
def test_a_sparkline_has_its_lowest_and_highest_where_the_values_have_them(values: list[float]) -> None:
    line = sparkline(values)
    assert len(line) == len(values)
    assert line[values.index(min(values))] == BARS[0]
    if max(values) > min(values):
        assert line[values.index(max(values))] == BARS[-1]
