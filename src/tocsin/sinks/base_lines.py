"""Files with one JSON object per alert and line: appended to, synced, and begun anew when they were moved away."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, BinaryIO, ClassVar, Self

import orjson
from pydantic import Field

from tocsin.component import Size
from tocsin.errors import DeliveryError
from tocsin.observe import live
from tocsin.records import Alert
from tocsin.sinks.base import REMEMBERED_IDS, DeliveredIds, Sink
from tocsin.storage.local import flush_folder

LONGEST_LINE = 4_096
"""Bytes of an ordinary alert, generously: as much of the file is looked through for ids as that many lines fill."""
_LONGEST_FIRST = 1 << 20
FULL = 256 * 2**20
"""Bytes of a file, unless the config says otherwise."""
FullSize = Annotated[Size, Field(ge=1 << 16)]


class LinesSink(Sink):
    """Appends one line per alert; whatever was written is on the disk when `write` returns.

    A file that was renamed or removed meanwhile is begun anew with the next write, and one that is full is moved to
    the same name with `.1` behind it, in place of what lay there. The last ids of both are known.

    Parameters
    ----------
    path
        The file; it and its folder are made if they are not there.
    size
        Bytes at which it is full.
    """

    name: ClassVar[str]
    """The `type:` of the config."""
    mode: ClassVar[int] = 0o600
    """Permissions of a new file."""

    def __init__(self, *, path: str, size: int = FULL) -> None:
        self.path = path
        self.size = size
        self._where = f"sink {self.name} {path}"
        self._file: BinaryIO | None = None
        self._delivered = DeliveredIds()

    @classmethod
    def example(cls, folder: Path) -> Self:
        """A sink that writes into `folder`."""
        return cls(path=str(folder / "alerts.json"))

    @abstractmethod
    def _entry(self, alert: Alert) -> Mapping[str, Any]:
        """What the line of an alert holds."""

    @abstractmethod
    def _id(self, entry: Mapping[str, Any]) -> object:
        """The id in such a line; None in one that this sink has not written."""

    def open(self) -> None:
        """Open the file, end a line that a crash left unfinished, and read which alerts are there.

        Raises
        ------
        DeliveryError
            If the file cannot be read and written, or holds something else.
        """
        self.close()
        try:
            self._begin()
        except OSError as error:
            self.close()
            raise DeliveryError(self._where, str(error), "a file that can be written") from error
        except DeliveryError:
            self.close()
            raise

    def write(self, alerts: Sequence[Alert]) -> None:
        """Append the alerts that are not in the file yet, and flush them to the disk.

        Raises
        ------
        DeliveryError
            If the sink is closed or the disk does not take all of them; then none of them stays in the file.
        """
        file = self._current()
        fresh = self._delivered.fresh(alerts)
        if not fresh:
            return
        end = file.seek(0, os.SEEK_END)
        try:
            _write_all(file, b"".join(orjson.dumps(self._entry(alert)) + b"\n" for alert in fresh))
            os.fsync(file.fileno())
        except OSError as error:
            with suppress(OSError):
                file.truncate(end)
            raise DeliveryError(self._where, str(error), "a disk that takes the alerts") from error
        for alert in fresh:
            self._delivered.add(alert.id)

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def _begin(self) -> None:
        path = Path(self.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, self.mode)
        self._file = os.fdopen(number, "a+b", buffering=0)
        self._refuse_other(path)
        for part in (_aside(path), path):
            if part.exists():
                self._remember(part)
        if _last_byte(self._file) not in (b"", b"\n"):
            _write_all(self._file, b"\n")
        flush_folder(path.parent)

    def _current(self) -> BinaryIO:
        """The file to write: the open one, unless it is full or stands no longer under its name."""
        if self._file is not None and not self._stands(self._file):
            self.open()
        if self._file is None:
            raise DeliveryError(self._where, "a write while closed", hint="open the sink first")
        return self._file

    def _stands(self, file: BinaryIO) -> bool:
        path, open_ = Path(self.path), os.fstat(file.fileno())
        try:
            if not os.path.samestat(path.stat(), open_):
                return False
            if open_.st_size < self.size:
                return True
            path.replace(_aside(path))
        except OSError:  # what is wrong is said by `open`
            return False
        live.alert_file_turned(self.name)
        return False

    def _refuse_other(self, path: Path) -> None:
        """A file that begins with anything but an alert holds something else, and is never written into."""
        with path.open("rb") as file:
            first = file.readline(_LONGEST_FIRST).strip()
        if first and self._id(_object(first)) is None:
            hint = "give the sink a path of its own"
            raise DeliveryError(self._where, "a file that holds something else", "alerts, or no file yet", hint)

    def _remember(self, path: Path) -> None:
        """Take the ids of the last alerts; lines that are no alert, such as one cut short by a crash, have none."""
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - REMEMBERED_IDS * LONGEST_LINE))
            for line in file:
                id = self._id(_object(line))
                if isinstance(id, str):
                    self._delivered.add(id)


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")


def _object(line: bytes) -> Mapping[str, Any]:
    """The JSON object of a line; an empty one if it holds none."""
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _write_all(file: BinaryIO, content: bytes) -> None:
    """An unbuffered file may take less than it is given."""
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]


def _last_byte(file: BinaryIO) -> bytes:
    file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
    return file.read(1)
