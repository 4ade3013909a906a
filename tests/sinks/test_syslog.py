from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sinks.receivers import Listener, certified

from tocsin.checks.sink import example_alert
from tocsin.component import PartSpec, build
from tocsin.errors import ConfigError, DeliveryError
from tocsin.log import counters
from tocsin.records import Batch
from tocsin.sinks.syslog import Syslog, message
from tocsin.sources.syslog import Syslog as Source


@contextmanager
def opened(address: str, **parameters: object) -> Iterator[Syslog]:
    sink = build("sinks", PartSpec("syslog", {"address": address, "timeout": 1.0, **parameters}))
    assert isinstance(sink, Syslog)
    sink.open()
    try:
        yield sink
    finally:
        sink.close()


def frames(stream: bytes) -> list[bytes]:
    """Messages with counted octets before them."""
    found = []
    while stream:
        length, _, rest = stream.partition(b" ")
        found.append(rest[: int(length)])
        stream = rest[int(length) :]
    return found


def facts(text: str) -> dict[str, str]:
    """The one element of structured data, read letter by letter as RFC 5424 has it, and the rest as `words`."""
    rest = text.split(" ", 6)[6]
    found: dict[str, str] = {}
    assert rest.startswith('[tocsin@32473 id="')
    place = len("[tocsin@32473")
    while rest[place] == " ":
        name, _, _ = rest[place + 1 :].partition("=")
        assert name.replace("_", "").isalpha()
        place += len(name) + 3
        value = ""
        while rest[place] != '"':
            place += rest[place] == "\\"
            value += rest[place]
            place += 1
        found[name] = value
        place += 1
    assert rest[place] == "]"
    return {**found, "words": rest[place + 1 :].lstrip()}


def read_back(folder: Path, text: str) -> Batch:
    (folder / "x.log").write_text(f"{text}\n", "utf-8")
    source = Source(path=str(folder / "x.log"))
    source.open()
    batch = source.read(1.0)
    assert batch is not None
    return batch


def test_an_alert_is_a_message_that_our_own_source_reads(tmp_path: Path) -> None:
    batch = read_back(tmp_path, message(example_alert(), "daemon", 2_048).decode())
    row = {name: column[0] for name, column in batch.items()}
    assert row["timestamp"] == "2026-01-01T00:00:30.000000Z"
    assert (row["program"], row["facility"], row["severity"]) == ("tocsin", "daemon", 3)
    assert row["message"].startswith("high host 0: bytes_out 9.5e+06 bytes (usual 120 to 4.1e+05;")
    assert batch.rejected == ()


def test_what_an_alert_says_is_structured_data() -> None:
    found = facts(message(example_alert(1), "local0", 2_048).decode())
    assert found.pop("words").startswith("high host 1: ")
    assert found == {
        "id": example_alert(1).id, "severity": "high", "entity": "host 1", "cause": "bytes_out", "rows": "3",
        "start": "2026-01-01T00:01:00.000000Z", "end": "2026-01-01T00:01:30.000000Z", "p_value": "0.0005",
        "score": "5.25", "confidence": "0.75", "state": "ready", "model": "example 1", "origin": "flows.csv:2",
        "generated": "true",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("severity", "facility", "priority"),
    [("critical", "kern", 2), ("high", "user", 11), ("medium", "local0", 132), ("low", "local7", 189)],
)
def test_facility_and_severity_make_the_priority(severity: str, facility: str, priority: int) -> None:
    alert = replace(example_alert(), severity=severity)  # type: ignore[arg-type]  # one of the four
    assert message(alert, facility, 480).startswith(f"<{priority}>1 2026-".encode())


@given(entity=st.text(max_size=300), model=st.text(max_size=50), longest=st.integers(480, 2_048))
def test_no_text_of_telemetry_breaks_out_of_its_place(entity: str, model: str, longest: int) -> None:
    raw = message(replace(example_alert(), entity=entity, model=model, origin=entity), "local0", longest)
    assert len(raw) <= longest
    text = raw.decode()
    assert text.isprintable()
    found = facts(text)
    assert found["id"] == example_alert().id
    assert found["severity"] == "high"


def test_a_long_message_loses_its_end_and_is_counted() -> None:
    before = counters().get('tocsin_alerts_shortened_total{sink="syslog"}', 0)
    short = message(replace(example_alert(), entity="é" * 500), "local0", 480)
    assert len(short) <= 480
    assert counters()['tocsin_alerts_shortened_total{sink="syslog"}'] == before + 1


def test_an_alert_without_a_clock_has_no_time() -> None:
    assert b">1 - " in message(replace(example_alert(), start=None, end=None), "local0", 2_048)


