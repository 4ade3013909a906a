"""NATS and Redis of the test's own: on a free port, in a folder of its own, and known by the process."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

PATIENCE_S = 30.0
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
_PAGE = Path(__file__).parents[2] / "docs" / "brokers.md"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def documented(section: str) -> str:
    """The settings that the page on brokers asks for."""
    text = _PAGE.read_text("utf-8").partition(f"\n## {section}\n")[2]
    block = re.search(r"```conf\n(.*?)```", text, re.S)
    assert block, f"docs/brokers.md has no settings for {section}"
    return block[1]


class Server:
    """A broker that can be killed, stopped for a while, and started again on the same port.

    Parameters
    ----------
    folder
        Where its config and what it keeps lie.
    settings
        Lines of its config beside the place and the port.
    """

    binary: ClassVar[str]
    scheme: ClassVar[str]

    def __init__(self, folder: Path, settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.url = f"{self.scheme}://127.0.0.1:{self.port}"
        self.config = folder / "server.conf"
        self.config.write_text(settings, "utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def found(cls) -> str | None:
        """Where the server's program lies, if it is there."""
        return shutil.which(cls.binary, path=_PATH)

    @property
    def pid(self) -> int:
        """Of the process that serves now."""
        assert self._process is not None
        return self._process.pid

    def command(self) -> list[str]:
        raise NotImplementedError

    def is_ours(self) -> bool:
        """Whether what listens says that it is this process; False while nothing listens."""
        raise NotImplementedError

    def start(self) -> None:
        program = self.found()
        assert program
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([program, *self.command()], stdout=log, stderr=log, cwd=self.folder)
        patience = time.monotonic() + PATIENCE_S
        while not self.is_ours():
            assert self._process.poll() is None, (self.folder / "log").read_text("utf-8", "replace")
            assert time.monotonic() < patience, f"{self.binary} does not listen"
            time.sleep(0.01)

    def kill(self) -> None:
        """End it as a power cut would end the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE_S)
        self._process = None

    def freeze(self) -> None:
        """Let it answer nothing, with all connections open."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)


class NatsServer(Server):
    binary = "nats-server"
    scheme = "nats"

    def __init__(self, folder: Path, settings: str) -> None:
        super().__init__(folder, settings.replace("/var/lib/nats", str(folder)))

    def command(self) -> list[str]:
        here = ["-a", "127.0.0.1", "-p", str(self.port), "--ports_file_dir", str(self.folder)]
        return ["-c", str(self.config), *here]

    def is_ours(self) -> bool:
        # The server writes the file when it listens, and its name has the number of the process.
        ports = self.folder / f"nats-server_{self.pid}.ports"
        return ports.is_file() and f":{self.port}" in ports.read_text("utf-8")


class RedisServer(Server):
    binary = "redis-server"
    scheme = "redis"

    def command(self) -> list[str]:
        own = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--daemonize", "no"]
        return [str(self.config), *own, "--pidfile", str(self.folder / "pid")]

    def is_ours(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as connection:
                connection.settimeout(1.0)
                connection.sendall(b"INFO everything\r\n")
                said = connection.recv(1 << 16)
        except OSError:
            return False
        return f"process_id:{self.pid}\r".encode() in said and b"\nloading:0\r" in said


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """From now to the end of the block."""
    server.start()
    try:
        yield server
    finally:
        server.kill()
