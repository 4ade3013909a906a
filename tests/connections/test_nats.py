"""What is special to NATS: consumers of another kind, streams made again, gaps, credentials, alerts."""

from __future__ import annotations

import gc
import os
from base64 import b32encode
from binascii import crc_hqx
from collections.abc import Callable, Iterator
from errno import EMFILE
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.connections.benches import Bench, NatsBench, Reader, bench, counted, numbered
from tests.connections.servers import NatsServer, documented, running
from tests.sinks.receivers import certified

from tocsin.checks.sink import example_alert
from tocsin.connections import Unreachable
from tocsin.connections.credentials import Credentials
from tocsin.connections.nats import NatsClient
from tocsin.connections.nats_keys import UserKey
from tocsin.errors import ConfigError, DataError, DeliveryError, SourceLost
from tocsin.sinks.nats import Nats as NatsSink
from tocsin.sources.nats import Nats

FORGOTTEN = "tocsin_sessions_forgotten_total"


@pytest.fixture
def broker(tmp_path: Path, need: Callable[[bool, str], None]) -> Iterator[Bench]:
    need(NatsServer.found() is not None, "nats-server is not installed")
    with bench("nats", tmp_path) as found:
        yield found


def client_of(broker: Bench) -> NatsClient:
    client = NatsClient(broker.url(), Credentials())
    client.connect()
    return client


def told(folder: Path, word: str) -> str:
    """A file that holds a password."""
    path = folder / word
    path.write_text(f"{word}\n", "utf-8")
    return str(path)


def seed(raw: bytes) -> str:
    """The seed of a user, as nsc writes it."""
    body = bytes([18 << 3 | (20 << 3) >> 5, ((20 << 3) & 31) << 3]) + raw
    return b32encode(body + crc_hqx(body, 0).to_bytes(2, "little")).decode().rstrip("=")


def test_a_stream_made_again_under_its_name_is_read_from_its_beginning(broker: Bench) -> None:
    broker.publish(numbered(range(10)))
    reader = Reader(broker.source())
    reader.read_all()
    reader.close()
    broker.close()
    broker.server.kill()
    other = NatsServer(broker.server.folder / "other", documented("NATS"))
    with running(other):
        second = NatsBench(other)
        second.publish(numbered(range(100, 105)))
        before = counted(FORGOTTEN, "nats")
        again = Reader(second.source())
        again.position = reader.position
        again.read_all()
        again.close()
        second.close()
    assert again.kept == list(range(100, 105))
    assert counted(FORGOTTEN, "nats") == before + 1


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_client_whose_thread_dies_is_a_lost_source_and_nothing_is_lost(broker: Bench) -> None:
    broker.publish(numbered(range(10)))
    source = broker.source()
    assert isinstance(source, Nats)
    reader = Reader(source)
    reader.read_all()
    loop = source._client._loop
    assert loop is not None
    loop.call_soon_threadsafe(loop.stop)
    reader.read_all()
    assert reader.losses == 1
    broker.publish(numbered(range(10, 20)))
    reader.read_all()
    reader.close()
    assert reader.kept == list(range(20))
    gc.collect()  # what the dead loop left open


def test_a_consumer_of_another_kind_is_refused_and_left_alone(broker: Bench) -> None:
    client = client_of(broker)
    client.make_consumer("events", "tocsin", "events.b", behind=0, in_flight=10)
    with pytest.raises(DataError, match=r"(?s)events\.b.*another `consumer`") as refusal:
        broker.source().open()
    assert "all subjects" in str(refusal.value)
    found = client.consumer("events", "tocsin")
    client.close()
    assert found is not None
    assert found.subject == "events.b"


def test_only_the_subjects_asked_for_are_read(broker: Bench) -> None:
    client = client_of(broker)
    for number, subject in enumerate(("events.a", "events.b.c", "events.a", "events.b.d")):
        client.publish(subject, [(f"{number}-{subject}", numbered([number])[0])])
    client.close()
    reader = Reader(broker.source(subject="events.b.*"))
    reader.read_all()
    reader.close()
    history = Reader(broker.source(subject="events.a", history=True))
    while not history.source.ended:
        history.read(1.0)
    history.close()
    assert (reader.kept, history.kept) == ([1, 3], [0, 2])


def test_a_delivery_into_a_lost_connection_is_noticed_before_a_row_is_given(broker: Bench) -> None:
    reader = Reader(broker.source())
    reader.read(0.1)
    thief = client_of(broker)
    thief.consume("events", "tocsin")
    broker.publish(numbered(range(5_000)))
    stolen = thief.take(1, 5.0)
    thief.close()
    assert stolen
    while len(reader.kept) < 5_000:
        reader.read(1.0)
    reader.close()
    assert reader.kept == list(range(5_000))
    assert reader.losses >= 1


def test_a_server_may_give_no_more_than_is_allowed_in_flight(broker: Bench) -> None:
    broker.publish(numbered(range(30)))
    reader = Reader(broker.source(in_flight=10))
    reader.read_all(confirm=False)
    assert reader.kept == list(range(10))
    reader.source.confirm()
    reader.read_all()
    reader.close()
    assert reader.kept == list(range(30))


def test_no_stream_is_said_to_be_none(broker: Bench) -> None:
    with pytest.raises(SourceLost, match=r"(?s)stream not found.*docs/brokers\.md"):
        Nats(url=broker.url(), stream="others").open()