def test_over_tcp_octets_are_counted_and_a_batch_is_one_connection() -> None:
    with Listener() as receiver, opened(f"tcp://127.0.0.1:{receiver.port}") as sink:
        sink.write([example_alert(1), replace(example_alert(2), entity="größe\n<13>1")])
        sink.write([example_alert(1), example_alert(3)])
    _, first, second = receiver.connections
    assert [frame[:5] for frame in frames(bytes(first))] == 2 * [b"<131>"]
    assert b"\\n<13>1" in frames(bytes(first))[1]
    assert [example_alert(3).id.encode() in frame for frame in frames(bytes(second))] == [True]


def test_over_tls_the_receiver_has_to_prove_who_it_is(tmp_path: Path) -> None:
    tls, ca = certified(tmp_path)
    with Listener(tls=tls) as receiver:
        address = f"tls://127.0.0.1:{receiver.port}"
        with opened(address, ca_file=ca) as sink:
            sink.write([example_alert(1)])
        with pytest.raises(DeliveryError, match="certificate verify failed"), opened(address):
            pass
    assert example_alert(1).id.encode() in receiver.received


def test_over_tls_the_end_is_said_before_the_connection_ends(tmp_path: Path) -> None:
    """Who receives can tell a whole batch from one that was cut off (RFC 5425, section 4.4)."""
    tls, ca = certified(tmp_path)
    endings: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(2):
                peer, _ = server.accept()
                with tls.wrap_socket(peer, server_side=True, suppress_ragged_eofs=False) as secured:
                    try:
                        while secured.recv(1 << 16):
                            pass
                        endings.append(b"said")
                    except ssl.SSLEOFError:
                        endings.append(b"cut off")

        thread = threading.Thread(target=serve)
        thread.start()
        with opened(f"tls://127.0.0.1:{server.getsockname()[1]}", ca_file=ca) as sink:
            sink.write([example_alert(1)])
        thread.join()
    assert endings[1] == b"said"


def test_a_receiver_that_dies_over_a_batch_has_not_got_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            server.accept()[0].close()
            peer, _ = server.accept()
            peer.recv(10)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            peer.close()  # with a reset
            peer, _ = server.accept()
            with peer:
                while piece := peer.recv(1 << 16):
                    kept.append(piece)

        kept: list[bytes] = []
        thread = threading.Thread(target=serve)
        thread.start()
        with opened(f"tcp://127.0.0.1:{server.getsockname()[1]}") as sink:
            with pytest.raises(DeliveryError):
                sink.write([example_alert(1)])
            sink.write([example_alert(1)])
        thread.join()
    assert example_alert(1).id.encode() in b"".join(kept)


@pytest.mark.parametrize(("answer", "wanted"), [(b"", "timed out"), (b"hello", "an answer, where logs are given none")])
def test_a_receiver_that_does_not_close_has_not_taken_it(answer: bytes, wanted: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def serve() -> None:
            server.accept()[0].close()
            peer, _ = server.accept()
            with peer:
                peer.sendall(answer)
                over.wait()

        thread = threading.Thread(target=serve)
        thread.start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with opened(address, timeout=0.2) as sink, pytest.raises(DeliveryError, match=wanted):
            sink.write([example_alert(1)])
        over.set()
        thread.join()


def test_over_udp_a_message_is_one_datagram() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5.0)
        with opened(f"udp://127.0.0.1:{receiver.getsockname()[1]}") as sink:
            sink.write([example_alert(1), example_alert(2)])
        assert example_alert(1).id.encode() in receiver.recv(1 << 16)
        assert example_alert(2).id.encode() in receiver.recv(1 << 16)


def test_the_log_of_this_machine_takes_datagrams(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        with opened(path) as sink:
            sink.write([example_alert(1)])
        assert receiver.recv(1 << 16).startswith(b"<131>1 ")
    with pytest.raises(DeliveryError, match="Connection refused"), opened(path):
        pass


def test_a_full_log_of_this_machine_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        with opened(path, timeout=0.1) as sink, pytest.raises(DeliveryError, match="timed out"):
            sink.write([example_alert(number) for number in range(1_000)])


@pytest.mark.parametrize(
    "address", ["", "log", "http://a:1", "udp://a", "tcp://a:0", "tls://a:65536", "tcp://u@a:1", "tcp://[::1]"]
)
def test_an_address_of_another_form_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="wanted a path"):
        build("sinks", PartSpec("syslog", {"address": address}))


def test_many_messages_are_delivered_whole(rng: np.random.Generator) -> None:
    alerts = [
        replace(example_alert(number), entity="x" * int(length))
        for number, length in enumerate(rng.integers(1, 5_000, 500))
    ]
    with Listener() as receiver, opened(f"tcp://127.0.0.1:{receiver.port}") as sink:
        sink.write(alerts)
    found = frames(receiver.received)
    assert len(found) == 500
    assert max(map(len, found)) <= 2_048
