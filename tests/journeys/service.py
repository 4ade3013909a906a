"""`tocsin run` in a child process: a site that serves, rows to feed it, and what it has become when all is over."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np

from tocsin.journal.stored import Stored
from tocsin.scoring import checkpoint as checkpoints
from tocsin.scoring.stream import CHECKPOINT
from tocsin.system import Project

PATIENCE_S = 90.0
"""After which what a test waits for will not come any more; no measure of anything."""
CONFIG = """\
version: 1
name: served
schema:
  time: time
  entity: host
  key: [number]
  fields:
    time: {dtype: time}
    host: {dtype: category, identity: true}
    number: {dtype: integer, minimum: 0}
    bytes: {dtype: float, unit: bytes, minimum: 0}
    packets: {dtype: integer, unit: packets, minimum: 0}
source: {type: jsonl, path: "history/*.jsonl"}
features:
  columns: [bytes, packets]
  derive: [{type: rolling, columns: [bytes], windows: [1m, 10m], statistics: [mean, std]}]
detector: {type: robust_zscore}
alerts: {budget: 0.2%, cooldown: 30s}
sinks: [{type: jsonl, path: alerts.jsonl}]
"""
START = datetime(2026, 3, 2, tzinfo=UTC)


def events(rng: np.random.Generator, rows: int, *, hosts: int = 40, leaks: int = 0, first: int = 0) -> list[bytes]:
    """Lines of JSON, one a second; `leaks` of them, spread evenly, send far too much."""
    sent = rng.normal(1_000.0, 50.0, rows)
    if leaks:
        sent[np.linspace(0, rows - 1, leaks + 2).astype(int)[1:-1]] = 90_000.0
    host = rng.integers(0, hosts, rows)
    return [
        event(first + row, f"host-{host[row]}", round(float(sent[row]), 1), START + timedelta(seconds=first + row))
        for row in range(rows)
    ]


def event(number: int, host: str, sent: float, moment: datetime) -> bytes:
    """One line."""
    values = {"time": moment.isoformat(), "host": host, "number": number, "bytes": sent, "packets": int(sent // 100)}
    return json.dumps(values).encode() + b"\n"


@dataclass(slots=True)
class Outcome:
    """Everything that must be the same however often a service was killed."""

    tally: dict[str, Any]
    alerts: list[str]
    letters: list[tuple[Any, ...]]
    verdicts: list[tuple[Any, ...]]
    keys: bytes
    policy: Any
    order: Any
    held: list[Any]
    """Columns of the rows that wait for older ones."""
    state: bytes
    """What the features remember, bit by bit."""
    sent: list[str] = field(compare=False)
    """Ids as a sink got them; at least once."""

    @property
    def waiting(self) -> int:
        """Rows that were taken and wait for older ones."""
        return len(self.held[0]) if self.held else 0


class Service:
    """A child that serves a site; leaving the block kills it."""

    def __init__(self, folder: Path, *words: str) -> None:
        self._ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        name = f"tocsin-{os.getpid()}-{id(self)}"
        self._ear.bind(f"\0{name}")
        self._log = (folder / "service.log").open("ab")
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from tocsin.cli import main; main()", "run", *words],
            cwd=folder, env={**os.environ, "NOTIFY_SOCKET": f"@{name}"}, stdout=self._log, stderr=self._log,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._ear.close()
        self._log.close()

    def ready(self) -> float:
        """Wait until it serves; the seconds that it took, replay included."""
        self._ear.settimeout(1.0)
        while time.monotonic() - self.began < PATIENCE_S:
            try:
                if self._ear.recv(100) == b"READY=1":
                    return time.monotonic() - self.began
            except TimeoutError:
                assert self.process.poll() is None, self._said()
        raise AssertionError(f"not ready: {self._said()}")

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds; the service must live meanwhile."""
        began = time.monotonic()
        while not holds():
            assert self.process.poll() is None, self._said()
            assert time.monotonic() - began < PATIENCE_S, self._said()
            time.sleep(0.02)

    def pause(self, seconds: float) -> None:
        """Let it live for so long, or shorter if it ends by itself, which it must not."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
            raise AssertionError(self._said())

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> float:
        """SIGTERM; the seconds until it was gone."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE_S) == 0, self._said()
        return time.monotonic() - began

    @property
    def memory(self) -> int:
        """Bytes that it has in memory, at most so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text("ascii")
        (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) * 1_024

    def _said(self) -> str:
        return Path(self._log.name).read_text("utf-8")[-4_000:]


class Site:
    """A folder with a config, a champion, and room for live rows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def made(cls, folder: Path, rng: np.random.Generator, *changes: tuple[str, str], more: str = "") -> Self:
        """Train and promote on 6,000 rows, with some words of the config replaced."""
        text = CONFIG
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (folder / "history").mkdir(parents=True)
        (folder / "history" / "rows.jsonl").write_bytes(b"".join(events(rng, 6_000)))
        (folder / "tocsin.yaml").write_text(text + more, "utf-8")
        outcome = Project.load(folder / "tocsin.yaml").train(promote=True)
        assert outcome.verdict.passed, outcome.verdict
        return cls(folder)

    def copied(self, folder: Path, stream: str) -> Self:
        """The same site elsewhere, with lines below `stream:` of its config."""
        shutil.copytree(self.folder, folder)
        with (folder / "tocsin.yaml").open("a", encoding="utf-8") as file:
            file.write(f"stream:\n{stream}")
        (folder / "live").mkdir()
        return type(self)(folder)

    def serve(self, *words: str) -> Service:
        """Begin to serve, or go on."""
        return Service(self.folder, *words)

    @property
    def stored(self) -> Stored:
        """What its journal holds."""
        return Stored.beside(self.folder / ".tocsin" / "stream")

    @property
    def received(self) -> int:
        """Rows that are committed."""
        return int(self.stored.progress().tally.get("received", 0))

    def has(self, rows: int) -> bool:
        """Whether so many rows are committed."""
        return self.received >= rows

    @property
    def sent(self) -> list[str]:
        """Ids of alerts as they lie in the file."""
        path = self.folder / "alerts.jsonl"
        return [json.loads(line)["id"] for line in path.read_bytes().splitlines()] if path.exists() else []

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows of the journal of a service that has ended."""
        path = self.folder / ".tocsin" / "stream" / "journal.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return connection.execute(statement).fetchall()

    @property
    def quiet(self) -> set[str]:
        """Ids of alerts that are kept and not sent."""
        return {id for (id,) in self.query("SELECT id FROM alerts WHERE quiet != ''")}

    def outcome(self) -> Outcome:
        """What has become of all that it was fed, after a clean stop."""
        path = self.folder / ".tocsin" / "stream" / CHECKPOINT
        kept = checkpoints.read(path)
        assert kept is not None
        return Outcome(
            tally=dict(kept.tally),
            alerts=[id for (id,) in self.query("SELECT id FROM alerts ORDER BY id")],
            letters=self.query("SELECT file, row, reason FROM letters ORDER BY 1, 2, 3"),
            verdicts=self.query("SELECT time, entity, score, p_value, flagged FROM verdicts ORDER BY 1, 2, 3"),
            keys=kept.keys,
            policy=kept.policy,
            order=kept.order,
            held=[kept.held[name].tolist() for name in kept.held if not name.startswith("_")],
            state=path.read_bytes()[kept.state_at :],
            sent=self.sent,
        )


def pieces(rng: np.random.Generator, lines: Sequence[bytes], number: int) -> Iterator[bytes]:
    """The lines in so many pieces of random length, cut anywhere, in the middle of a line, too."""
    whole = b"".join(lines)
    cuts = [0, *sorted(rng.integers(1, len(whole), number - 1).tolist()), len(whole)]
    yield from (whole[first:stop] for first, stop in pairwise(cuts))
