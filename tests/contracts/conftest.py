"""Brokers of the tests' own, where the examples of parts that need one find them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.connections.mosquitto import BINARY, mosquitto
from tests.connections.servers import NatsServer, RedisServer, documented, running

from tocsin.connections import mqtt, nats, redis


@pytest.fixture(scope="session", autouse=True)
def _brokers(tmp_path_factory: pytest.TempPathFactory, need: Callable[[bool, str], None]) -> Iterator[None]:
    """One of each for all of them."""
    need(BINARY is not None, "mosquitto is not installed")
    need(NatsServer.found() is not None, "nats-server is not installed")
    need(RedisServer.found() is not None, "redis-server is not installed")
    folder = tmp_path_factory.mktemp("brokers")
    with (
        pytest.MonkeyPatch.context() as environment,
        mosquitto(tmp_path_factory.mktemp("mosquitto")) as mqtt_server,
        running(NatsServer(folder / "nats", documented("NATS"))) as nats_server,
        running(RedisServer(folder / "redis", documented("Redis"))) as redis_server,
    ):
        environment.setenv(mqtt.EXAMPLE_SERVER, mqtt_server.url)
        environment.setenv(nats.EXAMPLE_SERVER, nats_server.url)
        environment.setenv(redis.EXAMPLE_SERVER, redis_server.url)
        yield
