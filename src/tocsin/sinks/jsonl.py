"""A file with one JSON object per alert and line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, ClassVar, Self

import orjson

from tocsin.errors import DeliveryError
from tocsin.records import Alert
from tocsin.sinks.base import REMEMBERED_IDS, DeliveredIds, Sink, alert_json

LONGEST_LINE = 4_096
"""Bytes of an ordinary alert, generously: as much of the file is looked through for ids as that many lines fill."""


class Jsonl(Sink):
    """Append alerts to a file, safely on disk when `write` returns.

    An alert among the last 10,000 of the file is not written again, so the repeats of a restart leave no trace.
    One process writes a file. It shows real names: it is made readable by its owner alone.

    Parameters
    ----------
    path
        The file; it and its folder are made if they are not there.

    Examples
    --------
    >>> sink = Jsonl(path="alerts.jsonl")
    """

    stays_here: ClassVar[bool] = True

    def __init__(self, *, path: str = "alerts.jsonl") -> None:
        self.path = path
        self._file: BinaryIO | None = None

    @classmethod
    def example(cls, folder: Path) -> Self:
        """A sink that writes into `folder`."""
        return cls(path=str(folder / "alerts.jsonl"))

    def open(self) -> None:
        """Open the file, end a line that a crash left unfinished, and read which alerts are there.

        Raises
        ------
        DeliveryError
            If the file cannot be read and written.
        """
        self.close()
        try:
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            number = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            self._file = os.fdopen(number, "a+b", buffering=0)
            tail = _tail(self._file)
            _refuse_other(self._file, self.path)
            if tail and not tail.endswith(b"\n"):
                _write_all(self._file, b"\n")
        except DeliveryError:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise DeliveryError(f"sink jsonl {self.path}", str(error), "a file that can be written") from error
        self._delivered = DeliveredIds(_ids(tail))

    def write(self, alerts: Sequence[Alert]) -> None:
        """Append the alerts that are not in the file yet, and flush them to the disk.

        Raises
        ------
        DeliveryError
            If the sink is closed or the disk does not take all of them; then none of them stays in the file.
        """
        if self._file is None:
            raise DeliveryError(f"sink jsonl {self.path}", "a write while closed", hint="open the sink first")
        fresh = self._delivered.fresh(alerts)
        if not fresh:
            return
        end = self._file.seek(0, os.SEEK_END)
        try:
            _write_all(self._file, b"".join(orjson.dumps(alert_json(alert)) + b"\n" for alert in fresh))
            os.fsync(self._file.fileno())
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(end)
            raise DeliveryError(f"sink jsonl {self.path}", str(error), "a disk that takes the alerts") from error
        for alert in fresh:
            self._delivered.add(alert.id)

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._file is not None:
            self._file.close()
        self._file = None


def _write_all(file: BinaryIO, content: bytes) -> None:
    """An unbuffered file may take less than it is given."""
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]


def _refuse_other(file: BinaryIO, path: str) -> None:
    """A file that begins with anything but an alert holds something else, and is never written into."""
    file.seek(0)
    first = file.readline(LONGEST_LINE).strip()
    try:
        found = orjson.loads(first) if first else {"id": "", "severity": ""}
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict) or not {"id", "severity"} <= found.keys():
        hint = "give the sink a path of its own"
        raise DeliveryError(f"sink jsonl {path}", "a file that holds something else", "alerts, or no file yet", hint)


def _tail(file: BinaryIO) -> bytes:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - REMEMBERED_IDS * LONGEST_LINE))
    return file.read()


def _ids(tail: bytes) -> Iterator[str]:
    """The ids of the last alerts; lines that are no alert, such as one cut short by a crash, have none."""
    for line in tail.splitlines()[-REMEMBERED_IDS:]:
        try:
            entry = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(entry, dict) and isinstance(entry.get("id"), str):
            yield entry["id"]
