"""Where an MQTT broker listens, and the names that it knows: topics, filters of them, clients.

Source: OASIS, MQTT Version 5.0 (4.7 topic names and topic filters).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

_PORTS = {"mqtt": 1883, "mqtts": 8883}


def _filter(topic: str) -> str:
    """`+` stands for one level and `#` for all that follow; each fills a level, and `#` is the last."""
    *before, last = topic.split("/")
    if any("#" in level or ("+" in level and level != "+") for level in before) or (
        len(last) > 1 and ("#" in last or "+" in last)
    ):
        raise ValueError("wanted + for a whole level and # for the last one")
    return topic


Filter = Annotated[str, Field(min_length=1, max_length=1_000, pattern=r"^[^\x00]+$"), AfterValidator(_filter)]
"""Topics that are subscribed to."""
Topic = Annotated[str, Field(min_length=1, max_length=1_000, pattern=r"^[^\x00+#]+$")]
"""One to publish to."""
ClientId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker listens."""

    host: str
    port: int
    encrypted: bool

    @classmethod
    def of(cls, url: str) -> Address:
        """`mqtt://host:1883`, or `mqtts://host:8883` for TLS; without a port the usual one.

        Raises
        ------
        ValueError
            If it has another form. The message does not show it: what is wrong with it may be its password.

        >>> Address.of("mqtts://broker.example")
        Address(host='broker.example', port=8883, encrypted=True)
        """
        wanted = "wanted mqtt://host:port or mqtts://host:port"
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError(f"a url that cannot be read, {wanted}") from None
        if parts.username is not None or parts.password is not None:
            raise ValueError("a url with a password, wanted it in a `password_file`")
        if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError(f"a url of another form, {wanted}")
        return cls(parts.hostname, port or _PORTS[parts.scheme], parts.scheme == "mqtts")
