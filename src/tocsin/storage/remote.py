"""A bucket elsewhere: every try is counted before it is made, and what may pass is tried again after a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

import numpy as np

from tocsin import observe
from tocsin.errors import ConflictError, LimitExceeded, SourceLost
from tocsin.storage.bucket import Bucket, Entry, expect_plain
from tocsin.storage.meter import Meter, Request
from tocsin.storage.wire import Intake, Passing, Wire

TRIES = 5
MAX_KEY_BYTES = 1_024
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 8.0
_Answer = TypeVar("_Answer")


class RemoteBucket(Bucket):
    """A bucket behind a wire.

    Parameters
    ----------
    wire
        Makes the requests.
    prefix
        What stands before all keys: empty, or with a slash at its end.
    meter
        Counts and bounds them.
    sleep
        Waits for that many seconds.
    rng
        Makes one waiting process wait otherwise than the next.
    """

    def __init__(
        self,
        wire: Wire,
        prefix: str,
        meter: Meter,
        *,
        sleep: Callable[[float], None] = time.sleep,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.url = wire.url
        self._prefix = prefix
        self._wire = wire
        self._meter = meter
        self._sleep = sleep
        self._rng = rng or np.random.default_rng()

    def __repr__(self) -> str:
        return f"RemoteBucket({self.url!r})"

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Page by page; see `Bucket.list`."""
        token: str | None = None
        while True:
            entries, token = self._asked("list", partial(self._wire.page, self._prefix + prefix, token))
            for entry in entries:
                yield Entry(entry.key.removeprefix(self._prefix), entry.size, entry.modified, entry.etag)
            if token is None:
                return

    def read(
        self, key: str, *, start: int = 0, length: int | None = None, etag: str | None = None, limit: int | None = None
    ) -> bytes:
        """One answer, from its beginning at every try; see `Bucket.read`."""
        whole = self._whole(key)
        if length == 0:
            return b""

        def step() -> bytes:
            into = Intake(key, limit, lambda size: self._meter.receive(self.url, size))
            self._wire.get(whole, into, start=start, length=length, etag=etag)
            return into.all()

        return self._asked("get", step)

    def create(self, key: str, data: bytes) -> None:
        """Create an object, or find that an earlier try has; see `Bucket.create`."""
        whole, tries = self._whole(key), 0

        def step() -> None:
            nonlocal tries
            tries += 1
            self._wire.put(whole, data, create=True)

        try:
            self._asked("put", step, data)
        except ConflictError:
            # A try whose answer was lost may have done it.
            if tries < 2 or self.read(key, length=len(data) + 1) != data:
                raise

    def write(self, key: str, data: bytes) -> None:
        """Write an object, whether it exists or not; see `Bucket.write`."""
        whole = self._whole(key)
        self._asked("put", lambda: self._wire.put(whole, data, create=False), data)

    def delete(self, key: str) -> None:
        """Forget an object; see `Bucket.delete`."""
        whole = self._whole(key)
        self._asked("delete", lambda: self._wire.delete(whole))

    def _asked(self, kind: Request, step: Callable[[], _Answer], body: bytes = b"") -> _Answer:
        """What a step answers in the end; waits double and are shortened by chance, to half at most."""
        reason = ""
        for tries in range(TRIES):
            if tries:
                wait_s = min(_FIRST_WAIT_S * 2 ** (tries - 1), _LONGEST_WAIT_S) * self._rng.uniform(0.5, 1.0)
                observe.storage_retried(kind, reason, wait_s)
                self._sleep(wait_s)
            self._meter.begin(self.url, kind, sent=len(body))
            try:
                return step()
            except Passing as passing:
                reason = str(passing)
        hint = "is the network up, and the address right? All that was stored before still holds"
        raise SourceLost(self.url, f"no answer in {TRIES} tries ({reason})", "an answer", hint)

    def _whole(self, key: str) -> str:
        expect_plain(key)
        whole = self._prefix + key
        if len(whole.encode()) > MAX_KEY_BYTES:
            raise LimitExceeded(key[:200], f"{len(whole.encode())} bytes of key", f"at most {MAX_KEY_BYTES}")
        return whole
