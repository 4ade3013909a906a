"""What is special to Redis: entries of others, trimmed entries, fields, credentials, alerts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.connections.benches import Bench, Reader, bench, counted, numbered
from tests.connections.servers import RedisServer, documented, running
from tests.sinks.receivers import certified

from tocsin.checks.sink import example_alert
from tocsin.connections.credentials import Credentials
from tocsin.connections.redis import EntryId, RedisClient
from tocsin.errors import DeliveryError, SourceLost
from tocsin.sinks.redis_stream import RedisStream as RedisSink
from tocsin.sources.redis_stream import RedisStream

PAGE = Path(__file__).parents[2] / "docs" / "brokers.md"
FIRST = EntryId(0, 0)


@pytest.fixture
def broker(tmp_path: Path, need: Callable[[bool, str], None]) -> Iterator[Bench]:
    need(RedisServer.found() is not None, "redis-server is not installed")
    with bench("redis_stream", tmp_path) as found:
        yield found


def client_of(broker: Bench) -> RedisClient:
    client = RedisClient(broker.url(), Credentials())
    client.connect()
    return client


def told(folder: Path, word: str) -> str:
    """A file that holds a password."""
    path = folder / word
    path.write_text(f"{word}\n", "utf-8")
    return str(path)


def test_entries_that_another_consumer_took_with_it_are_taken_over(broker: Bench) -> None:
    broker.publish(numbered(range(10)))
    client = client_of(broker)
    client.make_group("events", "tocsin", FIRST)
    client.take("events", "tocsin", "an older name", 4, 0.0)
    client.close()
    reader = Reader(broker.source())
    reader.read_all()
    reader.close()
    assert reader.kept == list(range(10))


def test_entries_given_to_somebody_else_are_noticed_before_a_row_is_given(broker: Bench) -> None:
    reader = Reader(broker.source())
    reader.read()
    broker.publish(numbered(range(10)))
    client = client_of(broker)
    stolen, _ = client.take("events", "tocsin", "tocsin", 3, 0.0)
    client.close()
    broker.publish(numbered(range(10, 20)))
    reader.read_all()
    reader.close()
    assert len(stolen) == 3
    assert reader.kept == list(range(20))
    assert reader.losses == 1


def test_entries_trimmed_before_they_were_committed_are_counted(broker: Bench) -> None:
    broker.publish(numbered(range(10)))
    reader = Reader(broker.source())
    reader.read(commit=False)
    reader.close()
    client = client_of(broker)
    client.add("events", [{"data": b'{"n": 10}'}], 1)
    for entry in client.entries("events", FIRST, 3):
        client._told("XDEL", "events", entry.id)
    client.close()
    before = counted("tocsin_messages_trimmed_total", "redis_stream")
    reader.read_all()
    reader.close()
    assert reader.kept == list(range(3, 11))
    assert counted("tocsin_messages_trimmed_total", "redis_stream") == before + 3


def test_an_entry_without_the_field_is_refused(broker: Bench) -> None:
    client = client_of(broker)
    client.add("events", [{"n": b"1"}, {"x": b"", "data": b'{"n": 2}'}, {"other": b"{}"}], 100)
    client.close()
    reader = Reader(broker.source())
    reader.read_all()
    reader.close()
    assert reader.kept == [2]
    assert [reason for reason, _ in reader.refused] == ["no_field", "no_field"]


def test_the_fields_of_an_entry_may_be_the_columns(broker: Bench) -> None:
    client = client_of(broker)
    client.add("events", [{"n": b"1", "host": b"a"}, {"n": b"2", "host": b"\xff"}], 100)
    client.close()
    source = broker.source(field=None, history=True)
    source.open()
    batch = source.read(1.0)
    source.close()
    assert batch is not None
    assert batch["host"].tolist() == ["a", "\\xff"]
    assert batch["n"].tolist() == ["1", "2"]


def test_a_server_that_lost_its_newest_entries_is_read_on(broker: Bench) -> None:
    broker.publish(numbered(range(5)))
    reader = Reader(broker.source())
    reader.read_all()
    reader.close()
    client = client_of(broker)
    client._told("DEL", "events")
    client._told("XADD", "events", "7-1", "data", b'{"n": 5}')
    client.close()
    before = counted("tocsin_sessions_forgotten_total", "redis_stream")
    reader.read_all()
    broker.publish(numbered([6]))
    reader.read_all()
    reader.close()
    assert reader.kept[-1] == 6
    assert counted("tocsin_sessions_forgotten_total", "redis_stream") == before + 1


def test_a_key_of_another_kind_is_said_to_be_one(broker: Bench) -> None:
    client = client_of(broker)
    client._told("SET", "events", "text")
    client.close()
    with pytest.raises(SourceLost, match="something else than a stream"):
        broker.source().open()


def test_the_rights_of_the_page_are_enough_and_no_other_user_comes_in(broker: Bench, tmp_path: Path) -> None:
    line = re.search(r"^user tocsin on .*$", PAGE.read_text("utf-8"), re.M)
    assert line
    client = client_of(broker)
    client._told("ACL SETUSER", *line[0].split()[1:])
    client.close()
    broker.publish(numbered(range(5)))
    me: dict[str, Any] = {"user": "tocsin", "password_file": told(tmp_path, "secret")}
    reader = Reader(broker.source(**me))
    reader.read_all()
    reader.close()
    sink = RedisSink(url=broker.url(), stream="tocsin:alerts", **me)
    sink.open()
    sink.write([example_alert()])
    sink.close()
    assert reader.kept == list(range(5))
    with pytest.raises(SourceLost, match="check `user`"):
        broker.source(user="tocsin", password_file=told(tmp_path, "wrong")).open()
    with pytest.raises(SourceLost, match="rights that the user needs"):
        RedisStream(url=broker.url(), stream="others", **me).open()


def test_certificates_are_checked_on_both_sides(
    tmp_path: Path, need: Callable[[bool, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    need(RedisServer.found() is not None, "redis-server is not installed")
    _, authority = certified(tmp_path)
    own = str(tmp_path / "server.pem")
    monkeypatch.setenv("HOME", str(tmp_path))

    class TlsServer(RedisServer):
        def command(self) -> list[str]:
            tls = ["--tls-port", str(self.tls_port), "--tls-cert-file", own, "--tls-key-file", own]
            return [*super().command(), *tls, "--tls-ca-cert-file", authority]

        tls_port = 0

    server = TlsServer(tmp_path / "redis", documented("Redis"))
    server.tls_port = RedisServer(tmp_path / "unused", "").port
    with running(server):
        url = f"rediss://127.0.0.1:{server.tls_port}"
        source = RedisStream(
            url=url,
            stream="events",
            ca_file=f"~/{Path(authority).name}",
            certificate_file="~/server.pem",
            key_file="~/server.pem",
        )
        source.open()
        source.close()
        with pytest.raises(SourceLost, match="certificate verify failed"):
            RedisStream(url=url, stream="events", certificate_file=own, key_file=own).open()
        with pytest.raises(SourceLost, match="is the broker up"):
            RedisStream(url=url, stream="events", ca_file=authority).open()


def test_alerts_lie_in_the_stream_with_their_id_and_after_a_restart(broker: Bench) -> None:
    sink = RedisSink(url=broker.url(), stream="alerts", keep=2)
    sink.open()
    sink.write([example_alert(1), example_alert(2)])
    sink.write([example_alert(2)])
    broker.server.kill()
    with pytest.raises(DeliveryError):
        sink.write([example_alert(3)])
    broker.server.start()
    sink.write([example_alert(3), example_alert(1)])
    sink.close()
    client = client_of(broker)
    found = client.entries("alerts", FIRST, 10)
    client.close()
    fields = [dict(zip(entry.fields[::2], entry.fields[1::2], strict=True)) for entry in found if entry.fields]
    assert [item[b"id"].decode() for item in fields] == [example_alert(number).id for number in (1, 2, 3)]
    assert [orjson.loads(item[b"data"])["id"] for item in fields] == [item[b"id"].decode() for item in fields]


def test_a_full_server_takes_no_alert_and_says_so(broker: Bench) -> None:
    sink = RedisSink(url=broker.url(), stream="alerts")
    sink.open()
    client = client_of(broker)
    client._told("CONFIG SET", "maxmemory", "1")
    client.close()
    with pytest.raises(DeliveryError, match="memory is full"):
        sink.write([example_alert()])
    sink.close()


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_an_id_is_read_as_it_is_written_and_follows_the_one_before(ms: int, sequence: int) -> None:
    id = EntryId(ms, sequence)
    assert EntryId.of(str(id).encode()) == id
    assert id.before < id or id == FIRST
