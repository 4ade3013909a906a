"""A mosquitto of the test's own: on a free port, in a folder of its own, and known by its process."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE_S = 30.0
BINARY = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
_PAGE = Path(__file__).parents[2] / "docs" / "brokers.md"


def documented() -> str:
    """The settings that the page on brokers asks for."""
    section = _PAGE.read_text("utf-8").partition("\n## MQTT")[2]
    block = re.search(r"```conf\n(.*?)```", section, re.S)
    assert block, "docs/brokers.md has no settings for mosquitto"
    return "".join(line + "\n" for line in block[1].splitlines() if not line.startswith("persistence_location"))


class Mosquitto:
    """A broker that can be killed and started again.

    Parameters
    ----------
    folder
        Where its config and what it keeps lie.
    settings
        Lines of its config beside the place, the port and the log.
    """

    def __init__(self, folder: Path, settings: str) -> None:
        assert BINARY
        self.folder = folder
        self.config = folder / "mosquitto.conf"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"mqtt://127.0.0.1:{self.port}"
        own = [
            f"listener {self.port} 127.0.0.1",
            f"persistence_location {folder}/",
            f"pid_file {folder}/pid",
            f"log_dest file {folder}/log",
            "user root" if os.geteuid() == 0 else "",
        ]
        anonymous = "" if "allow_anonymous" in settings else "allow_anonymous true\n"
        self.config.write_text("\n".join(own) + "\n" + anonymous + settings, "utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process that serves now."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it is this very process that listens."""
        assert BINARY
        (self.folder / "pid").unlink(missing_ok=True)
        self._process = subprocess.Popen([BINARY, "-c", str(self.config)], stderr=subprocess.DEVNULL)
        patience = time.monotonic() + PATIENCE_S
        while not self._listens():
            assert self._process.poll() is None, (self.folder / "log").read_text("utf-8")
            assert time.monotonic() < patience, "mosquitto does not listen"
            time.sleep(0.01)
        assert int((self.folder / "pid").read_text()) == self.pid

    def kill(self) -> None:
        """End it as a power cut would end the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE_S)
        self._process = None

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 0.2).close()
        except OSError:
            return False
        return True


@contextmanager
def mosquitto(folder: Path, settings: str = "") -> Iterator[Mosquitto]:
    """A broker that runs until the end of the block."""
    server = Mosquitto(folder, settings)
    server.start()
    try:
        yield server
    finally:
        server.kill()
