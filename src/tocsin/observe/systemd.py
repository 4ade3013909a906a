"""What a service tells systemd, where systemd started it: that it is ready, alive, or about to stop.

Source: sd_notify(3).
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress


def ready() -> None:
    """All is loaded and replayed: what waits for this unit may begin."""
    _tell("READY=1")


def alive() -> None:
    """The loop went round; a unit with `WatchdogSec=` that is silent for longer is killed and started again."""
    _tell("WATCHDOG=1")


def stopping() -> None:
    """The end was asked for, and what was taken is being committed."""
    _tell("STOPPING=1")


def _tell(state: str) -> None:
    """Never waits and never fails: whoever does not listen misses a line."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as to:
        to.sendto(state.encode(), f"\0{address[1:]}" if address[0] == "@" else address)
