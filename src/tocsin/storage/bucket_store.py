"""A store in a bucket: closed names on what can create an object once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

from tocsin.errors import ConflictError, NotStored, RegistryError, SourceLost
from tocsin.storage.base import MAX_SEGMENTS, SEGMENT, Store
from tocsin.storage.bucket import Bucket

RENEW_AFTER = timedelta(minutes=20)
"""What is put again and is older than this is written anew, so that it counts as modified now."""


class BucketStore(Store):
    """Objects of a bucket under closed names; whatever else lies there is none of ours.

    Parameters
    ----------
    bucket
        Where; its prefix is the store's own.
    clock
        The time of day, to tell which objects are old.
    """

    def __init__(self, bucket: Bucket, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._bucket = bucket
        self._clock = clock

    def __repr__(self) -> str:
        return f"BucketStore({self._bucket!r})"

    def get(self, name: str, limit_bytes: int) -> bytes:
        """One request; see `Store.get`."""
        with _errors(name):
            return self._bucket.read(name, limit=limit_bytes)

    def put(self, name: str, data: bytes) -> None:
        """One request, of which one writer of many is the first; see `Store.put`."""
        with _errors(name):
            try:
                self._bucket.create(name, data)
            except ConflictError:
                self._renew(name, data)
                raise

    def times(self, prefix: str) -> Mapping[str, datetime]:
        """One request for a thousand names; see `Store.times`."""
        with _errors(prefix or "name"):
            found = [(entry.key, entry.modified) for entry in self._bucket.list(f"{prefix}/" if prefix else "")]
        return {key: time for key, time in sorted(found) if _is_closed(key)}

    def delete(self, name: str) -> None:
        """One request; see `Store.delete`."""
        with _errors(name):
            self._bucket.delete(name)

    def modified(self, name: str) -> datetime:
        """One request; see `Store.modified`."""
        with _errors(name):
            entry = next((entry for entry in self._bucket.list(name) if entry.key == name), None)
        if entry is None:
            raise NotStored(name, "nothing stored under this name")
        return entry.modified

    def _renew(self, name: str, data: bytes) -> None:
        """Write what stands under the hash of its bytes anew: no collector that goes by age takes it then.

        Whoever may not overwrite leaves it as it is.
        """
        with suppress(SourceLost, RegistryError):
            if name.endswith(hashlib.sha256(data).hexdigest()) and self._clock() - self.modified(name) > RENEW_AFTER:
                self._bucket.write(name, data)


def _is_closed(name: str) -> bool:
    segments = name.split("/")
    return len(segments) <= MAX_SEGMENTS and all(SEGMENT.fullmatch(segment) for segment in segments)


@contextmanager
def _errors(name: str) -> Iterator[None]:
    if not _is_closed(name):
        raise RegistryError("name", repr(name[:200]), f"at most {MAX_SEGMENTS} segments like {SEGMENT.pattern}")
    try:
        yield
    except SourceLost as error:
        problem = error.problem
        raise RegistryError(problem.where, problem.got, problem.wanted, problem.hint) from error
