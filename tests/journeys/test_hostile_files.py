"""Files that run code where they are loaded are refused before anything is made of them, wherever they are put."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import orjson

SCRIPT = Path(__file__).with_name("hostile_files.py")
PLACES = {
    "as manifest": "IntegrityError: manifest.json",
    "as arrays": "IntegrityError: arrays.bin",
    "as bytes": "IntegrityError: manifest.json",
    "beside a model": "IntegrityError: bundle",
    "in the registry": "exit 1",
    "as telemetry": "exit 1",
    "as a config of another system": "exit 2",
    "as a config": "exit 2",
}


def test_twelve_hostile_files_are_refused_and_run_nothing(
    site: Path, in_child: Callable[..., CompletedProcess[str]]
) -> None:
    trained = in_child("train", "--promote", "--no-plots")
    assert trained.returncode == 0, trained.stderr
    done = subprocess.run([sys.executable, SCRIPT, str(site)], capture_output=True, check=False, cwd=site)
    assert done.returncode == 0, done.stderr.decode()[-3_000:]
    found = orjson.loads(done.stdout)
    assert found["told"].pop("control").startswith("os.system")
    assert found["events"] == []
    assert not (site / "owned").exists()
    assert len(found["told"]) == 12
    for name, places in found["told"].items():
        assert places == PLACES, name
