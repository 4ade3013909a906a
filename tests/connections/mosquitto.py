"""mosquitto as a broker of the test's own, see `servers`."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.connections import servers
from tests.connections.servers import Server, running


def documented() -> str:
    """The settings that the page on brokers asks for, but for the place."""
    lines = servers.documented("MQTT").splitlines()
    return "".join(f"{line}\n" for line in lines if not line.startswith("persistence_location"))


class Mosquitto(Server):
    """Everybody is let in, unless the settings say otherwise."""

    binary = "mosquitto"
    scheme = "mqtt"

    def __init__(self, folder: Path, settings: str) -> None:
        super().__init__(folder, settings)
        own = [
            f"listener {self.port} 127.0.0.1",
            f"persistence_location {folder}/",
            f"pid_file {folder}/pid",
            "user root" if os.geteuid() == 0 else "",
            "" if "allow_anonymous" in settings else "allow_anonymous true",
        ]
        self.config.write_text("\n".join([*own, settings]), "utf-8")

    def command(self) -> list[str]:
        return ["-c", str(self.config)]

    def is_ours(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 0.2).close()
            return int((self.folder / "pid").read_text()) == self.pid
        except (OSError, ValueError):
            return False


BINARY = Mosquitto.found()


@contextmanager
def mosquitto(folder: Path, settings: str = "") -> Iterator[Mosquitto]:
    """A broker that runs until the end of the block."""
    server = Mosquitto(folder, settings)
    with running(server):
        yield server
