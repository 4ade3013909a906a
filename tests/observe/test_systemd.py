"""What systemd hears from a service that it started."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tocsin.observe import systemd


@pytest.fixture(params=["in a folder", "abstract"])
def listener(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """The socket that systemd would listen on, of either kind."""
    name = f"tocsin-test-{os.getpid()}"
    bound, told = (
        (f"\0{name}", f"@{name}") if request.param == "abstract" else (str(tmp_path / "n"), str(tmp_path / "n"))
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(bound)
        end.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", told)
        yield end


def test_it_hears_how_a_service_lives(listener: socket.socket) -> None:
    systemd.ready()
    systemd.alive()
    systemd.stopping()
    assert [listener.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_a_listener_that_does_not_read_holds_nobody_up(listener: socket.socket) -> None:
    for _ in range(10_000):
        systemd.alive()
    assert listener.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize("address", ["", "nonsense", "/does/not/exist"])
def test_without_systemd_nothing_is_told(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    systemd.ready()
