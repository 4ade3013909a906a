"""What storage elsewhere costs: requests by kind and bytes both ways, counted and bounded."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Literal

from tocsin import observe
from tocsin.errors import LimitExceeded

Request = Literal["list", "get", "put", "delete"]


class Meter:
    """Counts what is asked of buckets, and ends a run before it asks for more than it may.

    Parameters
    ----------
    requests, transfer
        How many requests, and how many bytes in both directions together; by default any number.
    """

    def __init__(self, requests: int | None = None, transfer: int | None = None) -> None:
        self.requests: Counter[Request] = Counter()
        """By kind; every try counts, also one that fails."""
        self.received_bytes = 0
        self.sent_bytes = 0
        self._most = requests
        self._most_bytes = transfer
        self._lock = threading.Lock()

    @property
    def transferred_bytes(self) -> int:
        """Bytes in both directions."""
        return self.received_bytes + self.sent_bytes

    def begin(self, bucket: str, kind: Request, *, sent: int = 0) -> None:
        """Count a request that is about to be made, and the bytes of its body.

        Raises
        ------
        LimitExceeded
            If it would be one request too many, or bytes beyond the limit; it is not to be made then.
        """
        with self._lock:
            if self._most is not None and self.requests.total() >= self._most:
                raise _exceeded(bucket, f"{self._most} requests", "requests")
            self._expect_room(bucket, max(sent, 1))
            self.requests[kind] += 1
            self.sent_bytes += sent
        observe.storage_asked(kind, sent)

    def receive(self, bucket: str, size: int) -> None:
        """Count bytes that have come; raises LimitExceeded if there are too many by now."""
        observe.storage_answered(size)
        with self._lock:
            self.received_bytes += size
            self._expect_room(bucket, 0)

    def _expect_room(self, bucket: str, more: int) -> None:
        if self._most_bytes is not None and self.transferred_bytes + more > self._most_bytes:
            raise _exceeded(bucket, f"{self.transferred_bytes} of {self._most_bytes} bytes and more to go", "transfer")


def _exceeded(bucket: str, got: str, limit: str) -> LimitExceeded:
    return LimitExceeded(bucket, got, f"no more in this run, as limits.{limit} says", "raise it, or ask for less")
