"""Alerts over MQTT against a real mosquitto: delivered means kept, and nothing is told that was not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest
from tests.connections.mosquitto import documented, mosquitto

from tocsin.checks.sink import example_alert
from tocsin.connections.credentials import Credentials
from tocsin.connections.mqtt import MqttClient
from tocsin.errors import DeliveryError
from tocsin.sinks.mqtt import Mqtt


def listener(url: str) -> MqttClient:
    """A session that the broker keeps alerts for."""
    client = MqttClient(url, "pager", Credentials(), keep_s=3_600, in_flight=1_000)
    client.connect()
    client.subscribe(["tocsin/alerts"])
    client.close()
    return client


def ids_of(client: MqttClient) -> list[str]:
    client.connect()
    found: list[str] = []
    while came := client.take(1_000, 0.5):
        found += [orjson.loads(item.payload)["id"] for item in came]
        client.acknowledge([item.mid for item in came])
    client.close()
    return found


def test_an_alert_that_nobody_waits_for_is_not_delivered(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        sink = Mqtt(url=broker.url)
        sink.open()
        with pytest.raises(DeliveryError, match="subscribe first"):
            sink.write([example_alert()])
        pager = listener(broker.url)
        sink.write([example_alert()])
        sink.close()
        assert ids_of(pager) == [example_alert().id]


@pytest.mark.soak
def test_what_counts_as_delivered_survives_the_broker_s_death(
    tmp_path: Path, rng: np.random.Generator, rounds: Callable[[int, int], int]
) -> None:
    with mosquitto(tmp_path, documented()) as broker:
        pager = listener(broker.url)
        delivered: list[str] = []
        number = 0
        for _ in range(rounds(4, 100)):
            sink = Mqtt(url=broker.url)
            sink.open()
            killer = threading.Timer(float(rng.uniform(0.02, 0.2)), broker.kill)
            killer.start()
            try:
                while True:
                    number += 1
                    sink.write([example_alert(number)])
                    delivered.append(example_alert(number).id)
            except DeliveryError:
                sink.close()
            killer.join()
            broker.start()
        got = ids_of(pager)
    assert len(delivered) > 10
    assert set(delivered) - set(got) == set()
