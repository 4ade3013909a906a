"""The units that `deploy/systemd` ships are sound, and what they run can do little harm."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
INSTALLED = "/opt/tocsin/bin/tocsin"
EXPOSURE = 20
"""Of 100: what systemd itself calls OK ends at 20."""


@pytest.fixture
def units(tmp_path: Path, need: Callable[[bool, str], None]) -> list[Path]:
    """The units as they would be on this machine, where Tocsin lies elsewhere."""
    need(shutil.which("systemd-analyze") is not None, "no systemd-analyze")
    found = []
    for unit in sorted(UNITS.iterdir()):
        path = tmp_path / unit.name
        path.write_text(
            unit.read_text("utf-8").replace(INSTALLED, str(Path(sys.executable).with_name("tocsin"))), "utf-8"
        )
        found.append(path)
    return found


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False, timeout=60)


def test_systemd_finds_nothing_wrong(units: list[Path]) -> None:
    done = analyze("verify", *units)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_they_run_is_shut_in(units: list[Path]) -> None:
    services = [unit for unit in units if unit.suffix == ".service"]
    assert [service.stem for service in services] == ["tocsin-run", "tocsin-train"]
    for service in services:
        done = analyze("security", "--offline=yes", f"--threshold={EXPOSURE}", service)
        assert done.returncode == 0, done.stdout


def test_a_service_is_watched_and_started_again() -> None:
    lines = (UNITS / "tocsin-run.service").read_text("utf-8").splitlines()
    assert {"Type=notify", "Restart=on-failure", "WatchdogSec=60", "RestartPreventExitStatus=2"} <= set(lines)


def test_every_week_has_its_training(units: list[Path]) -> None:
    (timer,) = [unit for unit in units if unit.suffix == ".timer"]
    text = timer.read_text("utf-8")
    (when,) = [line.partition("=")[2] for line in text.splitlines() if line.startswith("OnCalendar=")]
    assert analyze("calendar", when).returncode == 0
    assert "Persistent=yes" in text
