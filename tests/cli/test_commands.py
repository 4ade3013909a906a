"""How a command ends, seen from outside: its exit code and where its words go."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tocsin.cli import commands

Run = Callable[..., CompletedProcess[str]]
ALONE = [sys.executable, "-c", "from tocsin.cli import main; main()"]


@pytest.mark.parametrize(
    ("words", "code", "key"),
    [
        ("train -c nowhere.yaml", 2, "problems"),
        ("check -c nowhere.yaml", 2, "problems"),
        ("trian", 2, "error"),
        ("models promote first", 2, "error"),
        ("--log-level loud check", 2, "problems"),
        ("check-part sinks nothing", 1, "error"),
        ("init -c no/folder/tocsin.yaml", 1, "error"),
    ],
)
def test_an_error_is_one_document_where_documents_are_wanted(words: str, code: int, key: str, tocsin: Run) -> None:
    done = tocsin("--json", *words.split())
    assert (done.returncode, done.stderr) == (code, "")
    found = json.loads(done.stdout)[key]
    for problem in found if key == "problems" else [found]:
        assert problem.keys() == {"where", "got", "wanted", "hint"}
    plain = tocsin(*words.split())
    assert (plain.returncode, "✗" in plain.stdout + plain.stderr) == (code, True)


def test_a_first_config_never_replaces_another(tocsin: Run) -> None:
    assert tocsin("init", "--preset", "flows/zeek").returncode == 0
    text = Path("tocsin.yaml").read_text("utf-8")
    assert 'path: "data/*.log"' in text
    again = tocsin("init")
    assert (again.returncode, "exists already" in again.stderr) == (2, True)
    assert Path("tocsin.yaml").read_text("utf-8") == text
    assert tocsin("check").returncode == 0


def test_ctrl_c_is_answered_with_a_sentence(tocsin: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tocsin.cli.settings.Settings.project", interrupted)
    done = tocsin("status")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Stopped; nothing half done was published.\n")
    document = tocsin("status", "--json")
    assert (document.returncode, json.loads(document.stdout)["error"]["hint"]) == (130, commands.STOPPED)
    monkeypatch.setattr(commands, "take_settings", interrupted)
    assert tocsin("status").returncode == 130


def in_child(*words: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*ALONE, *words],
        env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("words", [["check", "-c", "nowhere.yaml"], ["check", "-c", "nowhere.yaml", "--json"]])
def test_a_reader_who_leaves_early_is_no_error(words: list[str]) -> None:
    with in_child(*words) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == ""
    assert child.returncode == 0


def test_a_terminal_of_few_letters_is_no_error(tmp_path: Path) -> None:
    name = str(tmp_path / "é\x1b.yaml")
    with in_child("train", "-c", name, PYTHONIOENCODING="ascii") as child:
        printed, said = child.communicate()
    assert (child.returncode, printed) == (2, "")
    assert said.startswith("\\u2717 ")
    assert r"\xe9\x1b.yaml" in said


def test_a_new_detector_of_an_impossible_name_is_not_written(tocsin: Run) -> None:
    done = tocsin("new", "detector", "a_b", "--folder", "parts")
    assert (done.returncode, Path("parts").exists()) == (2, False)
    assert tocsin("new", "detector", "nearest_thing", "--folder", "parts").returncode == 0
    assert stat.S_ISREG(Path("parts/nearest_thing.py").stat().st_mode)


def test_too_many_words_are_told_in_one_sentence(tocsin: Run) -> None:
    done = tocsin("silence", "remove", "1", "2")
    assert (done.returncode, "got unexpected extra argument" in done.stderr, "got got" in done.stderr) == (
        2,
        True,
        False,
    )


@pytest.mark.parametrize("words", [["check"], ["check", "--json"], ["models", "list", "--json"]])
def test_a_full_disk_behind_standard_output_is_told(words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*ALONE, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_closed_standard_stream_is_not_taken_for_the_next_file(folder: Path) -> None:
    def close() -> None:
        for number in (0, 1):
            os.close(number)

    words = [*ALONE, "init"]
    done = subprocess.run(words, preexec_fn=close, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Wrote" not in (folder / "tocsin.yaml").read_text("utf-8")
    words = [*ALONE, "append", "--log", "a.db", "--json"]
    assert subprocess.run(words, preexec_fn=close, check=False).returncode == 0


def test_a_ctrl_c_that_python_drops_comes_again(monkeypatch: pytest.MonkeyPatch, tocsin: Run) -> None:
    class Callback:
        def __del__(self) -> None:
            raise KeyboardInterrupt

    def work(*_: object) -> None:
        Callback()  # what is raised there is dropped
        time.sleep(20.0)

    monkeypatch.setattr("tocsin.cli.settings.Settings.project", work)
    done = tocsin("status")
    assert (done.returncode, done.stderr) == (130, "Stopped; nothing half done was published.\n")


@pytest.mark.parametrize(
    "words", ["cleanup all --max-age-days 1e300", "cleanup all --max-age-hours 1e300", "score a.csv --output ."]
)
def test_what_no_option_can_be_is_wrong_usage(words: str, tocsin: Run) -> None:
    assert tocsin("init").returncode == 0
    assert tocsin(*words.split()).returncode == 2
