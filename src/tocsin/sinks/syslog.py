"""Alerts as messages of the system log, to a collector or to the log of this machine.

Sources: RFC 5424 (the message), RFC 5426 (UDP), RFC 6587, section 3.4.1 (TCP, counted octets), RFC 5425 (TLS).
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import Field

from tocsin.component import Duration
from tocsin.connections.peer import EVERYWHERE, connect
from tocsin.errors import DeliveryError, visible
from tocsin.observe import live
from tocsin.records import Alert, Severity
from tocsin.sinks import base_receiver
from tocsin.sinks.base import DeliveredIds, Sink, iso_time
from tocsin.sinks.base_words import explained, rows, strongest, whose

Facility = Literal[
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
]  # fmt: skip
_FACILITIES: tuple[str, ...] = get_args(Facility)
"""By number (RFC 5424, table 1)."""
_SEVERITIES: dict[Severity, int] = {"critical": 2, "high": 3, "medium": 4, "low": 5}
_ADDRESS = re.compile(r"(?P<way>udp|tcp|tls)://(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[\w.-]+)):(?P<port>\d{1,5})")
_ID = "tocsin@32473"
"""Of our structured data; 32473 is the number that RFC 5612 reserves for who has none of his own."""
_LONGEST_VALUE = 128


class Syslog(Sink):
    """Send each alert as one message of RFC 5424, its facts as structured data and in words behind it.

    Severities are `critical`, `error`, `warning` and `notice` for critical, high, medium and low. The time is that of
    the last flagged row, `-` where telemetry has no clock. Over TCP and TLS a batch is one connection, and delivered
    when the receiver has closed it in answer to its end: as near to a receipt as system logs come. Over UDP, and into
    the socket of this machine, a message is delivered when it was handed over.

    Parameters
    ----------
    address
        The socket of this machine, or `udp://host:514`, `tcp://host:601`, `tls://host:6514`.
    facility
        What the log files it under.
    ca_file
        PEM file of the authorities that alone may vouch for a receiver over TLS; without it those of the system.
    longest
        Bytes of a message; every receiver takes 480 and should take 2,048. What is beyond is left out, from the end.
    timeout
        To connect, to hand over, and to be closed, each.
    reveal
        Show real names in place of pseudonyms.
    """

    def __init__(  # noqa: PLR0913  # each is one line of a config
        self,
        *,
        address: str = "/dev/log",
        facility: Facility = "local0",
        ca_file: str | None = None,
        longest: Annotated[int, Field(ge=480, le=8_192)] = 2_048,
        timeout: Annotated[Duration, Field(le=60.0)] = 10.0,
        reveal: bool = False,
    ) -> None:
        self.address = address
        self.facility = facility
        self.ca_file = ca_file
        self.longest = longest
        self.timeout = timeout
        self.reveal = reveal
        self._way, self._host, self._port = _parts(address)
        self._where = f"sink syslog {address}"
        self._tls: ssl.SSLContext | None = None
        self._opened = False
        self._delivered = DeliveredIds()

    @classmethod
    def example(cls, folder: Path) -> Self:
        """A sink that sends to this machine, where nobody looks at it."""
        return cls(address=f"tcp://{base_receiver.HOST}:{base_receiver.port()}")

    def open(self) -> None:
        """See that the receiver is there.

        Raises
        ------
        DeliveryError
            If it is not, or `ca_file` cannot be read.
        """
        try:
            self._tls = ssl.create_default_context(cafile=self.ca_file) if self._way == "tls" else None
            self._connect().close()
        except OSError as error:
            raise self._unreached(error) from None
        self._opened = True

    def write(self, alerts: Sequence[Alert]) -> None:
        """Send the alerts that were not sent yet.

        Raises
        ------
        DeliveryError
            If the sink is closed, or the receiver does not take them.
        """
        if not self._opened:
            raise DeliveryError(self._where, "a write while closed", hint="open the sink first")
        fresh = self._delivered.fresh(alerts)
        if not fresh:
            return
        messages = [message(alert, self.facility, self.longest) for alert in fresh]
        try:
            with closing(self._connect()) as peer:
                if self._way in ("unix", "udp"):
                    for each in messages:
                        peer.send(each)
                else:
                    peer.sendall(b"".join(b"%d %s" % (len(each), each) for each in messages))
                    _await_end(peer)
        except OSError as error:
            raise self._unreached(error) from None
        for alert in fresh:
            self._delivered.add(alert.id)

    def close(self) -> None:
        """Send no more; may be called twice."""
        self._opened = False

    def _connect(self) -> socket.socket:
        if self._way in ("tcp", "tls"):
            peer = connect(self._host, self._port, allow=EVERYWHERE, within_s=self.timeout)
        elif self._way == "udp":
            family, *_, place = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)[0]
            peer = _datagrams(family, place)
        else:
            peer = _datagrams(socket.AF_UNIX, self.address)
        peer.settimeout(self.timeout)
        return peer if self._tls is None else _wrapped(peer, self._tls, self._host)

    def _unreached(self, error: OSError) -> DeliveryError:
        return DeliveryError(self._where, error.strerror or str(error) or "no answer in time", "a receiver of logs")


def message(alert: Alert, facility: str, longest: int) -> bytes:
    """An alert as a message of RFC 5424, in UTF-8.

    Parameters
    ----------
    longest
        Bytes, at least 480. Words are left out first, then facts, the id never.
    """
    priority = _FACILITIES.index(facility) * 8 + _SEVERITIES[alert.severity]
    host = socket.gethostname().encode("ascii", "replace").decode()[:255] or "-"
    head = f"<{priority}>1 {iso_time(alert.end) or '-'} {host} tocsin {os.getpid()} alert [{_ID}"
    facts = [f' {name}="{_escaped(text)}"' for name, text in _facts(alert) if text]
    words = f"] {alert.severity} {whose(alert)}: {'; '.join(map(explained, strongest(alert, 3))) or rows(alert)}"
    whole = (head + "".join(facts) + words).encode()
    if len(whole) <= longest:
        return whole
    live.alert_shortened("syslog")
    kept = head.encode()
    for fact in facts:
        if len(kept) + len(fact.encode()) < longest:
            kept += fact.encode()
    cut = (kept + words.encode())[: max(longest, len(kept) + 1)]
    return cut.decode(errors="ignore").encode()


def _facts(alert: Alert) -> Iterator[tuple[str, str]]:
    yield "id", alert.id
    yield "severity", alert.severity
    yield "entity", alert.entity
    yield "cause", alert.cause
    yield "incident", alert.incident
    yield "start", iso_time(alert.start) or ""
    yield "end", iso_time(alert.end) or ""
    yield "rows", str(alert.rows)
    yield "p_value", f"{alert.p_value:.4g}"
    yield "score", f"{alert.score:.6g}"
    yield "confidence", "" if alert.confidence is None else f"{alert.confidence:.2f}"
    yield "state", alert.state
    yield "model", alert.model
    yield "origin", alert.origin
    yield "generated", "true" if alert.generated else ""


def _escaped(text: str) -> str:
    r"""The value of a parameter of structured data: `\`, `"` and `]` behind a backslash (RFC 5424, section 6.3.3)."""
    return re.sub(r'([\\"\]])', r"\\\1", visible(text[:_LONGEST_VALUE]))


