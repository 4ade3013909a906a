"""Alerts as entries of a Redis stream.

Source: Redis, "Redis Streams" and the reference of XADD.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self
from uuid import uuid4

import orjson
from pydantic import Field

from tocsin.component import Risk
from tocsin.connections import Unreachable
from tocsin.connections.credentials import Credentials
from tocsin.connections.redis import EXAMPLE_SERVER, Key, RedisClient, address
from tocsin.errors import DeliveryError
from tocsin.records import Alert
from tocsin.sinks.base import DeliveredIds, Sink, alert_json


class RedisStream(Sink):
    """Add alerts to a stream, one entry each: its `id`, and `data` with the alert as JSON.

    Redis knows of no repeats: an alert may lie there twice after a kill, or if an acknowledgement was lost. A reader
    tells it by the `id`. A connection that is lost is made again by the next write.

    Parameters
    ----------
    url
        `redis://host:6379/0`, or `rediss://host:6379/0` for TLS; the number is that of the database.
    stream
        Its key. It is made if it is not there.
    keep
        About how many entries stay, the newest.
    user, password_file
        If the server asks who we are; a password without a user is that of the user `default`.
    ca_file, certificate_file, key_file
        PEM files: who signed the server's certificate if this machine does not know, and our own with its key.
    """

    def __init__(  # noqa: PLR0913  # each is one line of a config
        self,
        *,
        url: str = "redis://127.0.0.1:6379/0",
        stream: Key = "tocsin:alerts",
        keep: Annotated[int, Field(ge=1, le=10**9)] = 100_000,
        user: str | None = None,
        password_file: str | None = None,
        ca_file: str | None = None,
        certificate_file: str | None = None,
        key_file: str | None = None,
    ) -> None:
        address(url)
        self.url = url
        self.stream = stream
        self.keep = keep
        self.user = user
        self.password_file = password_file
        self.ca_file = ca_file
        self.certificate_file = certificate_file
        self.key_file = key_file
        self._client = RedisClient(url, self.credentials)
        self._delivered: DeliveredIds | None = None

    @property
    def credentials(self) -> Credentials:
        """Who we are to the server."""
        return Credentials(self.user, self.password_file, self.ca_file, self.certificate_file, self.key_file)

    def risks(self) -> tuple[Risk, ...]:
        try:
            self._client.connect()
            return self._client.risks()
        except Unreachable as error:
            raise self._undelivered(error) from error
        finally:
            self._client.close()

    @classmethod
    def example(cls, folder: Path) -> Self:
        """A stream of its own."""
        url = os.environ.get(EXAMPLE_SERVER, "redis://127.0.0.1:6379/0")
        return cls(url=url, stream=f"example-{uuid4().hex[:12]}")

    def open(self) -> None:
        try:
            self._client.connect()
        except Unreachable as error:
            raise self._undelivered(error) from error
        self._delivered = DeliveredIds()

    def write(self, alerts: Sequence[Alert]) -> None:
        if self._delivered is None:
            raise DeliveryError(self._where, "a write while closed", hint="open the sink first")
        fresh = self._delivered.fresh(alerts)
        entries = [{"id": alert.id.encode(), "data": orjson.dumps(alert_json(alert))} for alert in fresh]
        try:
            if not self._client.alive:
                self._client.connect()
            self._client.add(self.stream, entries, self.keep)
        except Unreachable as error:
            raise self._undelivered(error) from error
        for alert in fresh:
            self._delivered.add(alert.id)

    def close(self) -> None:
        self._delivered = None
        self._client.close()

    @property
    def _where(self) -> str:
        return f"sink redis_stream {self.url}, stream {self.stream}"

    def _undelivered(self, error: Unreachable) -> DeliveryError:
        return DeliveryError(self._where, error.got, "an acknowledgement of the server", error.hint)
