"""Alerts as messages of a JetStream stream.

Source: NATS, "JetStream" (Message Deduplication).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Self
from uuid import uuid4

import orjson

from tocsin.component import Risk
from tocsin.connections import Unreachable
from tocsin.connections.credentials import Credentials
from tocsin.connections.nats import EXAMPLE_SERVER, NatsClient
from tocsin.connections.nats_facts import Subject, check_url
from tocsin.errors import DeliveryError
from tocsin.records import Alert
from tocsin.sinks.base import Sink, alert_json


class Nats(Sink):
    """Publish alerts, one JSON message each, and wait until a stream has stored them.

    The id of an alert is the `Nats-Msg-Id` of its message: a stream leaves out a repeat for two minutes, or as long as
    its `duplicate_window` says; a reader tells a later one by the id. A connection that is lost is made again by the
    next write.

    Parameters
    ----------
    url
        `nats://host:4222`; `tls://host:4222` insists on TLS.
    subject
        A stream must take it.
    user, password_file
        If the server asks who we are; a password without a user is a token.
    credentials_file
        In their place, an NKey: the seed of a user, or the `.creds` of nsc.
    ca_file, certificate_file, key_file
        PEM files: who signed the server's certificate if this machine does not know, and our own with its key.
    """

    def __init__(  # noqa: PLR0913  # each is one line of a config
        self,
        *,
        url: str = "nats://127.0.0.1:4222",
        subject: Subject = "tocsin.alerts",
        user: str | None = None,
        password_file: str | None = None,
        credentials_file: str | None = None,
        ca_file: str | None = None,
        certificate_file: str | None = None,
        key_file: str | None = None,
    ) -> None:
        check_url(url)
        self.url = url
        self.subject = subject
        self.user = user
        self.password_file = password_file
        self.credentials_file = credentials_file
        self.ca_file = ca_file
        self.certificate_file = certificate_file
        self.key_file = key_file
        self._client = NatsClient(url, self.credentials, credentials_file)
        self._opened = False

    @property
    def credentials(self) -> Credentials:
        """Who we are to the server."""
        return Credentials(self.user, self.password_file, self.ca_file, self.certificate_file, self.key_file)

    def risks(self) -> tuple[Risk, ...]:
        try:
            self._client.connect()
            return self._client.stream(self._client.stream_of(self.subject)).risks
        except Unreachable as error:
            raise self._undelivered(error) from error
        finally:
            self._client.close()

    @classmethod
    def example(cls, folder: Path) -> Self:
        """A stream of its own."""
        url, name = os.environ.get(EXAMPLE_SERVER, "nats://127.0.0.1:4222"), f"example-{uuid4().hex[:12]}"
        client = NatsClient(url, Credentials())
        try:
            client.connect()
            client.make_stream(name, [name])
        except Unreachable as error:
            hint = f"{EXAMPLE_SERVER} names another"
            raise DeliveryError(
                "example of sinks.nats", error.got, f"a server with JetStream at {url}", hint
            ) from error
        finally:
            client.close()
        return cls(url=url, subject=name)

    def open(self) -> None:
        try:
            self._client.connect()
        except Unreachable as error:
            raise self._undelivered(error) from error
        self._opened = True

    def write(self, alerts: Sequence[Alert]) -> None:
        if not self._opened:
            raise DeliveryError(self._where, "a write while closed", hint="open the sink first")
        try:
            if not self._client.alive:
                self._client.connect()
            self._client.publish(self.subject, [(alert.id, orjson.dumps(alert_json(alert))) for alert in alerts])
        except Unreachable as error:
            raise self._undelivered(error) from error

    def close(self) -> None:
        self._opened = False
        self._client.close()

    @property
    def _where(self) -> str:
        return f"sink nats {self.url}, subject {self.subject}"

    def _undelivered(self, error: Unreachable) -> DeliveryError:
        return DeliveryError(self._where, error.got, "an acknowledgement of a stream", error.hint)
