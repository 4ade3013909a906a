"""Sends events to a broker at an even pace from a process of its own: `_broker_sender.py BROKER URL FILE BEGIN PER_S`.

Nobody waits for a slow broker: what is due goes out together, as soon as the broker has acknowledged what went before.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tocsin.connections.credentials import Credentials
from tocsin.connections.nats import NatsClient
from tocsin.connections.redis import RedisClient


def nats(url: str) -> Callable[[int, Sequence[bytes]], None]:
    client = NatsClient(url, Credentials())
    client.connect()
    return lambda first, lines: client.publish(
        "events.a", [(f"live-{number}", line) for number, line in enumerate(lines, first)]
    )


def redis_stream(url: str) -> Callable[[int, Sequence[bytes]], None]:
    client = RedisClient(url, Credentials())
    client.connect()
    return lambda _, lines: client.add("events", [{"data": line} for line in lines], 10**7)


SENDERS = {"nats": nats, "redis_stream": redis_stream}


def main(broker: str, url: str, file: str, begin: float, per_s: float) -> None:
    """Line n is due at `begin + n / per_s` of the monotonic clock, which all processes of a machine share."""
    send = SENDERS[broker](url)
    lines = Path(file).read_bytes().splitlines()
    sent = 0
    while sent < len(lines):
        due = min(int((time.monotonic() - begin) * per_s) + 1, len(lines))
        if due <= sent:
            time.sleep(0.0005)
            continue
        send(sent, lines[sent:due])
        sent = due


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(float, sys.argv[4:]))  # type: ignore[arg-type]  # texts, then numbers
