"""This machine learnt and watched, for real; and the same readings on a clock that need not be waited for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import psutil
import pytest

from tocsin.sources.base_polls import PollingSource

Run = Callable[..., CompletedProcess[str]]

ALERT = "(usual "
# Starts every line it is given as a command, and says at the end how each of them ended.
STARTER = """
import json, subprocess, sys
started = [subprocess.Popen(json.loads(line), start_new_session=True) for line in sys.stdin]
print("ended", [process.wait() for process in started])
"""
BURNER = "import time; end = time.monotonic() + 12\nwhile time.monotonic() < end: pass"
OWN_PROCESSES = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
"""A process table of its own: what other tests do beside this one is then not part of the machine that is watched."""


class Machine:
    """Runs commands that see each other, and where that is allowed no other process."""

    def __init__(self, output: Path) -> None:
        apart = subprocess.run([*OWN_PROCESSES, "true"], capture_output=True, check=False).returncode == 0
        self._output = output
        with output.open("wb") as shown:
            self._starter = subprocess.Popen(
                [*(OWN_PROCESSES if apart else []), sys.executable, "-c", STARTER],
                stdin=subprocess.PIPE, stdout=shown, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def start(self, *command: str) -> None:
        assert self._starter.stdin is not None
        self._starter.stdin.write(json.dumps([sys.executable, "-c", *command]).encode() + b"\n")
        self._starter.stdin.flush()

    @property
    def shown(self) -> str:
        return self._output.read_text("utf-8")

    def shows(self, text: str, within_s: float) -> bool:
        end = time.monotonic() + within_s
        while text not in self.shown and time.monotonic() < end:
            time.sleep(0.05)
        return text in self.shown

    def wait(self) -> None:
        self._starter.communicate(timeout=120)

    def close(self) -> None:
        self._starter.kill()
        self._starter.communicate()


@pytest.fixture
def machine(tmp_path: Path, need: Callable[[bool, str], None]) -> Iterator[Machine]:
    need(psutil.LINUX, "only Linux tells everybody what every process does")
    machine = Machine(tmp_path / "shown.txt")
    yield machine
    machine.close()


def test_a_burner_rings_within_10_s_and_quiet_does_not(machine: Machine, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    command = "from tocsin.cli import main; main()"
    machine.start(command, "demo", "--host", "--folder", str(folder), "--watch", "50s")
    assert machine.shows("Watching for 50 s", within_s=120), machine.shown
    assert not machine.shows(ALERT, within_s=30), machine.shown

    machine.start(BURNER)
    assert machine.shows(ALERT, within_s=10), machine.shown

    machine.wait()
    first = next(line for line in machine.shown.splitlines() if ALERT in line)
    assert first.split()[0] == "proc_cpu_top5_sum_mean_3s"
    assert "1 alert\n" in machine.shown
    assert "ended [0, " in machine.shown
    assert "generated data" not in machine.shown
    (alert,) = (json.loads(line) for line in (folder / "alerts.jsonl").read_text("utf-8").splitlines())
    assert not alert.get("generated")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Real readings, on a clock that moves on where it would wait; holds the naps taken."""
    naps: list[float] = []
    start = time.time()
    monkeypatch.setattr(PollingSource, "_sleep", staticmethod(naps.append))
    monkeypatch.setattr(PollingSource, "_elapsed", staticmethod(lambda: sum(naps)))
    monkeypatch.setattr(PollingSource, "_now", staticmethod(lambda: start + sum(naps)))
    return naps


@pytest.mark.usefixtures("quick")
def test_it_says_what_it_has_learnt_from_and_that_it_promises_nothing(tmp_path: Path, tocsin: Run) -> None:
    done = tocsin("demo", "--host", "--folder", tmp_path / "demo", "--watch", "20s")
    assert done.returncode == 0, done.stderr
    assert "Learnt from 250 rows of real telemetry" in done.stdout
    assert re.search(r"Provisional: 2\d s of calibration promise no alert rate\.", done.stdout)
    assert "Watched 100 rows, 20 s" in done.stdout


@pytest.mark.usefixtures("quick")
def test_machines_read_one_document(tmp_path: Path, tocsin: Run) -> None:
    done = tocsin("demo", "--host", "--folder", tmp_path / "demo", "--watch", "4s", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 0
    assert document["generated"] is False
    assert (document["learnt_rows"], document["watched_rows"]) == (250, 20)
    assert document["promise"]["state"] == "provisional"


def test_an_interrupt_ends_it_cleanly(
    tmp_path: Path, tocsin: Run, quick: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(nap: float) -> None:
        quick.append(nap)
        if len(quick) > 300:
            raise KeyboardInterrupt

    monkeypatch.setattr(PollingSource, "_sleep", staticmethod(interrupted))
    done = tocsin("demo", "--host", "--folder", tmp_path / "demo")
    assert done.returncode == 130
    assert "Watching for 120 s" in done.stdout
    assert "Stopped" in done.stderr


def test_a_time_to_watch_that_is_none_is_refused(tmp_path: Path, tocsin: Run) -> None:
    refused = tocsin("demo", "--host", "--folder", tmp_path / "demo", "--watch", "soon")
    assert refused.returncode == 2
    assert '--watch is "soon", wanted a duration such as 30s' in refused.stderr
    assert not (tmp_path / "demo").exists()
