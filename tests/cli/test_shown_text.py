from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tocsin.cli import screens
from tocsin.cli.doctor import Finding
from tocsin.errors import ConfigError, DataError, Problem
from tocsin.model.footprint import Footprint, Share
from tocsin.records import Verdict
from tocsin.registry import Version
from tocsin.sinks.base_terminal import Terminal
from tocsin.sources.base import Tally

HOSTILE = "\x1b[2J\x9b31m\r[red]:bomb:\u202e"
SHOWN = r"\x1b[2J\x9b31m\r[red]:bomb:\u202e"


def entry(number: int) -> Version:
    return Version("small", number, "ab" * 32, "", "2026-11-20T20:05:41.12Z", True, 34_000, False, {})


def show_everything() -> None:
    problem = Problem(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    screens.error(ConfigError([problem]), as_json=False)
    screens.problems("invalid", [problem])
    screens.tally(Tally(received=1, quarantined=1, reasons={HOSTILE: 1}))
    screens.part(HOSTILE, ["check_it"], {"check_it": HOSTILE})
    screens.listing(HOSTILE, {HOSTILE: HOSTILE})
    screens.findings([Finding(HOSTILE, "advice", HOSTILE, HOSTILE)])
    screens.footprint(Footprint((Share(HOSTILE, (HOSTILE,), 8),), 8, 2, None), 4)
    screens.say(HOSTILE)
    screens.aside(HOSTILE)
    screens.document({HOSTILE: HOSTILE})
    screens.error(ConfigError([problem]), as_json=True)
    screens.error(DataError(HOSTILE, HOSTILE), as_json=True)


def test_no_screen_obeys_what_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    show_everything()
    printed = capsys.readouterr()
    for text in (printed.out, printed.err):
        assert SHOWN in text
        assert [letter for letter in text if not (letter.isprintable() or letter == "\n")] == []


def test_a_document_is_ascii_and_keeps_every_letter(capsys: pytest.CaptureFixture[str]) -> None:
    screens.document({"name": HOSTILE, "path": Path(os.fsdecode(b"\xff.csv")), "none": float("nan")})
    text = capsys.readouterr().out
    assert text.isascii()
    assert json.loads(text) == {"name": HOSTILE, "path": r"\udcff.csv", "none": None}


@pytest.mark.parametrize(("number", "words"), [(0, "0 problems"), (1, "1 problem."), (2, "2 problems.")])
def test_one_is_not_many(number: int, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    screens.problems("invalid" if number else "valid", [Problem("$", "x")] * number)
    assert (words in capsys.readouterr().out) == bool(number)
    screens.scores(Tally(received=1, passed_on=1, files_refused=1), scored=1, flagged=1, alerts=1)
    said = capsys.readouterr().out
    assert "1 row received: 1 used" in said
    assert "1 file refused" in said
    assert "1 row scored, 1 flagged, 1 alert\n" in said


def outcome(**promise: object) -> Any:
    served = {"asked": 3.0, "served": 3.0, "unit": "alerts/day", "state": "held", "days": 2.0, "days_needed": 6.667}
    report = SimpleNamespace(
        generated=False, seen_in_training=False, results={}, promise=served | promise, notes=("Read [this].",)
    )
    return SimpleNamespace(
        version=entry(1),
        report=report,
        rows=Tally(),
        verdict=Verdict(passed=True, judgements=()),
        folder=Path("runs/x"),
    )


def test_an_outcome_says_when_more_is_served_than_asked(capsys: pytest.CaptureFixture[str]) -> None:
    screens.outcome(outcome(), as_json=False)
    held = capsys.readouterr().out
    assert "3 alerts/day asked, 3 served, held\nVerdict: passed" in held
    assert held.endswith("Read [this].\n")
    screens.outcome(outcome(asked=0.001, served=0.6, state="extrapolated", days_needed=20_000.0), as_json=False)
    far = capsys.readouterr().out
    assert "600 times what you asked" in far
    assert "it takes 20,000 days of calibration, there were 2 days." in far
    screens.outcome(outcome(state="provisional", rows_needed=2_000, rows=240), as_json=False)
    assert "it takes 2,000 rows of calibration, there were 240." in capsys.readouterr().out


def test_a_reader_who_leaves_is_an_error_that_a_caller_can_see(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        monkeypatch.setattr(screens, "out", Terminal())  # it keeps what it could not print
        with pytest.raises(BrokenPipeError, match="nobody reads any more"):
            screens.say("words")
        # what is left in the buffer has nowhere to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
