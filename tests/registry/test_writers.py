"""Case 8: many processes promote at once; versions have no gaps and each step one winner, here and on S3."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.registry.worlds import add, machine
from tests.storage.servers import S3Server

from tocsin.checks.registry import NAME
from tocsin.registry import CHAMPION
from tocsin.storage import open_store

WRITERS = 8
WRITER = """
import sys
from pathlib import Path
from tocsin.checks.registry import NAME
from tocsin.errors import ConflictError
from tocsin.registry import Machine, Registry
from tocsin.storage import open_store

place, folder, version, rounds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
registry = Registry(open_store(place, Path), Machine(folder))
print("ready", flush=True)
sys.stdin.readline()
won = lost = 0
while won < rounds:
    try:
        registry.promote(NAME, version)
        won += 1
    except ConflictError as error:
        assert " by the key " in str(error), error
        lost += 1
print(won, lost)
"""


def promote_at_once(place: str, folder: Path, rounds: int) -> None:
    """Every writer promotes its own version so often, against all others."""
    registry = machine(open_store(place, Path), folder, keep=WRITERS)
    versions = [add(registry, seed) for seed in range(WRITERS)]
    assert versions == list(range(1, WRITERS + 1))
    with ExitStack() as stack:
        processes = []
        for version in versions:
            words = [sys.executable, "-c", WRITER, place, str(folder), str(version), str(rounds)]
            process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.callback(process.kill)
            processes.append(stack.enter_context(process))
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            printed, _ = process.communicate(timeout=3_600)
            assert process.returncode == 0
            assert int(printed.split()[0]) == rounds
    steps = registry.channel_history(NAME, CHAMPION)
    assert [step.number for step in steps] == list(range(1, WRITERS * rounds + 1))
    assert {version: sum(step.version == version for step in steps) for version in versions} == dict.fromkeys(
        versions, rounds
    )
    assert registry.verify(NAME) == []


@pytest.mark.soak
def test_every_promotion_has_one_winner_on_this_machine(tmp_path: Path, rounds: Callable[[int, int], int]) -> None:
    promote_at_once(str(tmp_path / "store"), tmp_path / "machine", rounds(10, 200))


@pytest.mark.soak
def test_every_promotion_has_one_winner_on_s3(s3: S3Server, tmp_path: Path, rounds: Callable[[int, int], int]) -> None:
    promote_at_once(s3.bucket(), tmp_path / "machine", rounds(1, 20))
