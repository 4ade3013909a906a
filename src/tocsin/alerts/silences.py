"""What is silenced for a while: a small file that `tocsin silence` writes and a running service reads again.

It holds pseudonyms, never names. A silence ends by itself, by the time of day.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from tocsin.errors import IntegrityError, LimitExceeded, NotStored
from tocsin.kernel.checkpoint import replacing
from tocsin.observe import ringing

MOST = 1_000
"""Silences at a time."""
LONGEST_S = 30 * 86_400.0
"""Seconds that one may last: what is never to ring belongs into `alerts.allow`."""
MOST_BYTES = 4 * 2**20
MOST_TEXT = 200
"""Characters of a name, a cause or a reason."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Keeps the alerts of an entity, of a cause, or of both together quiet until its time."""

    number: int
    entity: str
    """A pseudonym; empty for all."""
    cause: str
    until: datetime
    reason: str


class Silences:
    """The silences in one file.

    Parameters
    ----------
    path
        It need not exist.
    clock
        The time of day.
    """

    def __init__(self, path: Path, clock: Callable[[], datetime]) -> None:
        self._path = path
        self._clock = clock
        self._read: tuple[Silence, ...] = ()
        self._stamp: tuple[int, ...] | None = None

    def standing(self) -> tuple[Silence, ...]:
        """Those that last now. The file is read when it has changed; while it cannot be, the last ones stand."""
        stamp = _stamp(self._path)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._read = _read(self._path)
            except (IntegrityError, OSError) as error:
                ringing.silences_refused(str(error))
        return self._lasting(self._read)

    def all(self) -> tuple[Silence, ...]:
        """Those that last now.

        Raises
        ------
        IntegrityError
            If the file is damaged.
        """
        return self._lasting(_read(self._path))

    def add(self, entity: str, cause: str, for_s: float, reason: str) -> Silence:
        """Silence an entity, a cause or, with neither empty, a cause at an entity.

        Raises
        ------
        LimitExceeded
            If there are `MOST` already, it is to last longer than `LONGEST_S`, or a word is longer than `MOST_TEXT`.
        IntegrityError
            If the file is damaged.
        """
        if for_s > LONGEST_S:
            hint = "put what is never to ring into alerts.allow"
            raise LimitExceeded("a silence", f"{for_s / 86_400:g} days", f"at most {LONGEST_S / 86_400:g} days", hint)
        if (longest := max(map(len, (entity, cause, reason)))) > MOST_TEXT:
            raise LimitExceeded("a silence", f"{longest} characters", f"at most {MOST_TEXT}")
        with self._changing() as known:
            if len(known) >= MOST:
                raise LimitExceeded(str(self._path), f"{MOST} silences", "fewer", "remove those that nobody needs")
            number = 1 + max((item.number for item in known), default=0)
            added = Silence(number, entity, cause, self._clock() + timedelta(seconds=for_s), reason)
            known.append(added)
        return added

    def remove(self, number: int) -> Silence:
        """End one before its time.

        Raises
        ------
        NotStored
            If there is none of that number.
        IntegrityError
            If the file is damaged.
        """
        with self._changing() as known:
            found = next((item for item in known if item.number == number), None)
            if found is None:
                raise NotStored(
                    str(self._path), f"no silence {number}", "one of those that `tocsin silence list` shows"
                )
            known.remove(found)
        return found

    def _lasting(self, known: Sequence[Silence]) -> tuple[Silence, ...]:
        now = self._clock()
        return tuple(item for item in known if item.until > now)

    @contextmanager
    def _changing(self) -> Iterator[list[Silence]]:
        """Those that last, to be changed; nobody else changes them meanwhile."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = list(self.all())
            yield known
            with replacing(self._path) as file:
                file.write(orjson.dumps([asdict(item) for item in known], option=orjson.OPT_INDENT_2))
                file.flush()
                os.fsync(file.fileno())
        finally:
            os.close(lock)


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read(path: Path) -> tuple[Silence, ...]:
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return ()
    hint = "remove the file: what it silenced rings again"
    if len(text) > MOST_BYTES:
        raise IntegrityError(str(path), f"more than {MOST_BYTES} bytes", f"at most {MOST} silences", hint)
    try:
        return tuple(_silence(entry) for entry in orjson.loads(text)[:MOST])
    except (ValueError, TypeError, KeyError) as error:
        raise IntegrityError(str(path), str(error), "what `tocsin silence` writes", hint) from error


def _silence(entry: dict[str, Any]) -> Silence:
    until = datetime.fromisoformat(entry["until"])
    words = [entry[name] for name in ("entity", "cause", "reason")]
    if until.tzinfo is None or type(entry["number"]) is not int:
        raise ValueError("a silence without a number or with a time of no zone")
    if any(type(word) is not str or len(word) > MOST_TEXT for word in words) or not (words[0] or words[1]):
        raise ValueError("a silence of everything, or with words that are none")
    return Silence(entry["number"], words[0], words[1], until, words[2])
