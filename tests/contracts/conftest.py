"""Brokers of the tests' own, where the examples of parts that need one find them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.connections.mosquitto import BINARY, mosquitto

from tocsin.connections.mqtt import EXAMPLE_SERVER


@pytest.fixture(scope="session", autouse=True)
def _mqtt(
    tmp_path_factory: pytest.TempPathFactory, need: Callable[[bool, str], None]
) -> Iterator[None]:
    """A mosquitto for all of them."""
    need(BINARY is not None, "mosquitto is not installed")
    with pytest.MonkeyPatch.context() as environment, mosquitto(tmp_path_factory.mktemp("mosquitto")) as server:
        environment.setenv(EXAMPLE_SERVER, server.url)
        yield
