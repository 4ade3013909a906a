"""A service tells of a thread that dies, and no full collection walks through what was loaded to serve."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from tocsin import log
from tocsin.cli.run import attend, tell_of_thread


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


def test_what_a_server_loads_is_left_alone_by_full_collections(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[list[str]] = []
    walked: list[bool] = []

    @contextmanager
    def served(_: object) -> Iterator[None]:
        loaded.append(["the server, its routes"])
        yield

    def work() -> None:
        walked.append(any(item is loaded[0] for item in gc.get_objects()))  # what is frozen is not among them

    tally = SimpleNamespace(to_json=lambda: dict.fromkeys(("received", "passed_on", "quarantined", "duplicates"), 0))
    service: Any = SimpleNamespace(run=work, stream=SimpleNamespace(intake=SimpleNamespace(tally=tally)))
    settings: Any = SimpleNamespace(json=False)
    monkeypatch.setattr("tocsin.cli.run._served", served)
    try:
        attend(service, settings)
    finally:
        gc.unfreeze()
    assert walked == [False]
