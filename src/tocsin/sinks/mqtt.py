"""MQTT: an alert is a message, published with QoS 1.

Source: OASIS, MQTT Version 5.0 (4.3.2 at least once; 3.4.2.1 reason codes of PUBACK).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self
from uuid import uuid4

import orjson

from tocsin.component import Risk
from tocsin.connections import Unreachable
from tocsin.connections.credentials import Credentials
from tocsin.connections.mqtt import EXAMPLE_SERVER, MqttClient, example_url
from tocsin.connections.mqtt_address import Address, ClientId, Topic
from tocsin.connections.mqtt_risks import risks
from tocsin.errors import DeliveryError
from tocsin.records import Alert
from tocsin.sinks.base import Sink, alert_json


class Mqtt(Sink):
    """Publish each alert as one JSON object to a topic.

    An alert is delivered when the broker acknowledged it and answered once more after that: mosquitto writes to its
    disk in between, if it is set as in `docs/brokers.md`. An alert that nobody has subscribed to would be forgotten,
    so it counts as not delivered and is tried again. It may arrive more than once; its `id` is always the same.

    Parameters
    ----------
    url
        `mqtt://host:1883`, or `mqtts://host:8883` for TLS.
    topic
        Where to publish.
    client_id
        The connection's name, for this sink alone.
    user, password_file
        If the broker asks who we are; the file holds the password.
    ca_file, certificate_file, key_file
        PEM files: who signed the broker's certificate if this machine does not know, and our own with its key.
    settings_file
        The broker's own config if it lies on this machine: `tocsin doctor` then looks into it.
    """

    def __init__(  # noqa: PLR0913  # each is one line of a config
        self,
        *,
        url: str = "mqtt://127.0.0.1:1883",
        topic: Topic = "tocsin/alerts",
        client_id: ClientId = "tocsin-alerts",
        user: str | None = None,
        password_file: str | None = None,
        ca_file: str | None = None,
        certificate_file: str | None = None,
        key_file: str | None = None,
        settings_file: str | None = None,
    ) -> None:
        Address.of(url)
        self.url = url
        self.topic = topic
        self.client_id = client_id
        self.user = user
        self.password_file = password_file
        self.ca_file = ca_file
        self.certificate_file = certificate_file
        self.key_file = key_file
        self.settings_file = settings_file
        self._credentials = Credentials(user, password_file, ca_file, certificate_file, key_file)
        self._client = MqttClient(url, client_id, self._credentials)

    def risks(self) -> tuple[Risk, ...]:
        try:
            return risks(self.url, self._credentials, self.settings_file)
        except Unreachable as error:
            raise self._undelivered(error) from error

    @classmethod
    def example(cls, folder: Path) -> Self:
        """A topic that somebody has subscribed to."""
        url, name = example_url(), f"example-{uuid4().hex[:12]}"
        listener = MqttClient(url, f"{name}-listener", Credentials(), keep_s=600)
        try:
            listener.connect()
            listener.subscribe([f"tocsin/{name}"])
        except Unreachable as error:
            raise DeliveryError(
                "example of sinks.mqtt", error.got, f"a broker at {url}", f"{EXAMPLE_SERVER} names another"
            ) from error
        finally:
            listener.close()
        return cls(url=url, topic=f"tocsin/{name}", client_id=name)

    def open(self) -> None:
        """Connect.

        Raises
        ------
        DeliveryError
            If the broker does not answer or refuses.
        """
        try:
            self._client.connect()
        except Unreachable as error:
            raise self._undelivered(error) from error

    def write(self, alerts: Sequence[Alert]) -> None:
        """Publish all of them.

        Raises
        ------
        DeliveryError
            If the broker did not take every one, nobody has subscribed to the topic, or the sink is closed.
        """
        try:
            self._client.publish(self.topic, [orjson.dumps(alert_json(alert)) for alert in alerts])
        except Unreachable as error:
            raise self._undelivered(error) from error

    def close(self) -> None:
        """Disconnect; may be called twice."""
        self._client.close()

    def _undelivered(self, error: Unreachable) -> DeliveryError:
        return DeliveryError(f"sink mqtt {self.url}", error.got, "a broker that takes the alerts", error.hint)