def _parts(address: str) -> tuple[str, str, int]:
    if address.startswith("/"):
        return "unix", "", 0
    match = _ADDRESS.fullmatch(address)
    if match is None or not 0 < int(match["port"]) < 1 << 16:
        raise ValueError(f"{address!r}, wanted a path, or udp://host:port, tcp://host:port, tls://host:port")
    return match["way"], match["v6"] or match["host"], int(match["port"])


def _datagrams(family: int, place: object) -> socket.socket:
    peer = socket.socket(family, socket.SOCK_DGRAM)
    try:
        peer.connect(place)  # type: ignore[arg-type]  # what the family takes
    except OSError:
        peer.close()
        raise
    return peer


def _wrapped(peer: socket.socket, tls: ssl.SSLContext, host: str) -> socket.socket:
    try:
        return tls.wrap_socket(peer, server_hostname=host)
    except OSError:
        peer.close()
        raise


def _await_end(peer: socket.socket) -> None:
    """Say that nothing more comes, and wait until the other side has read up to there and closes too."""
    if isinstance(peer, ssl.SSLSocket):
        with suppress(ssl.SSLEOFError, ssl.SSLZeroReturnError):  # not all answer close_notify by their own
            peer = peer.unwrap()
    with suppress(OSError):  # closed already
        peer.shutdown(socket.SHUT_WR)
    if peer.recv(1):
        raise OSError("an answer, where logs are given none")
