"""MQTT against a real mosquitto: nothing committed comes twice, nothing uncommitted is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from time import monotonic
from uuid import uuid4

import numpy as np
import pytest
from tests.connections.mosquitto import BINARY, Mosquitto, documented, mosquitto
from tests.connections.proxy import proxy

from tocsin.connections import Unreachable
from tocsin.connections import mqtt as connections
from tocsin.connections.credentials import Credentials
from tocsin.connections.mqtt import MqttClient
from tocsin.errors import ConfigError, SourceLost
from tocsin.log import counters
from tocsin.records import Position
from tocsin.sources.mqtt import Mqtt

WAIT_S = 2.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, need: Callable[[bool, str], None]) -> Iterator[Mosquitto]:
    need(BINARY is not None, "mosquitto is not installed")
    with mosquitto(tmp_path_factory.mktemp("mosquitto"), documented()) as server:
        yield server


def source_of(url: str, name: str = "", **more: object) -> Mqtt:
    """A source with a session of its own, which the broker knows already."""
    name = name or f"test-{uuid4().hex[:8]}"
    found = Mqtt(url=url, client_id=name, topics=(f"{name}/#",), **more)  # type: ignore[arg-type]  # words of a config
    found.open()
    found.close()
    return found


def publish(broker: Mosquitto, source: Mqtt, contents: Sequence[bytes]) -> None:
    sender = MqttClient(broker.url, f"sender-{uuid4().hex[:8]}", Credentials())
    sender.connect()
    sender.publish(f"{source.client_id}/1", contents)
    sender.close()


def numbered(numbers: Sequence[int]) -> list[bytes]:
    return [b'{"n": %d}' % number for number in numbers]


class Reader:
    """What a running service does: reads, commits, tells the broker."""

    def __init__(self, source: Mqtt) -> None:
        self.source = source
        self.kept: list[int] = []
        self.rejected: list[str] = []
        self.position: Position | None = None

    def open(self) -> None:
        self.source.open(self.position)

    def read(self, timeout_s: float = WAIT_S, *, confirm: bool = True) -> int:
        """Read one batch and commit it; how many rows."""
        batch = self.source.read(timeout_s)
        if batch is None:
            return 0
        self.position = self.source.acknowledge(batch)
        self.kept += [int(n) for n in batch["n"]] if "n" in batch else []
        self.rejected += [item.reason for item in batch.rejected]
        if confirm:
            self.source.confirm()
        return batch.rows + len(batch.rejected)

    def read_all(self, timeout_s: float = 0.1, *, confirm: bool = True) -> None:
        """A read that leaves out what came once more has no row either, and does not wait."""
        quiet, until = 0, monotonic() + 3 * timeout_s
        while quiet < 3 or monotonic() < until:
            quiet += 1
            if self.read(timeout_s, confirm=confirm):
                quiet, until = 0, monotonic() + 3 * timeout_s

    def read_until_lost(self, *, raising: bool = False) -> None:
        with nullcontext() if raising else suppress(SourceLost):
            while True:
                self.read(0.05)


def test_what_was_committed_and_not_confirmed_comes_again_and_is_left_out(broker: Mosquitto) -> None:
    reader = Reader(source_of(broker.url, rows=10))
    publish(broker, reader.source, numbered(range(30)))
    reader.open()
    reader.read(confirm=True)
    reader.read(confirm=False)
    reader.source.read(WAIT_S)  # read, and never committed
    reader.source.close()
    before = counters().get('tocsin_messages_redelivered_total{source="mqtt"}', 0)
    reader.open()
    reader.read_all()
    reader.source.close()
    assert reader.kept == list(range(30))
    assert counters()['tocsin_messages_redelivered_total{source="mqtt"}'] - before >= 10
    reader.open()
    assert reader.read(0.2) == 0, "the broker was told of all"
    reader.source.close()


def test_a_slow_broker_hears_what_was_confirmed_last(broker: Mosquitto) -> None:
    reader = Reader(source_of(broker.url, rows=1))
    publish(broker, reader.source, numbered(range(20)))
    reader.open()
    while len(reader.kept) < 10:
        reader.read()
    os.kill(broker.pid, signal.SIGSTOP)
    awake = threading.Timer(0.3, os.kill, (broker.pid, signal.SIGCONT))
    awake.start()
    reader.read_all(0.0)
    reader.source.close()
    awake.join()
    told = len(reader.kept)
    before = counters().get('tocsin_messages_redelivered_total{source="mqtt"}', 0)
    reader.open()
    reader.read_all()
    reader.source.close()
    assert told > 10
    assert reader.kept == list(range(20))
    assert counters().get('tocsin_messages_redelivered_total{source="mqtt"}', 0) == before


def test_equal_messages_stay_as_many_as_they_are(broker: Mosquitto) -> None:
    reader = Reader(source_of(broker.url, rows=3))
    publish(broker, reader.source, [b'{"n": 7}'] * 8)
    reader.open()
    reader.read(confirm=False)
    reader.source.close()
    reader.open()
    reader.read_all()
    reader.source.close()
    assert reader.kept == [7] * 8


def test_repeats_that_fill_the_window_do_not_stop_the_stream(broker: Mosquitto) -> None:
    reader = Reader(source_of(broker.url, rows=5, in_flight=5))
    publish(broker, reader.source, numbered(range(12)))
    reader.open()
    reader.read(confirm=False)
    reader.source.close()
    reader.open()
    reader.read_all()
    reader.source.close()
    assert reader.kept == list(range(12))


@pytest.mark.soak
def test_kills_at_any_moment_lose_and_repeat_nothing(
    broker: Mosquitto, rng: np.random.Generator, rounds: Callable[[int, int], int]
) -> None:
    """Whatever was read, committed or confirmed when the connection ended: each message becomes one row."""
    reader = Reader(source_of(broker.url, rows=4, in_flight=7))
    sent, turns = 0, rounds(40, 2_000)
    for _ in range(turns):
        more = int(rng.integers(0, 6))
        publish(broker, reader.source, numbered(range(sent, sent + more)))
        sent += more
        reader.open()
        for _ in range(int(rng.integers(0, 4))):
            reader.read(0.02, confirm=bool(rng.random() < 0.5))
        if rng.random() < 0.5:
            reader.source.read(0.02)
        reader.source.close()
    reader.open()
    reader.read_all()
    reader.source.close()
    assert reader.kept == list(range(sent))


def test_a_part_of_an_envelope_goes_on_where_it_was_committed(broker: Mosquitto) -> None:
    reader = Reader(source_of(broker.url, rows=4))
    publish(broker, reader.source, [b"\n".join(numbered(range(10))), b"\n".join(numbered(range(10, 20)))])
    reader.open()
    reader.read()
    reader.source.close()
    reader.open()
    reader.read_all()
    reader.source.close()
    assert reader.kept == list(range(20))


def test_poison_is_refused_with_a_reason_and_does_not_come_again(broker: Mosquitto) -> None:
    poison = [b"", b"\xff\xfe", b'{"n": 1', b"[1, 2]", b"null", b'{"n": NaN}', b"\x00" * 50]
    reader = Reader(source_of(broker.url, rows=100))
    publish(broker, reader.source, [*numbered(range(100)), *poison, *numbered(range(100, 200))])
    reader.open()
    reader.read_all()
    assert reader.kept == list(range(200))
    assert len(reader.rejected) >= len(poison)
    assert all(reason.isidentifier() for reason in reader.rejected)
    reader.source.close()
    reader.open()
    assert reader.read(0.2) == 0
    reader.source.close()


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_client_whose_thread_dies_is_a_lost_source_and_nothing_is_lost(broker: Mosquitto) -> None:
    reader = Reader(source_of(broker.url, rows=10))
    publish(broker, reader.source, numbered(range(50)))
    reader.open()
    reader.read()
    paho = reader.source._client._open

    def defect(*_: object) -> None:
        raise KeyError("a defect")

    paho.on_message = defect
    publish(broker, reader.source, numbered(range(50, 60)))
    socket = paho.socket()
    with pytest.raises(SourceLost, match="KeyError in the thread that reads"):
        reader.read_until_lost(raising=True)
    reader.source.close()
    assert socket is not None
    assert socket.fileno() == -1, "a descriptor is left behind"
    reader.open()
    reader.read_all()
    reader.source.close()
    assert reader.kept == list(range(60))


def test_a_killed_broker_loses_nothing_that_it_acknowledged(
    tmp_path: Path, rng: np.random.Generator, rounds: Callable[[int, int], int]
) -> None:
    """The documented settings; a sender and a reader at work, while the broker is killed and started again."""
    with mosquitto(tmp_path, documented()) as broker:
        reader = Reader(source_of(broker.url, rows=50, in_flight=20))
        acknowledged: list[int] = []
        for _ in range(rounds(4, 100)):
            reader.open()
            killer = threading.Timer(float(rng.uniform(0.05, 0.3)), broker.kill)
            killer.start()
            first = max(acknowledged, default=-1) + 1_000
            sender = threading.Thread(target=_publish_until_lost, args=(broker.url, reader.source, first, acknowledged))
            sender.start()
            reader.read_until_lost()
            sender.join()
            killer.join()
            reader.source.close()
            broker.start()
        reader.open()
        reader.read_all()
        reader.source.close()
    assert len(acknowledged) > 20
    assert set(acknowledged) - set(reader.kept) == set()
    assert len(reader.kept) == len(set(reader.kept))


def _publish_until_lost(url: str, source: Mqtt, first: int, acknowledged: list[int]) -> None:
    sender = MqttClient(url, "sender", Credentials())
    try:
        sender.connect()
        while True:
            sender.publish(f"{source.client_id}/1", numbered([first]))
            acknowledged.append(first)
            first += 1
    except Unreachable:
        sender.close()


@pytest.mark.parametrize("mood", ["deaf", "reset", "slow"])
def test_a_bad_line_is_noticed_and_costs_nothing(broker: Mosquitto, mood: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "KEEPALIVE_S", 1)
    monkeypatch.setattr(connections, "ANSWER_WITHIN_S", 2.0)
    with proxy(broker.port) as between:
        reader = Reader(source_of(f"mqtt://127.0.0.1:{between.port}", rows=50))
        publish(broker, reader.source, numbered(range(200)))
        reader.open()
        reader.read()
        if mood == "slow":
            between.mood = mood
            while len(reader.kept) < 200:
                reader.read(0.5)
        else:
            between.mood = "passing" if mood == "reset" else mood
            if mood == "reset":
                between.reset()
            reader.read_until_lost()
            reader.source.close()
            between.mood = "passing"
            between.reset()
            reader.open()
            reader.read_all()
        reader.source.close()
    assert reader.kept == list(range(200))


def test_a_broker_that_is_not_there_or_refuses_says_so(broker: Mosquitto, tmp_path: Path) -> None:
    with pytest.raises(SourceLost, match="refused"):
        Mqtt(url="mqtt://127.0.0.1:1", topics=("t",), client_id="a").open()
    with pytest.raises(ValueError, match="wanted mqtt"):
        Mqtt(url="http://127.0.0.1", topics=("t",), client_id="a")
    with pytest.raises(ValueError, match="password_file"):
        Mqtt(url="mqtt://me:secret@127.0.0.1", topics=("t",), client_id="a")


def test_two_services_of_one_name_are_told(broker: Mosquitto) -> None:
    first = source_of(broker.url, "twin")
    second = Mqtt(url=broker.url, topics=("t/#",), client_id="twin")
    first.open()
    second.open()
    with pytest.raises(SourceLost, match="nobody else"):
        first.read(WAIT_S)
    first.close()
    second.close()


def test_a_forgotten_session_is_counted(broker: Mosquitto) -> None:
    before = counters().get('tocsin_sessions_forgotten_total{source="mqtt"}', 0)
    source = Mqtt(url=broker.url, topics=("t/#",), client_id=f"new-{uuid4().hex[:8]}")
    source.open(Position("mqtt", {"whole": 12}))
    source.close()
    assert counters()['tocsin_sessions_forgotten_total{source="mqtt"}'] == before + 1


def test_a_password_and_certificates_are_asked_for_and_given(tmp_path: Path) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    files = _certificates(folder)
    passwords = folder / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "tocsin", "right"], check=True, capture_output=True)
    settings = (
        f"allow_anonymous false\npassword_file {passwords}\ncafile {files['ca_file']}\n"
        f"certfile {folder}/server.pem\nkeyfile {folder}/server.key\nrequire_certificate true\n"
    )
    (tmp_path / "right").write_text("right\n")
    (tmp_path / "wrong").write_text("wrong\n")
    with mosquitto(folder, settings) as broker:
        url = broker.url.replace("mqtt://127.0.0.1", "mqtts://localhost")
        right = {"user": "tocsin", "password_file": str(tmp_path / "right"), **files}
        source_of(url, "let-in", **right)
        with pytest.raises(SourceLost, match="Not authorized"):
            source_of(url, "wrong", **{**right, "password_file": str(tmp_path / "wrong")})
        with pytest.raises(SourceLost):
            source_of(url, "no-certificate", **{**right, "certificate_file": None, "key_file": None})
        with pytest.raises(SourceLost, match="certificate verify failed"):
            source_of(url, "stranger", **{**right, "ca_file": None})
    with pytest.raises(ConfigError, match="one password"):
        source_of(broker.url, "x", user="a", password_file=str(files["ca_file"]))


def _certificates(folder: Path) -> dict[str, str]:
    """An authority, a server of the name localhost, and a client; the parameters of a source that shows the latter."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority", "-days", "2")
    for name in ("server", "client"):
        openssl("req", *new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / "names").write_text("subjectAltName=DNS:localhost\n")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
        openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *signed)
    return {
        "ca_file": str(folder / "ca.pem"),
        "certificate_file": str(folder / "client.pem"),
        "key_file": str(folder / "client.key"),
    }
