"""A writer of logs that misbehaves as writers do, and a reader that is killed and started; each keeps account."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Container
from pathlib import Path
from typing import Any

from tocsin.records import Batch, Position
from tocsin.sources.base_followed import FollowedSource


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def elapsed(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Writer:
    """Writes numbered lines to `app.log`, and remembers which of them need not arrive any more."""

    def __init__(self, folder: Path, header: str = "") -> None:
        self.folder = folder
        self.header = header
        self.written: list[int] = []
        self.expendable: set[int] = set()
        self._rotated = 0
        self._lies: dict[Path, list[int]] = {}
        self._half: dict[Path, str] = {}
        self.log = folder / "app.log"

    def append(self, path: Path, lines: int) -> None:
        """Whole lines, behind what is left of a half one."""
        text = self._half.pop(path, "")
        if not path.exists() or not path.stat().st_size:
            text = self.header + text
        for _ in range(lines):
            text += f"{self._number(path)},x\n"
        self._write(path, text)

    def append_half(self, path: Path) -> None:
        """The beginning of a line, whose end comes with the next."""
        if path in self._half or not path.exists() or not path.stat().st_size:
            return
        text = f"{self._number(path)},y\n"
        self._write(path, text[:3])
        self._half[path] = text[3:]

    def rotate(self, seen: Container[int]) -> Path | None:
        """Rename the log; who wrote to it may go on for a while. One that nobody has seen yet stays."""
        if not any(number in seen for number in self._lies.get(self.log, [])):
            return None
        self._rotated += 1
        old = self.log.with_name(f"app.log.{self._rotated}")
        self.log.rename(old)
        self._lies[old] = self._lies.pop(self.log, [])
        if self.log in self._half:
            self._half[old] = self._half.pop(self.log)
        return old

    def cut(self, arrived: Counter[int]) -> None:
        """Empty the log where it lies."""
        if self.log.exists():
            self.expendable |= set(self._lies.pop(self.log, [])) - set(arrived)
            self._half.pop(self.log, None)
            os.truncate(self.log, 0)

    def finish(self) -> None:
        """Give every half line its end."""
        for path in list(self._half):
            self.append(path, 1)

    def _number(self, path: Path) -> int:
        self.written.append(len(self.written) + 100)
        self._lies.setdefault(path, []).append(self.written[-1])
        return self.written[-1]

    def _write(self, path: Path, text: str) -> None:
        with path.open("a") as file:
            file.write(text)


class Reader:
    """Reads a followed source, and counts what was acknowledged."""

    def __init__(self, source: FollowedSource, clock: Clock, column: str) -> None:
        self.source = source
        self.clock = clock
        self.column = column
        self.arrived: Counter[int] = Counter()
        self.position: Position | None = None
        self._given: list[int] = []
        source._elapsed = clock.elapsed
        source._sleep = clock.sleep
        source.open()

    def read(self, *, acknowledge: bool = True) -> Batch | None:
        batch = self.source.read(1.5)
        if batch is not None:
            self._given += [int(value) for value in _values(batch, self.column)]
        if batch is not None and acknowledge:
            self.position = self.source.acknowledge(batch)
            self.arrived.update(self._given)
            self._given = []
        return batch

    def restart(self) -> None:
        """Killed: whatever was not acknowledged is forgotten."""
        self._given = []
        self.source.close()
        self.source.open(self.position)

    def drain(self) -> None:
        while self.read() is not None:
            pass


def _values(batch: Batch, column: str) -> list[Any]:
    return batch[column].tolist() if column in batch else []
