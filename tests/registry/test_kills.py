"""A process that publishes and promotes may be killed at any moment: what was acknowledged is there, and whole."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.registry.publisher import site_of

from tocsin.checks.registry import NAME
from tocsin.database import Database
from tocsin.registry import CHAMPION
from tocsin.registry.index import APPLICATION, MIGRATIONS

Rounds = Callable[[int, int], int]
PUBLISHER = Path(__file__).with_name("publisher.py")
LATEST_S = 0.25
"""A publication takes some tens of milliseconds: kills fall into each of its steps, and between two of them."""
KILLS_A_SITE = 20


class Publishers:
    """Starts processes that publish, one after the other."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, folder: Path, acknowledged: Path, seed: int, how: str) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{folder} {acknowledged} {seed} {how}\n")
        self._process.stdin.flush()
        return int(self._line())

    def ended(self) -> int:
        return int(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@pytest.fixture(scope="module")
def publishers() -> Iterator[Publishers]:
    command = [sys.executable, str(PUBLISHER)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Publishers(process)
        process.stdin.close()  # type: ignore[union-attr]


class Site:
    """A folder with a registry, and what was acknowledged about it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.acknowledged = folder.with_name(f"{folder.name}.txt")
        self.slowest_s = 0.0

    def lines(self, word: str) -> list[list[str]]:
        text = self.acknowledged.read_text("utf-8") if self.acknowledged.exists() else ""
        return [line.split()[1:] for line in text.splitlines() if line.startswith(word)]

    def check(self) -> None:
        """It opens, is whole, serves what was promoted last or one step later, and its index is as a new one."""
        since = time.monotonic()
        registry = site_of(self.folder)
        bundle, champion = registry.load(NAME, CHAMPION)
        self.slowest_s = max(self.slowest_s, time.monotonic() - since)
        assert registry.verify(NAME) == []
        versions = dict(self.lines("added"))
        listing = registry.index(self.folder / "registry" / "index.db").listing(NAME)
        assert listing.problems == ()
        digests = {str(number): signed.document.version.digest for number, signed in listing.versions.items()}
        assert versions.items() <= digests.items()
        assert sorted(listing.versions) == list(range(1, len(digests) + 1))
        pointed = [int(version) for (version,) in self.lines("pointed")]
        steps = [step.version for step in registry.channel_history(NAME, CHAMPION)]
        assert steps[: len(pointed)] == pointed
        assert champion.version == steps[-1]
        assert bundle.digest == champion.digest == digests[str(champion.version)]
        registry.index(self.folder / "anew.db").rebuild()
        assert rows(self.folder / "registry" / "index.db") == rows(self.folder / "anew.db")

    def catch_up(self) -> None:
        """Count as acknowledged what is there and was not: its process died before it could say so."""
        registry = site_of(self.folder)
        steps = registry.channel_history(NAME, CHAMPION)
        with self.acknowledged.open("w", encoding="utf-8") as file:
            file.writelines(f"pointed {step.version}\n" for step in steps)


def rows(path: Path) -> list[tuple[object, ...]]:
    with Database(path, APPLICATION, MIGRATIONS) as database:
        return database.rows("SELECT * FROM documents ORDER BY place")


@pytest.mark.soak
def test_killed_at_any_moment(
    publishers: Publishers, tmp_path: Path, seed: int, rounds: Rounds, record_property: Callable[[str, object], None]
) -> None:
    moments = random.Random(seed)  # noqa: S311  # when to kill is no secret
    slowest_s, kills = 0.0, rounds(25, 500)
    for kill in range(kills):
        number, again = divmod(kill, KILLS_A_SITE)
        site = Site(tmp_path / f"site{number}")
        if not again:
            publishers.start(site.folder, site.acknowledged, 0, "once")
            assert publishers.ended() == 0
        process = publishers.start(site.folder, site.acknowledged, 1_000 * (kill + 1), "on")
        time.sleep(moments.uniform(0.0, LATEST_S))
        os.kill(process, signal.SIGKILL)
        assert publishers.ended() == -signal.SIGKILL
        site.check()
        site.catch_up()
        slowest_s = max(slowest_s, site.slowest_s)
        assert site.lines("refused") == []
    record_property("slowest_opening_s", slowest_s)


@pytest.mark.soak
def test_killed_at_each_touch_of_a_file(
    publishers: Publishers, tmp_path: Path, rounds: Rounds, record_property: Callable[[str, object], None]
) -> None:
    template = Site(tmp_path / "template")
    for seed in range(4):
        publishers.start(template.folder, template.acknowledged, seed, "once")
        assert publishers.ended() == 0
    places = []
    for touch in range(1, 1_000, rounds(11, 1)):
        site = Site(tmp_path / f"touch{touch}")
        shutil.copytree(template.folder, site.folder)
        shutil.copy(template.acknowledged, site.acknowledged)
        publishers.start(site.folder, site.acknowledged, 5, str(touch))
        ended = publishers.ended()
        site.check()
        assert site.lines("refused") == []
        publishers.start(site.folder, site.acknowledged, 6, "once")
        assert publishers.ended() == 0, "the registry is stuck after a kill"
        shutil.rmtree(site.folder)
        if ended == 0:
            break
        places += [" ".join(words) for words in site.lines("killed")]
    assert ended == 0, "there is no end to it"
    record_property("touches", touch)
    touched = {place.split()[-1].split("/")[0] for place in places}
    assert touched >= {"registry", ".tocsin"}
