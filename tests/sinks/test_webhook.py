from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sinks.receivers import HttpReceiver, Listener, certified

from tocsin.checks.sink import example_alert
from tocsin.component import PartSpec, build
from tocsin.connections.post import MAX_ANSWER, Endpoint, NoAnswer, post
from tocsin.errors import ConfigError, DeliveryError
from tocsin.scoring.delivery import Delivery
from tocsin.sinks.base import Secret, alert_json
from tocsin.sinks.webhook import Webhook, signature

KEY = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
HERE = ("127.0.0.0/8",)


def made(url: str, **parameters: Any) -> Webhook:
    return Webhook(url=url, secret=SECRET, **{"allow": HERE, "allow_http": True, **parameters})


@contextmanager
def opened(sink: Webhook) -> Iterator[Webhook]:
    sink.open()
    try:
        yield sink
    finally:
        sink.close()


def failed(sink: Webhook) -> DeliveryError:
    with pytest.raises(DeliveryError) as failure:
        sink.write([example_alert()])
    return failure.value


def test_an_alert_is_one_signed_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Webhook, "_now", staticmethod(lambda: 1_767_225_700.9))
    with HttpReceiver() as receiver, opened(made(f"{receiver.url}/hook?team=a")) as sink:
        sink.write([example_alert(1), example_alert(2)])
    first, second = receiver.posted
    assert first.path == "/hook?team=a"
    assert orjson.loads(first.body) == alert_json(example_alert(1))
    assert first.headers["Content-Type"] == "application/json"
    assert first.headers["Host"] == f"127.0.0.1:{receiver.port}"
    assert first.headers["Idempotency-Key"] == first.headers["webhook-id"] == example_alert(1).id
    assert first.headers["webhook-timestamp"] == "1767225700"
    assert second.headers["webhook-id"] == example_alert(2).id
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The example of its specification's reference libraries."""
    signed = signature(KEY, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert signed == "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_an_alert_that_was_taken_is_not_posted_again_after_a_failure() -> None:
    with HttpReceiver(200, 503) as receiver, opened(made(receiver.url)) as sink:
        with pytest.raises(DeliveryError, match="status 503"):
            sink.write([example_alert(1), example_alert(2), example_alert(3)])
        sink.close()
        sink.open()
        sink.write([example_alert(1), example_alert(2), example_alert(3)])
    assert [posted.headers["webhook-id"][-1] for posted in receiver.posted] == ["1", "2", "2", "3"]


def test_an_alert_that_the_receiver_will_not_have_holds_up_no_other() -> None:
    alerts = [example_alert(number) for number in (1, 2, 3, 4)]
    with HttpReceiver(400, 200, 422, 200, 401) as receiver, opened(made(receiver.url)) as sink:
        with pytest.raises(DeliveryError, match="status 422"):
            sink.write(alerts)
        with pytest.raises(DeliveryError, match="status 401"):
            sink.write(alerts)
    assert [posted.headers["webhook-id"][-1] for posted in receiver.posted] == ["1", "2", "3", "4", "1"]


@pytest.mark.parametrize("status", [100, 199, 300, 301, 302, 307, 308, 400, 404, 410, 429, 500, 503, 599, 999])
def test_all_but_2xx_is_no_delivery(status: int) -> None:
    answer = f"HTTP/1.1 {status} secret-reason\r\nContent-Length: 6\r\n\r\nsecret".encode()
    with Listener(answer) as receiver, opened(made(receiver.url, timeout=0.3)) as sink:
        failure = failed(sink)
    assert "secret" not in str(failure)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-secret\r\n",
        b"HTTP/1.1 secret\r\n\r\n",
        b"HTTP/1.1 99999 secret\r\n\r\n",
        b"HTTP/9.9 200 secret\r\n\r\n",
        b"\x00" * 1_000 + b"secret",
        b"HTTP/1.1 200 " + b"secret" * (MAX_ANSWER // 6 + 1),
        b"HTTP/1.1 200 OK\r\n" + b"x: secret\r\n" * 101,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 4_000,
    ],
    ids=["nothing", "ssh", "no-status", "long-status", "version", "zeros", "long-line", "many-headers", "continues"],
)
def test_what_is_no_answer_is_no_delivery_and_never_shown(answer: bytes) -> None:
    with Listener(answer) as receiver, opened(made(receiver.url, timeout=0.3)) as sink:
        failure = failed(sink)
    assert "secret" not in str(failure)
    assert failure.__cause__ is None


def test_an_answer_without_end_is_not_read() -> None:
    begun = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n"
    with Listener(begun + b"x" * (1 << 22)) as receiver, opened(made(receiver.url)) as sink:
        sink.write([example_alert()])


