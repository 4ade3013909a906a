"""Where requests to a URL of a config may end, whatever the URL looks like."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sinks.rebinding import PUBLIC
from tests.sinks.receivers import HttpReceiver, Listener

from tocsin.checks.sink import example_alert
from tocsin.component import PartSpec, build
from tocsin.connections.peer import PeerRefused, connect, is_permitted, networks
from tocsin.connections.post import Endpoint
from tocsin.errors import DeliveryError, TocsinError
from tocsin.log import counters
from tocsin.sinks.webhook import Webhook

ROOT = Path(__file__).parents[2]
KEY = f"whsec_{'a' * 32}"


class Canary(Listener):
    """At every address of this machine."""

    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def __init__(self) -> None:
        super().__init__(b"HTTP/1.1 200 OK\r\n\r\n", at=("::", 0))

    def songs(self) -> list[bytes]:
        """What came with each connection before this call, which makes one more to know that all were taken."""
        with socket.create_connection(("::1", self.port)) as last:
            last.sendall(b"last")
            last.shutdown(socket.SHUT_WR)
            while last.recv(1_000):
                pass
        return [bytes(kept) for kept in self.connections if kept != b"last"]


@pytest.fixture
def canary() -> Iterator[Canary]:
    with Canary() as listener:
        yield listener


def opened(url: str, **parameters: object) -> None:
    sink = build("sinks", PartSpec("webhook", {"url": url, "secret": KEY, "allow_http": True, **parameters}))
    assert isinstance(sink, Webhook)
    sink.open()
    sink.write([example_alert()])
    sink.close()


VARIANTS = [
    "http://127.0.0.1:{port}/",
    "https://127.0.0.1:{port}/",
    "http://127.1:{port}/",
    "http://127.000.000.001:{port}/",
    "http://127.0.0.1.:{port}/",
    "http://127.8.8.8:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0x7f.0.0.1:{port}/",
    "http://017700000001:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://0:{port}/",
    "http://0.0.0.0:{port}/",
    "http://[::]:{port}/",
    "http://[::1]:{port}/",
    "http://[0:0:0:0:0:0:0:1]:{port}/",
    "http://[::1%25lo]:{port}/",
    "http://[::1%lo]:{port}/",
    "http://[fe80::1%25lo]:{port}/",
    "http://[::127.0.0.1]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[::ffff:0:127.0.0.1]:{port}/",
    "http://[64:ff9b::127.0.0.1]:{port}/",
    "http://[64:ff9b:1::127.0.0.1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://[127.0.0.1]:{port}/",
    "http://localhost:{port}/",
    "http://localhost.:{port}/",
    "http://LOCALHOST:{port}/",
    "http://localhost.localdomain:{port}/",
    "http://{here}:{port}/",
    "http://user@127.0.0.1:{port}/",
    "http://user:word@127.0.0.1:{port}/",
    "http://93.184.216.34:80@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}#@93.184.216.34/",
    "http://127.0.0.1:{port}\\@93.184.216.34/",
    "http:\\\\127.0.0.1:{port}\\",
    "http:127.0.0.1:{port}/",
    "http:///127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "127.0.0.1:{port}",
    "http://127.0.0.1:{port}:80/",
    "http://127.0.0.1:-1/",
    "http://127.0.0.1:{more}/",
    "http://127.0.0.1%00.example:{port}/",
    "http://127.0.0.1%2eexample:{port}/",
    "http://127。0。0。1:{port}/",
    "http://①②⑦.⓪.⓪.①:{port}/",
    "http://127.0.0.1\r\nHost: a.example\r\n:{port}/",
    "http://127.0.0.1:{port}/\r\nX: y",
    "http://127.0.0.1:{port}/ HTTP/1.1\r\n\r\nGET /",
    "\thttp://127.0.0.1:{port}/",
    "ht\ntp://127.0.0.1:{port}/",
    "file:///etc/hostname",
    "file://127.0.0.1:{port}/etc/hostname",
    "gopher://127.0.0.1:{port}/_POST%20/",
    "ftp://127.0.0.1:{port}/",
    "dict://127.0.0.1:{port}/stats",
    "unix:///var/run/docker.sock",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
    "javascript:alert(1)",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/latest/meta-data/",
]


@pytest.mark.parametrize("url", VARIANTS)
def test_nothing_reaches_this_machine(url: str, canary: Canary) -> None:
    with pytest.raises(TocsinError) as refused:
        opened(url.format(port=canary.port, more=canary.port + 65_536, here=socket.gethostname()), timeout=0.5)
    assert canary.songs() == []
    assert "word" not in str(refused.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0", "[::1]", "[::ffff:127.0.0.1]", "localhost"])
def test_the_canary_would_sing(host: str) -> None:
    with Canary() as canary:
        opened(f"http://{host}:{canary.port}/", allow=["0.0.0.0/0", "::/0"])
    assert canary.received.count(b"POST") == 1


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
@pytest.mark.parametrize("place", ["http://127.0.0.1:{port}/", "//127.0.0.1:{port}/", "http://169.254.169.254/"])
def test_no_redirect_is_followed(status: int, place: str, canary: Canary) -> None:
    place = place.format(port=canary.port)
    with HttpReceiver(status, Location=place, Refresh=f"0; url={place}") as receiver:
        sink = Webhook(url=receiver.url, secret=KEY, allow=("127.0.0.1/32",), allow_http=True)
        sink.open()
        with pytest.raises(DeliveryError, match=f"status {status}") as failure:
            sink.write([example_alert()])
    assert canary.songs() == []
    assert "127.0.0.1:" not in str(failure.value)
    assert "webhook-signature" not in str(failure.value)


@pytest.fixture
def flip(need: Callable[[bool, str], None]) -> Callable[..., dict[str, object]]:
    """Sends four alerts, each opened anew, to a name that means what is told; see `rebinding`."""
    able = os.geteuid() == 0 and shutil.which("ip") is not None
    need(able and subprocess.run(["unshare", "-mn", "true"], check=False).returncode == 0, "no right to a network")

    def run(*answers: str) -> dict[str, object]:
        command = ["unshare", "--mount", "--net", sys.executable, "-m", "tests.sinks.rebinding", *answers]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
        return found

    return run


def test_a_name_that_begins_to_mean_this_machine_leads_nowhere(flip: Callable[..., dict[str, object]]) -> None:
    """`open` and `write` look up once each: public twice, then in turns."""
    found = flip(PUBLIC, PUBLIC, PUBLIC, "127.0.0.1", "127.0.0.1", PUBLIC, "169.254.169.254")
    assert found["canary"] == 0
    assert found["posted"] == 1
    assert found["no"] == 3 * ["an address that is neither public nor in `allow`"]


def test_of_several_addresses_only_the_public_one_is_reached(flip: Callable[..., dict[str, object]]) -> None:
    assert flip(f"127.0.0.1,{PUBLIC}") == {"canary": 0, "posted": 4, "no": []}


def test_a_refused_connection_is_counted() -> None:
    before = counters().get("tocsin_peers_refused_total", 0)
    with pytest.raises(PeerRefused):
        connect("localhost", 9, allow=(), within_s=1.0)
    assert counters()["tocsin_peers_refused_total"] == before + 1


NOT_PUBLIC = """0.0.0.0 10.1.1.1 100.64.0.1 127.0.0.1 169.254.169.254 172.16.0.1 192.0.0.8 192.0.2.1 192.88.99.1
192.168.1.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255 :: ::1 ::7f00:1
::ffff:10.0.0.1 ::ffff:0:10.0.0.1 64:ff9b::a00:1 64:ff9b:1::a00:1 100::1 2001::1 2001:db8::1 2002:a00:1:: 3fff::1
5f00::1 fc00::1 fd00::1 fe80::1 fec0::1 ff02::1 fe80::1%eth0"""
PUBLIC_TOO = "8.8.8.8 2606:4700::1111 ::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::1"


@pytest.mark.parametrize("address", NOT_PUBLIC.split())
def test_an_address_that_is_not_of_the_public_internet_is_refused(address: str) -> None:
    assert not is_permitted(ip_address(address))


@pytest.mark.parametrize("address", [PUBLIC, *PUBLIC_TOO.split()])
def test_an_address_of_the_public_internet_is_permitted(address: str) -> None:
    assert is_permitted(ip_address(address))


@given(inner=st.ip_addresses(v=4))
def test_an_address_inside_another_is_judged_by_itself(inner: IPv4Address) -> None:
    disguises = [
        IPv6Address(0xFFFF << 32 | int(inner)),
        IPv6Address(0x64_FF9B << 96 | int(inner)),
        IPv6Address(0x2002 << 112 | int(inner) << 80 | 1),
    ]
    assert {is_permitted(disguise) for disguise in disguises} == {is_permitted(inner)}


def test_a_network_of_the_operator_is_permitted() -> None:
    allow = networks(["10.1.0.0/16", "fd00::/8"])
    assert is_permitted(ip_address("10.1.2.3"), allow)
    assert is_permitted(ip_address("::ffff:10.1.2.3"), allow)
    assert is_permitted(ip_address("fd00::1"), allow)
    assert not is_permitted(ip_address("10.2.0.1"), allow)
    with pytest.raises(ValueError, match="has host bits set"):
        networks(["10.1.0.0/8"])


@given(url=st.one_of(st.text(), st.text().map("https://{}".format), st.from_regex(r"https://[!-~]{1,80}")))
def test_any_text_is_a_plain_url_or_refused(url: str) -> None:
    try:
        to = Endpoint.parse(url, allow_http=False)
    except ValueError:
        return
    assert to.tls
    assert to.target.startswith("/")
    assert 0 < to.port < 1 << 16
    assert not set(to.host + to.authority + to.target) - set(map(chr, range(33, 127)))
    assert not set(to.host) & set("@/?#%[]\\")
