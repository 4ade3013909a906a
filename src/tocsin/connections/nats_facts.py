"""What a NATS server tells of streams and consumers, and how things are named there.

Source: NATS, "JetStream wire API Reference" and "Subject-Based Messaging".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field

from tocsin.component import Risk

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""Of a stream or a consumer."""
Subject = Annotated[str, Field(max_length=1_000, pattern=r"^[^\s.*>]+(\.[^\s.*>]+)*$")]
"""One to publish to."""
Filter = Annotated[str, Field(max_length=1_000, pattern=r"^([^\s.]+\.)*[^\s.]+$")]
"""Subjects with `*` for one word and `>` for all that follow."""
_IN_MEMORY = Risk("storage", "memory: killed, the server loses the whole stream", "make the stream with --storage file")
_FLUSHES_LATER = Risk(
    "sync_interval",
    "flushed 2 minutes after it is acknowledged, unless the config of this server ({}) says otherwise",
    "sync_interval: always (from 2.10 on) or three replicas, if a power cut must lose nothing",
    loses=False,
)


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """What a server tells of a stream."""

    created: int
    """UTC microseconds: another stream of the same name has another one."""
    last: int
    """Sequence of its newest message; 0 if it never had one."""
    storage: str
    """`file` or `memory`."""
    version: str
    """Of the server."""

    @property
    def risks(self) -> tuple[Risk, ...]:
        """What may be lost of what the stream acknowledged, as far as a client can tell."""
        if self.storage != "file":
            return (_IN_MEMORY,)
        return (replace(_FLUSHES_LATER, found=_FLUSHES_LATER.found.format(self.version)),)


@dataclass(frozen=True, slots=True)
class ConsumerFacts:
    """What a server tells of a consumer."""

    name: str
    acknowledges: str
    """`all` up to a message, `explicit`ly each, or `none`."""
    subject: str | None
    """Which messages it delivers; None for all."""
    pushes: bool
    """Whether it delivers unasked."""
    delivery: int
    """How many deliveries it has made."""
    acknowledged: int
    """Sequence of the last message up to which all are done with."""
    in_flight: int
    """Delivered and not acknowledged."""
    left: int
    """Not delivered yet."""


def check_url(url: str) -> None:
    """Accept `nats://host:4222`, and `tls://host:4222`, which insists on TLS.

    Raises
    ------
    ValueError
        If it has another form. The message does not show it: what is wrong with it may be its password.
    """
    wanted = "wanted nats://host:port or tls://host:port"
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # this is where a port is judged
    except ValueError:
        raise ValueError(f"a url that cannot be read, {wanted}") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("a url with a password, wanted it in a `password_file`")
    if parts.scheme not in ("nats", "tls") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError(f"a url of another form, {wanted}")
