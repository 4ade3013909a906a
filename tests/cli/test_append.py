"""`tocsin append`: lines become events of the log, and what is none is told and refused alone."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace

import pytest

from tocsin.checks.source import batches_of
from tocsin.sources.sqlite_wal import SqliteWal

Tocsin = Callable[..., CompletedProcess[str]]
CONFIG = """
version: 1
name: log
preset: flows
source: {type: sqlite_wal, message: event, path: events.db}
"""


def numbers_in(path: Path) -> list[int]:
    batches = batches_of(SqliteWal(path=str(path), message="event"))
    return [number for batch in batches if batch.rows for number in batch["n"]]


def test_lines_of_a_file_go_into_the_log_of_the_config(folder: Path, tocsin: Tocsin) -> None:
    (folder / "tocsin.yaml").write_text(CONFIG)
    (folder / "lines").write_text('{"n": 1}\n\n{"n": 2}\n[3]\n{"n": 4}')
    done = tocsin("append", "lines")
    assert (done.returncode, done.stdout) == (1, "Events: 3 taken, 3 of them new, 1 refused.\n")
    assert "line 4: got a JSON list, wanted an object\n" in done.stderr
    assert numbers_in(folder / "events.db") == [1, 2, 4]


def test_standard_input_goes_into_a_log_that_is_named(
    folder: Path, tocsin: Tocsin, monkeypatch: pytest.MonkeyPatch
) -> None:
    for new in (2, 0):
        lines = io.BytesIO(b'{"id": "a", "n": 1}\n{"id": "b", "n": 2}\n')
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=lines))
        done = tocsin("append", "--log", "other.db", "--key", "id", "--json")
        assert (done.returncode, json.loads(done.stdout)) == (
            0,
            {"taken": 2, "new": new, "refused": 0, "problems": []},
        )
    assert numbers_in(folder / "other.db") == [1, 2]


def test_a_line_that_is_too_long_is_refused_and_the_next_one_taken(folder: Path, tocsin: Tocsin) -> None:
    (folder / "lines").write_bytes(b'{"n": 1, "text": "' + b"x" * 500_000 + b'"}\n{"n": 2}\n')
    done = tocsin("append", "lines", "--log", "a.db")
    assert (done.returncode, done.stdout) == (1, "Events: 1 taken, 1 of them new, 1 refused.\n")
    assert numbers_in(folder / "a.db") == [2]


def test_a_full_log_ends_it_and_says_how_far_it_came(folder: Path, tocsin: Tocsin) -> None:
    (folder / "lines").write_text("".join(f'{{"n": {n}, "text": "{"x" * 1_000}"}}\n' for n in range(1_000)))
    done = tocsin("append", "lines", "--log", "a.db", "--limit", "500kB")
    assert done.returncode == 1
    assert "events kept before it" in done.stderr
    assert 100 < len(numbers_in(folder / "a.db")) < 1_000


def test_a_config_whose_source_is_no_log_says_what_to_write(folder: Path, tocsin: Tocsin) -> None:
    (folder / "tocsin.yaml").write_text('version: 1\nname: x\npreset: flows\nsource: {type: csv, path: "a.csv"}\n')
    (folder / "lines").write_text("{}\n")
    done = tocsin("append", "lines")
    assert done.returncode == 2
    assert "message: event" in done.stderr


@pytest.mark.parametrize("log", [".", "", "/"])
def test_a_folder_is_no_log(log: str, folder: Path, tocsin: Tocsin) -> None:
    (folder / "lines").write_text("{}\n")
    done = tocsin("append", "lines", "--log", log)
    assert (done.returncode, "got a folder, wanted a log" in done.stderr) == (1, True)


def test_an_event_of_a_pipe_is_kept_when_it_has_come_and_not_when_the_pipe_ends(folder: Path) -> None:
    listening = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    words = [sys.executable, "-c", listening + "from tocsin.cli import main; main()", "append", "--log", "a.db"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        for number in (1, 2):
            child.stdin.write(b'{"n": %d}\n' % number)
            child.stdin.flush()
            end = time.monotonic() + 60.0
            while not (folder / "a.db").exists() or numbers_in(folder / "a.db")[-1:] != [number]:
                assert time.monotonic() < end, "it waits for more"
                time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        assert child.stdout is not None
        assert child.stdout.read() in [
            b"Events: %d taken, %d of them new, 0 refused.\n" % (kept, kept) for kept in (1, 2)
        ]
    assert child.returncode == 1
