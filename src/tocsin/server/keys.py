"""API keys: who may ask the server what. Only hashes are kept, in a file for its owner alone.

A key is `prefix.secret`: the prefix finds it, and the secret, 32 random bytes, proves it. So many cannot be guessed,
and so a plain SHA-256 protects them as well as a slow hash would.

Source: OWASP, REST Security Cheat Sheet and Password Storage Cheat Sheet.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tocsin.errors import IntegrityError, LimitExceeded, NotStored
from tocsin.registry import private_files
from tocsin.server.policy import Role

MOST_KEYS = 1_000
MAX_FILE = 1 << 20
SECRET_BYTES, PREFIX_BYTES = 32, 6
LOOK_AGAIN_S = 1.0
"""A key that was revoked is refused after so long at most."""
_FORM = re.compile(r"([0-9a-f]{12})\.([A-Za-z0-9_-]{43})")
_NOBODY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept."""

    prefix: str
    sha256: str
    """Of the secret."""
    role: Role
    created: datetime
    expires: datetime
    note: str = ""
    """Whose it is."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    prefix: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    role: Role
    created: Annotated[datetime, Field(strict=False)]
    expires: Annotated[datetime, Field(strict=False)]
    note: Annotated[str, Field(max_length=200)] = ""


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: Annotated[list[_Entry], Field(max_length=MOST_KEYS)]


class ApiKeys:
    """The keys of a file, read again when it changes.

    Parameters
    ----------
    path
        Made with the first key.
    now
        The time of day.
    elapsed
        Seconds that only grow: the file is looked at once a second at most.

    Raises
    ------
    IntegrityError
        By every method, if the file is damaged, or others may read it.
    """

    def __init__(self, path: Path, now: Callable[[], datetime], elapsed: Callable[[], float]) -> None:
        self._path = path
        self._now = now
        self._elapsed = elapsed
        self._stamp: tuple[int, ...] | None = None
        self._known: dict[str, ApiKey] = {}
        self._looked = float("-inf")

    def new(self, role: Role, lasts: timedelta, note: str = "") -> str:
        """Make a key; the answer is told once, and nobody can read it afterwards.

        Raises
        ------
        LimitExceeded
            If there are a thousand already.
        """
        prefix, secret = secrets.token_hex(PREFIX_BYTES), secrets.token_urlsafe(SECRET_BYTES)
        now = self._now().replace(microsecond=0)
        with private_files.locked(self._path):
            known = self.all()
            if len(known) >= MOST_KEYS:
                raise LimitExceeded(str(self._path), f"{MOST_KEYS} keys", "fewer", "revoke those that are not used")
            self._write([*known, ApiKey(prefix, _hash(secret), role, now, now + lasts, note)])
        return f"{prefix}.{secret}"

    def revoke(self, prefix: str) -> ApiKey:
        """Forget a key; raises NotStored if there is none."""
        with private_files.locked(self._path):
            known = {key.prefix: key for key in self.all()}
            if prefix not in known:
                raise NotStored(str(self._path), f'no key "{prefix}"', f"one of: {', '.join(known) or 'none is there'}")
            self._write([key for key in known.values() if key.prefix != prefix])
        return known[prefix]

    def all(self) -> Sequence[ApiKey]:
        """Every key, the oldest first."""
        self._read()
        return tuple(self._known.values())

    def find(self, text: str) -> ApiKey | None:
        """The key of this text, if there is one and it has not expired."""
        if self._elapsed() - self._looked >= LOOK_AGAIN_S:
            self._read()
            self._looked = self._elapsed()  # a file that cannot be used lets nobody in until it can
        match = _FORM.fullmatch(text)
        key = self._known.get(match[1]) if match else None
        # A key that does not exist takes as long as one that does.
        proven = hmac.compare_digest(_hash(match[2] if match else ""), key.sha256 if key else _NOBODY)
        return key if key and proven and self._now() < key.expires else None

    def _read(self) -> None:
        try:
            with self._path.open("rb") as file:
                facts = os.fstat(file.fileno())
                if facts.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                    raise self._refused("a file that others may read or write", "one of its owner alone: chmod 600")
                stamp = (facts.st_ino, facts.st_size, facts.st_mtime_ns)
                if stamp == self._stamp:
                    return
                kept = _Kept.model_validate(orjson.loads(file.read(MAX_FILE)))
        except FileNotFoundError:
            self._known, self._stamp = {}, None
            return
        except (ValidationError, orjson.JSONDecodeError):
            raise self._refused("no list of keys", "what `tocsin keys api new` writes") from None
        except OSError as error:
            raise self._refused(error.strerror or "no file", "a file that can be read") from error
        self._known = {entry.prefix: ApiKey(**entry.model_dump()) for entry in kept.keys}
        self._stamp = stamp

    def _write(self, keys: Sequence[ApiKey]) -> None:
        data = orjson.dumps({"keys": [asdict(key) for key in keys]}, option=orjson.OPT_INDENT_2)
        private_files.replace(self._path, data)
        self._read()

    def _refused(self, got: str, wanted: str) -> IntegrityError:
        return IntegrityError(str(self._path), got, wanted)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
