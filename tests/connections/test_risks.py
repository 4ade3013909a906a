"""`tocsin doctor` before NATS and Redis: safe settings pass, unsafe ones are named and end with 1."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Literal

import orjson
import pytest
from tests.connections.servers import NatsServer, RedisServer, Server, documented, running

from tocsin.connections.credentials import Credentials
from tocsin.connections.nats import NatsClient
from tocsin.connections.redis import RedisClient

Tocsin = Callable[..., CompletedProcess[str]]
CONFIG = """\
version: 1
name: site
preset: flows
source: {{type: {kind}, url: "{url}", stream: events}}
sinks: [{{type: {kind}, url: "{url}", {place}: {where}}}]
"""


def findings(tocsin: Tocsin, folder: Path, kind: str, url: str) -> tuple[int, list[dict[str, Any]]]:
    place, where = ("subject", "events.alerts") if kind == "nats" else ("stream", "alerts")
    config = folder / "tocsin.yaml"
    config.write_text(CONFIG.format(kind=kind, url=url, place=place, where=where))
    told = tocsin("-c", config, "doctor", "--json")
    return told.returncode, [
        item for item in orjson.loads(told.stdout)["findings"] if item["what"] in (f"source {kind}", f"sink {kind}")
    ]


@pytest.mark.parametrize(
    ("settings", "broken", "advised"),
    [
        (documented("Redis"), set(), set()),
        ("", {"appendonly"}, set()),
        ("appendonly yes\n", set(), {"appendfsync"}),
        ("appendonly yes\nappendfsync no\nmaxmemory-policy allkeys-lru\n", {"maxmemory-policy"}, {"appendfsync"}),
        ("appendonly yes\nrename-command CONFIG ''\n", set(), {"appendfsync"}),
    ],
    ids=["as the page has it", "as Debian has it", "flushed later", "evicting", "which tells nothing"],
)
def test_redis(tmp_path: Path, tocsin: Tocsin, settings: str, broken: set[str], advised: set[str]) -> None:
    with running(RedisServer(tmp_path / "redis", settings)) as server:
        ended, found = findings(tocsin, tmp_path, "redis_stream", server.url)
    assert {item["found"].partition(":")[0] for item in found if item["verdict"] == "broken"} == broken
    assert {item["found"].partition(":")[0] for item in found if item["verdict"] == "advice"} == advised
    assert ended == (1 if broken else 0)
    assert len(found) >= 2


def test_check_asks_a_broker_and_leaves_its_rows_to_the_service(tmp_path: Path, tocsin: Tocsin) -> None:
    with running(RedisServer(tmp_path / "redis", documented("Redis"))) as server:
        client = RedisClient(server.url, Credentials())
        client.connect()
        client.make_group("events", "tocsin", None)
        client.add("events", [{"data": b"{}"}], 10)
        findings(tocsin, tmp_path, "redis_stream", server.url)
        told = orjson.loads(tocsin("-c", tmp_path / "tocsin.yaml", "check", "--connect", "--json").stdout)
        (source,) = [item for item in told["dependencies"] if item["name"] == "source"]
        assert (source["status"], source["found"]) == (
            "valid",
            "redis_stream, answers; its rows are left to the service",
        )
        assert len(client.take("events", "tocsin", "the service", 10, 1.0)[0]) == 1
        client.close()


def test_nats_in_a_file_is_kept_and_flushed_later(tmp_path: Path, tocsin: Tocsin) -> None:
    with running(NatsServer(tmp_path / "nats", documented("NATS"))) as server:
        make_stream(server, "file")
        ended, found = findings(tocsin, tmp_path, "nats", server.url)
    assert [(item["what"], item["verdict"]) for item in found] == [("source nats", "advice"), ("sink nats", "advice")]
    assert all("2.9.10" in item["found"] and item["found"].startswith("sync_interval") for item in found)
    assert ended == 0


def test_nats_in_memory_is_lost(tmp_path: Path, tocsin: Tocsin) -> None:
    with running(NatsServer(tmp_path / "nats", documented("NATS"))) as server:
        make_stream(server, "memory")
        ended, found = findings(tocsin, tmp_path, "nats", server.url)
    assert [(item["verdict"], item["found"].partition(":")[0]) for item in found] == [("broken", "storage")] * 2
    assert ended == 1


@pytest.mark.parametrize("kind", ["nats", "redis_stream"])
def test_a_server_that_is_away_is_advice(tmp_path: Path, tocsin: Tocsin, kind: str) -> None:
    scheme = kind.partition("_")[0]
    ended, found = findings(tocsin, tmp_path, kind, f"{scheme}://127.0.0.1:1")
    assert [item["verdict"] for item in found] == ["advice", "advice"]
    assert all("cannot be asked" in item["found"] for item in found)
    assert ended == 0


def test_asking_changes_nothing(tmp_path: Path, tocsin: Tocsin) -> None:
    with running(RedisServer(tmp_path / "redis", documented("Redis"))) as server:
        findings(tocsin, tmp_path, "redis_stream", server.url)
        client = RedisClient(server.url, Credentials())
        client.connect()
        assert client.last("events") == (0, 0)
        client.close()


def make_stream(server: Server, storage: Literal["file", "memory"]) -> None:
    client = NatsClient(server.url, Credentials())
    client.connect()
    client.make_stream("events", ["events.>"], storage)
    client.close()