def test_who_may_not_is_told_so(tmp_path: Path, need: Callable[[bool, str], None]) -> None:
    need(NatsServer.found() is not None, "nats-server is not installed")
    settings = documented("NATS") + "authorization { user: tocsin, password: right }\n"
    right, wrong = told(tmp_path, "right"), told(tmp_path, "wrong")
    with running(NatsServer(tmp_path / "nats", settings)) as server:
        for source in (
            Nats(url=server.url, stream="events"),
            Nats(url=server.url, stream="events", user="tocsin", password_file=wrong),
        ):
            with pytest.raises(SourceLost, match="Authorization Violation"):
                source.open()
        with pytest.raises(SourceLost, match="stream not found"):
            Nats(url=server.url, stream="events", user="tocsin", password_file=right).open()


def test_a_password_without_a_user_is_a_token(tmp_path: Path, need: Callable[[bool, str], None]) -> None:
    need(NatsServer.found() is not None, "nats-server is not installed")
    with running(NatsServer(tmp_path / "nats", documented("NATS") + "authorization { token: right }\n")) as server:
        with pytest.raises(SourceLost, match="stream not found"):
            Nats(url=server.url, stream="events", password_file=told(tmp_path, "right")).open()
        with pytest.raises(SourceLost, match="Authorization"):
            Nats(url=server.url, stream="events").open()


def test_certificates_are_checked_on_both_sides(tmp_path: Path, need: Callable[[bool, str], None]) -> None:
    need(NatsServer.found() is not None, "nats-server is not installed")
    _, authority = certified(tmp_path)
    own = tmp_path / "server.pem"
    tls = f'tls {{ cert_file: "{own}", key_file: "{own}", ca_file: "{authority}", verify: true }}\n'
    with running(NatsServer(tmp_path / "nats", documented("NATS") + tls)) as server:
        url = server.url.replace("nats:", "tls:")
        right: dict[str, Any] = {"ca_file": authority, "certificate_file": str(own), "key_file": str(own)}
        with pytest.raises(SourceLost, match="stream not found"):
            Nats(url=url, stream="events", **right).open()
        with pytest.raises(SourceLost, match="certificate verify failed"):
            Nats(url=url, stream="events").open()
        with pytest.raises(SourceLost, match="is the broker up"):
            Nats(url=url, stream="events", ca_file=authority).open()


def test_a_key_proves_who_we_are(tmp_path: Path, need: Callable[[bool, str], None]) -> None:
    need(NatsServer.found() is not None, "nats-server is not installed")
    right, wrong = seed(bytes(range(32))), seed(bytes(range(1, 33)))
    user = UserKey.read(told(tmp_path, right)).public
    settings = documented("NATS") + f"authorization {{ users: [ {{ nkey: {user} }} ] }}\n"
    with running(NatsServer(tmp_path / "nats", settings)) as server:
        with pytest.raises(SourceLost, match="stream not found"):
            Nats(url=server.url, stream="events", credentials_file=told(tmp_path, right)).open()
        with pytest.raises(SourceLost, match="Authorization"):
            Nats(url=server.url, stream="events", credentials_file=told(tmp_path, wrong)).open()


def test_a_key_is_that_of_the_specification_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    known = "SUAMK2FG4MI6UE3ACF3FK3OIQBCEIEZV7NSWFFEW63UXMRLFM2XLAXK4GY"
    creds = f"-----BEGIN NATS USER JWT-----\neyJh.eyJi.c_-c\n------END\n\n-----BEGIN USER NKEY SEED-----\n{known}\n"
    (tmp_path / "creds").write_text(creds)
    user = UserKey.read(str(tmp_path / "creds"))
    assert user.claim == "eyJh.eyJi.c_-c"
    assert len(user.public) == 56
    assert user.public.startswith("U")
    for text in ("", "SU" + "A" * 56, known[:-1] + "Q"):
        (tmp_path / "damaged").write_text(text)
        with pytest.raises(ConfigError, match="no seed of a user") as refusal:
            UserKey.read(str(tmp_path / "damaged"))
        assert not text or text not in str(refusal.value)


def test_a_server_that_leaves_tls_out_is_told_no_password(broker: Bench, tmp_path: Path) -> None:
    url = broker.url().replace("nats:", "tls:")
    with pytest.raises(SourceLost, match="a server without TLS"):
        Nats(url=url, stream="events", user="me", password_file=told(tmp_path, "hush")).open()


def test_alerts_arrive_once_with_their_id_and_after_a_restart(broker: Bench) -> None:
    sink = NatsSink(url=broker.url(), subject="events.alerts")
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
    client.make_consumer("events", "reader", None, behind=0, in_flight=100)
    client.consume("events", "reader")
    found: list[bytes] = []
    while len(found) < 3:
        found += [item.data for item in client.take(10, 1.0)]
    assert client.take(10, 0.2) == []
    client.close()
    assert [orjson.loads(data)["id"] for data in found] == [example_alert(number).id for number in (1, 2, 3)]


def test_an_alert_that_no_stream_takes_is_not_delivered(broker: Bench) -> None:
    sink = NatsSink(url=broker.url(), subject="elsewhere")
    sink.open()
    with pytest.raises(DeliveryError, match="no stream"):
        sink.write([example_alert()])
    sink.close()


def test_a_closed_client_says_so(broker: Bench) -> None:
    client = NatsClient(broker.url(), Credentials())
    client.close()
    with pytest.raises(Unreachable, match="no connection"):
        client.stream("events")


def test_a_client_without_a_loop_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError(EMFILE, os.strerror(EMFILE))

    monkeypatch.setattr("asyncio.events.new_event_loop", refuse)
    with pytest.raises(Unreachable, match="Too many open files"):
        NatsClient("nats://127.0.0.1:4222", Credentials()).connect()
