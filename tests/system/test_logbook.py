"""Every training and evaluation leaves a line, also those that fail; the file is bounded and tells no value."""

from __future__ import annotations

from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.system.logbook import MAX_BYTES, Logbook, LogEntry

ENTRY = LogEntry("edge", "train", "2026-01-05T12:00:00+00:00", 1.5, "passed", version=3, figures={"recall": 0.9})


def test_a_line_comes_back_as_it_was(tmp_path: Path) -> None:
    book = Logbook(tmp_path / "inner" / "runs.jsonl")
    assert book.entries("edge") == []
    book.add(ENTRY)
    assert book.entries("edge") == [ENTRY]
    assert book.entries("other") == []
    assert (tmp_path / "inner" / "runs.jsonl").stat().st_mode & 0o777 == 0o600


@given(st.lists(st.binary(max_size=80), max_size=6))
def test_what_is_no_line_is_left_out(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("book") / "runs.jsonl"
    path.write_bytes(b"\n".join(lines))
    Logbook(path).add(ENTRY)
    assert Logbook(path).entries("edge") == [ENTRY]


def test_the_older_half_makes_way(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_bytes(b'{"long": "ago"}\n' * (MAX_BYTES // 16 + 1))
    Logbook(path).add(ENTRY)
    assert path.stat().st_size < MAX_BYTES // 2 + 1_000
    assert Logbook(path).entries("edge") == [ENTRY]


def _write(path: Path, times: int) -> None:
    for _ in range(times):
        Logbook(path).add(ENTRY)


def test_many_writers_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    writers = [get_context("spawn").Process(target=_write, args=(path, 50)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert Logbook(path).entries("edge") == [ENTRY] * 150


def test_a_folder_that_takes_no_line_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").mkdir()
    Logbook(tmp_path / "runs.jsonl").add(ENTRY)
    assert Logbook(tmp_path / "runs.jsonl").entries("edge") == []