def test_an_answer_that_drips_ends_with_the_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def drip() -> None:
            server.accept()[0].close()  # what `open` does
            peer, _ = server.accept()
            with peer:
                for letter in b"HTTP/1.1 200 OK" + b"x" * 1_000:
                    if over.wait(0.02):
                        return
                    peer.send(bytes([letter]))

        thread = threading.Thread(target=drip)
        thread.start()
        with opened(made(f"http://127.0.0.1:{server.getsockname()[1]}", timeout=0.3)) as sink:
            assert "no answer within 0.3 s" in str(failed(sink))
        over.set()
        thread.join()


def test_a_receiver_that_is_not_there_is_said_at_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(DeliveryError, match="Connection refused"):
        made(f"http://127.0.0.1:{port}").open()


def test_over_tls_the_receiver_has_to_prove_who_it_is(tmp_path: Path) -> None:
    tls, ca = certified(tmp_path)
    with HttpReceiver(tls=tls) as receiver:
        with opened(made(receiver.url, ca_file=ca, allow_http=False)) as sink:
            sink.write([example_alert()])
        with pytest.raises(DeliveryError, match="certificate verify failed"):
            made(receiver.url).open()
    assert len(receiver.posted) == 1
    tls, ca = certified(tmp_path, "192.0.2.1")
    with HttpReceiver(tls=tls) as receiver, pytest.raises(DeliveryError, match="IP address mismatch"):
        made(receiver.url, ca_file=ca).open()
    assert receiver.posted == []


def test_a_receiver_without_tls_gets_not_even_a_head() -> None:
    with Listener(b"HTTP/1.1 200 OK\r\n\r\n") as receiver, pytest.raises(DeliveryError, match="SSL"):
        made(f"https://127.0.0.1:{receiver.port}").open()
    assert b"POST" not in receiver.received


def test_an_authority_that_cannot_be_read_is_said_at_open(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="No such file"):
        made("https://127.0.0.1:1", ca_file=str(tmp_path / "none.pem")).open()


def test_proxies_of_the_environment_get_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with Listener() as proxy, HttpReceiver() as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        with opened(made(receiver.url)) as sink:
            sink.write([example_alert()])
    assert (len(receiver.posted), proxy.connections) == (1, [])


def test_half_of_a_surrogate_pair_is_posted_as_an_escape() -> None:
    with HttpReceiver() as receiver, opened(made(receiver.url)) as sink:
        sink.write([replace(example_alert(), entity="a\ud800\r\n\x1b")])
    assert orjson.loads(receiver.posted[0].body)["entity"] == "a\\ud800\r\n\x1b"
    assert b"\x1b" not in receiver.posted[0].body


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "password", "whsec_abc", "whsec_" + 4 * "abc!", "whsec_" + 22 * "YQ==", 32 * "a"]
)
def test_a_weak_secret_is_refused_without_being_told(secret: str) -> None:
    with pytest.raises(ConfigError) as refused:
        build("sinks", PartSpec("webhook", {"url": "https://a.example", "secret": secret}))
    assert "openssl rand -base64 32" in str(refused.value)
    assert len(secret) < 8 or secret not in str(refused.value)


def test_neither_url_nor_secret_is_in_what_the_sink_says_of_itself() -> None:
    sink = made("https://receiver.example/T0KEN")
    assert "T0KEN" not in repr(sink)
    assert SECRET not in repr(sink)
    assert f"{Secret('word')!r}" == "'[hidden]'"


def test_a_receiver_that_says_nothing_is_no_delivery() -> None:
    with Listener() as receiver, opened(made(receiver.url, timeout=0.3)) as sink:
        assert "no answer within" in str(failed(sink))


@given(answer=st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(b"HTTP/1.1 ".__add__)))
def test_whatever_is_answered_is_a_status_or_none(answer: bytes) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)
        to = Endpoint.parse("http://a.example/", allow_http=True)
        with suppress(NoAnswer):
            assert 100 < post(to, b"{}", {}, ours, within_s=5.0) < 1_000
            assert answer.startswith(b"HTTP/")
        assert ours.fileno() == -1


def test_no_secret_is_logged_when_a_delivery_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with (
        HttpReceiver(500) as receiver,
        pytest.raises(DeliveryError),
        Delivery([made(f"{receiver.url}/T0KEN?key=T0KEN")], str) as delivery,
    ):
        delivery.send([example_alert()])
    printed = capsys.readouterr()
    assert "status 500" in printed.out + printed.err
    assert "T0KEN" not in printed.out + printed.err
    assert SECRET not in printed.out + printed.err
