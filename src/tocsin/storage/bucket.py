"""Objects under any key, on a machine or in the cloud: what telemetry is read from and run artefacts are put into.

A `Store` holds what Tocsin writes for itself, under names that it chose. A bucket also holds what others wrote.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from tocsin.errors import NotStored


@dataclass(frozen=True, slots=True)
class Entry:
    """An object as a listing tells it."""

    key: str
    size: int
    """Bytes."""
    modified: datetime
    """UTC."""
    etag: str
    """Other bytes under the same key have another one."""


class Bucket(ABC):
    """Objects of one bucket below one prefix; keys are relative to it.

    Elsewhere every request is counted, and so are the bytes: see `tocsin.storage.meter`.
    """

    url: str
    """`s3://bucket/prefix`, `gs://bucket/prefix` or the path of a folder; without credentials."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Objects whose keys begin so, by key; pages are asked for as they are needed.

        Raises
        ------
        SourceLost
            If the bucket does not answer after all tries, or refuses.
        LimitExceeded
            If the meter allows no more, here and in all that follow.
        """

    @abstractmethod
    def read(
        self, key: str, *, start: int = 0, length: int | None = None, etag: str | None = None, limit: int | None = None
    ) -> bytes:
        """Bytes of an object; by default all of them.

        Parameters
        ----------
        key
            Which object.
        start, length
            The range that is wanted; what lies behind the end is left out.
        etag
            Of the listing that the range comes from.
        limit
            More bytes than this are refused, and are not read.

        Raises
        ------
        NotStored
            If there is no such object.
        ConflictError
            If its etag is another than asked for: somebody has written it meanwhile.
        IntegrityError
            If there are more than `limit` bytes.
        SourceLost
            As `list`.
        """

    @abstractmethod
    def create(self, key: str, data: bytes) -> None:
        """Write an object that must not exist; raises ConflictError if it does, SourceLost as `list`."""

    @abstractmethod
    def write(self, key: str, data: bytes) -> None:
        """Write an object, whether it exists or not; raises SourceLost as `list`."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Forget an object; one that does not exist is forgotten already. Raises SourceLost as `list`."""


def expect_plain(key: str) -> None:
    """Raise NotStored unless a key is made of segments that cannot climb: nothing else is ever stored."""
    if not {"", ".", ".."}.isdisjoint(key.split("/")) or "\0" in key:
        raise NotStored(key[:200] or "a key", "a key with an empty segment, or one of dots", "plain segments")
