"""One request to a bucket elsewhere, made once: what S3 and Google Cloud Storage do each in their own way."""

from __future__ import annotations

import io
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

from tocsin.errors import IntegrityError
from tocsin.storage.bucket import Entry

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Status codes that may be gone at the next try."""
RANGE_NOT_SATISFIABLE = 416
CONNECT_TIMEOUT_S = 5.0
SILENCE_TIMEOUT_S = 30.0
"""From one piece of an answer to the next."""
ANSWER_TIMEOUT_S = 300.0
"""From the first piece to the last."""


class Passing(Exception):
    """A request failed in a way that may be gone at the next try; the text says how."""


class BehindTheEnd(Exception):
    """A range begins where the object has ended: there are no bytes, and nothing is wrong."""


class Intake:
    """Takes the bytes of an answer as they come, and no more than it may.

    Parameters
    ----------
    key, limit
        Of what, and how many bytes at most.
    count
        Told of every piece.
    elapsed
        Seconds that only grow.
    """

    def __init__(
        self,
        key: str,
        limit: int | None,
        count: Callable[[int], None],
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._key = key
        self._limit = limit
        self._count = count
        self._elapsed = elapsed
        self._ends = elapsed() + ANSWER_TIMEOUT_S
        self._bytes = io.BytesIO()

    def expect(self, size: int) -> None:
        """An answer of so many bytes is about to come; raises IntegrityError if that is too many."""
        if self._limit is not None and size > self._limit:
            raise IntegrityError(self._key, f"{size} bytes", f"at most {self._limit}")

    def write(self, piece: bytes) -> int:
        """Take a piece; raises IntegrityError if there are too many bytes by now, Passing if it took too long."""
        self._count(len(piece))
        if self._elapsed() > self._ends:
            raise Passing("the answer did not end")
        self.expect(self._bytes.tell() + len(piece))
        return self._bytes.write(piece)

    def all(self) -> bytes:
        """What has come; without a copy."""
        return self._bytes.getvalue()


class Wire(ABC):
    """Requests to one bucket, under whole keys. None of them is tried twice.

    All raise `Passing` if another try may help, and SourceLost if none can.
    """

    url: str
    """What to call the bucket in a message."""

    @abstractmethod
    def page(self, prefix: str, token: str | None) -> tuple[list[Entry], str | None]:
        """One page of a listing, by key, and the token of the next one."""

    @abstractmethod
    def get(self, key: str, into: Intake, *, start: int, length: int | None, etag: str | None) -> None:
        """Bytes of an object; raises NotStored, and ConflictError for another etag."""

    @abstractmethod
    def put(self, key: str, data: bytes, *, create: bool) -> None:
        """Write an object; raises ConflictError if it is to be created and exists."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Forget an object; one that does not exist is forgotten already."""
