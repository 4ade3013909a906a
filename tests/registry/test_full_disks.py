"""A disk that is full or fails costs the write that met it, and nothing that was there or was acknowledged."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.registry.publisher import __file__ as program
from tests.registry.sites import Publishers, Site

Rounds = Callable[[int, int], int]
Tell = Callable[[str], None]
RECOVERED_S = 30.0


def fill(filler: Path, spare: int) -> None:
    """Take all the room that is left, but for a few bytes."""
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(65_536)):
            pass
    with suppress(OSError):
        os.truncate(filler, max(filler.stat().st_size - spare, 0))


def wait_for(site: Site, word: str, before: int) -> float:
    """Seconds until something was said once more."""
    since = time.monotonic()
    while len(site.lines(word)) == before:
        assert time.monotonic() - since < RECOVERED_S
        time.sleep(0.01)
    return time.monotonic() - since


@pytest.mark.soak
def test_a_full_disk_loses_nothing_and_work_goes_on_with_room_again(
    *,
    publishers: Publishers,
    disk: Path,
    tmp_path: Path,
    seed: int,
    rounds: Rounds,
    tell: Tell,
) -> None:
    moments = random.Random(seed)  # noqa: S311  # when it is full is no secret
    slowest_s = 0.0
    for number in range(rounds(4, 60)):
        site = Site(disk / f"site{number}", tmp_path)
        assert publishers.publish(site, 0) == 0
        with publishers.publishing(site, 1_000):
            time.sleep(moments.uniform(0.0, 0.2))
            fill(disk / "filler", moments.randrange(0, 40_000))
            wait_for(site, "refused", 0)
            (disk / "filler").unlink()
            slowest_s = max(slowest_s, wait_for(site, "pointed", len(site.lines("pointed"))))
        site.check()
        assert all("free some space" in " ".join(words) for words in site.lines("refused"))
        shutil.rmtree(site.folder)
    tell(f"the slowest recovery took {slowest_s:.3f} s")


@pytest.mark.soak
@pytest.mark.parametrize(("calls", "error"), [("fsync,fdatasync", "EIO"), ("write,pwrite64", "ENOSPC")])
def test_an_error_of_the_device_costs_that_write_alone(
    *,
    calls: str,
    error: str,
    publishers: Publishers,
    tmp_path: Path,
    rounds: Rounds,
    need: Callable[[bool, str], None],
    tell: Tell,
) -> None:
    need(shutil.which("strace") is not None, "no strace is installed")
    template = Site(tmp_path / "template", tmp_path)
    for seed in range(3):
        assert publishers.publish(template, seed) == 0
    refused = 0
    for call in range(1, 500, rounds(23, 1)):
        site = Site(tmp_path / f"call{call}", tmp_path)
        shutil.copytree(template.folder, site.folder)
        shutil.copy(template.acknowledged, site.acknowledged)
        words = [sys.executable, program, str(site.folder), str(site.acknowledged), "5", "once"]
        strace = ["strace", "-f", "-qq", "-o", str(tmp_path / "trace"), "-e", f"trace={calls}"]
        strace += ["-e", f"inject={calls}:error={error}:when={call}"]
        subprocess.run([*strace, *words], env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}, check=True)
        site.check()
        once = site.lines("refused")
        refused += len(once)
        assert publishers.publish(site, 6) == 0
        assert site.lines("refused") == once, "the registry is stuck after an error"
        site.check()
        shutil.rmtree(site.folder)
        if "INJECTED" not in (tmp_path / "trace").read_text("utf-8"):
            break
    else:
        pytest.fail("there is no end to it")
    assert refused > 0
    tell(f"{error} up to call {call - 1}, {refused} refusals")
