"""Registries that processes publish to which do not end well, and what must hold for them whenever one is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.registry.publisher import site_of

from tocsin.checks.registry import NAME
from tocsin.database import Database
from tocsin.registry import CHAMPION
from tocsin.registry.index import APPLICATION, MIGRATIONS


class Site:
    """A folder with a registry, and what was acknowledged about it."""

    def __init__(self, folder: Path, beside: Path) -> None:
        self.folder = folder
        self.acknowledged = beside / f"{folder.name}.txt"
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
        in_order = iter(steps)
        assert all(version in in_order for version in pointed), "an acknowledged step is lost"
        # one that was refused may stand there all the same: nobody was told that it does
        assert len(steps) <= len(pointed) + 1 + len(self.lines("refused"))
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


class Publishers:
    """Processes that publish to a site, one after the other."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def publish(self, site: Site, seed: int, how: str = "once") -> int:
        """The exit status of a process, see `tests.registry.publisher`."""
        self._start(site, seed, how)
        return self._number()

    @contextmanager
    def publishing(self, site: Site, seed: int) -> Iterator[None]:
        """A process publishes without an end, and is killed."""
        process = self._start(site, seed, "on")
        try:
            yield
        finally:
            os.kill(process, signal.SIGKILL)
            ended = self._number()
        assert ended == -signal.SIGKILL

    def _start(self, site: Site, seed: int, how: str) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{site.folder} {site.acknowledged} {seed} {how}\n")
        self._process.stdin.flush()
        return self._number()

    def _number(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


def rows(path: Path) -> list[tuple[object, ...]]:
    with Database(path, APPLICATION, MIGRATIONS) as database:
        return database.rows("SELECT * FROM documents ORDER BY place")
