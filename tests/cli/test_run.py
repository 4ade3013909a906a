"""A service tells of a thread that dies, and goes on."""

from __future__ import annotations

import threading

import pytest

from tocsin import log
from tocsin.cli.run import tell_of_thread


def test_a_thread_that_dies_is_counted_and_told_without_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def die() -> None:
        raise RuntimeError("no answer of https://somebody:hush@example.org/")

    monkeypatch.setattr(threading, "excepthook", tell_of_thread)
    log.configure("error")
    before = log.counters().get("tocsin_threads_died_total", 0)
    thread = threading.Thread(target=die, name="sink webhook")
    thread.start()
    thread.join()
    assert log.counters()["tocsin_threads_died_total"] == before + 1
    told = capsys.readouterr().err
    assert "sink webhook" in told
    assert "RuntimeError" in told
    assert "hush" not in told
