"""`tocsin run` from the command line: a file that grows, alerts that arrive once, an end that is clean."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tocsin.errors import NotStored
from tocsin.journal.stored import Stored

Run = Callable[..., CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[str]]
PATIENCE_S = 60.0


@pytest.fixture
def trained(site: Path, tocsin: Run) -> Path:
    """A site with a champion."""
    assert tocsin("train", "--promote", "--no-plots", "--json").returncode == 0
    return site


@pytest.fixture
def start(trained: Path) -> Iterator[Start]:
    """Start the command line in a process of its own, which does not outlive the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", "from tocsin.cli import main; main()", *words]
        process = subprocess.Popen(command, cwd=trained, stdout=-1, stderr=-1, text=True)
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def received(site: Path) -> int:
    try:
        return int(Stored.beside(site / ".tocsin" / "stream").progress().tally.get("received", 0))
    except NotStored:  # it is only beginning
        return 0


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.02)


def delivered(site: Path) -> list[str]:
    path = site / "alerts.jsonl"
    return [json.loads(line)["id"] for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def test_read_once_every_alert_arrives_and_a_second_run_adds_nothing(trained: Path, tocsin: Run) -> None:
    first = tocsin("run", "--once", "--json")
    assert first.returncode == 0, first.stderr
    told = json.loads(first.stdout)
    assert told["rows"]["received"] == told["rows"]["passed_on"] == 1_200
    found = delivered(trained)
    assert len(found) == len(set(found)) >= 5
    scored = tocsin("score", "--json")
    assert scored.returncode == 0
    again = tocsin("run", "--once", "--json")
    assert json.loads(again.stdout)["rows"]["received"] == 1_200
    assert delivered(trained) == found


def test_a_file_is_followed_as_it_grows_and_the_service_stops_when_told(
    trained: Path, start: Start, lines: list[str]
) -> None:
    path = trained / "data" / "rows.csv"
    path.write_text("\n".join(lines[:1_100]) + "\n", "utf-8")
    service = start("run")
    until(lambda: received(trained) == 1_099)
    before = delivered(trained)
    with path.open("a", encoding="utf-8") as file:
        file.write("\n".join(lines[1_100:]) + "\n")
    until(lambda: received(trained) == 1_200)
    until(lambda: len(delivered(trained)) > len(before))
    service.send_signal(signal.SIGTERM)
    said, complained = service.communicate(timeout=PATIENCE_S)
    assert service.returncode == 0, complained
    assert "1,200 rows received" in said


def test_killed_in_the_middle_it_goes_on_and_rings_what_an_uninterrupted_run_rings(
    trained: Path, configure: Callable[..., Path], start: Start, tocsin: Run, lines: list[str]
) -> None:
    configure(("path: alerts.jsonl", "path: whole.jsonl"), more="stream: {journal: whole}\n", name="whole.yaml")
    assert tocsin("-c", "whole.yaml", "run", "--once").returncode == 0
    path = trained / "data" / "rows.csv"
    path.write_text("\n".join(lines[:1_050]) + "\n", "utf-8")
    service = start("run")
    until(lambda: received(trained) == 1_049)
    for begin in range(1_050, 1_201, 50):
        os.kill(service.pid, signal.SIGKILL)
        service.communicate()
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines[begin : begin + 50]))
        service = start("run")
        until(lambda begin=begin: received(trained) == min(begin + 49, 1_200))  # type: ignore[misc]  # bound as it is now
    service.send_signal(signal.SIGTERM)
    service.communicate(timeout=PATIENCE_S)
    wanted = [json.loads(line)["id"] for line in (trained / "whole.jsonl").read_text("utf-8").splitlines()]
    assert sorted(delivered(trained)) == sorted(wanted)


def test_a_dry_run_delivers_nothing_and_keeps_what_it_would_have_sent(trained: Path, tocsin: Run) -> None:
    assert tocsin("run", "--once", "--dry-run").returncode == 0
    assert delivered(trained) == []
    kept = Stored.beside(trained / ".tocsin" / "stream").alerts()
    assert {item.alert.quiet for item in kept} == {"dry_run"}


def test_two_services_in_one_folder_are_refused(trained: Path, start: Start, tocsin: Run) -> None:
    service = start("run")
    until(lambda: received(trained) > 0)
    second = tocsin("run", "--once")
    assert second.returncode == 1
    assert "a file in use" in second.stderr
    assert service.poll() is None


def test_without_a_model_there_is_nothing_to_run(site: Path, tocsin: Run) -> None:
    refused = tocsin("run", "--once")
    assert refused.returncode == 1
    assert "train one first" in refused.stderr
