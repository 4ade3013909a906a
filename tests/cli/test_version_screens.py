from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tocsin.cli import screens, version_screens
from tocsin.errors import Problem
from tocsin.records import Verdict
from tocsin.registry import ChannelEntry, Judged, Standing, Version
from tocsin.registry.ledger import Heirloom
from tocsin.sinks.base_terminal import Terminal

HOSTILE = "\x1b[2J\x9b31m\r[red]:bomb:\u202e"
SHOWN = r"\x1b[2J\x9b31m\r[red]:bomb:\u202e"
NOW = datetime(2026, 11, 22, 21, tzinfo=UTC)
FIGURES = {"average_precision": 0.91, "event_recall": 1.0, "anomaly_rate": 0.0123}
STEP = ChannelEntry(3, 12, "cd" * 32, "", "2026-11-20T20:05:41.120+00:00", "2026-11-21", "promoted", None, "")


def entry(number: int) -> Version:
    return Version("small", number, "ab" * 32, "", "2026-11-20T20:05:41.12Z", True, 34_000, False, FIGURES)


def listed(**other: Any) -> dict[str, Any]:
    judged = Judged(Verdict(passed=True, judgements=()), "", "train", "0123456789abcdef")
    return {
        "versions": [entry(1), entry(12)],
        "judged": {"1": judged, "12": replace(judged, role="channel")},
        "channels": {"candidate": 12, "champion": 12},
        "standings": [Standing("champion", STEP, "0123456789abcdef", stale=True)],
        "archived": [1],
        "retired": [2, 3],
        "problems": [],
        "heirlooms": [],
        **other,
    }


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What a screen says on a terminal of so many characters."""

    def call(characters: int, screen: Callable[..., None], *words: Any) -> str:
        for module in (screens, version_screens):
            monkeypatch.setattr(module, "out", Terminal(width=characters))
        screen(*words)
        return capsys.readouterr().out

    return call


LOTS = (
    ("what", "how many", "size", "oldest", "why"),
    ("unfinished runs", "0", "", "", "written before 2026-11-28 17:07 UTC, and never finished"),
    ("**features**", "1,203", "3.4 MB", "2026-10-28 17:07", "not used since then, computed again when needed"),
)


@pytest.mark.parametrize("characters", [40, 60, 80, 200])
def test_no_word_of_a_table_is_broken_at_any_width(characters: int, show: Callable[..., str]) -> None:
    text = show(characters, screens.grid, LOTS)
    assert {word for row in LOTS[1:] for cell in row for word in cell.strip("*").split()} <= set(text.split())
    assert ("size" in text.splitlines()[0]) == (characters >= 60), "a table where there is room for one"
    if characters == 40:
        assert text.splitlines()[:2] == ["unfinished runs", "  how many: 0"]


@pytest.mark.parametrize("characters", [40, 80, 110, 200])
def test_versions_are_whole_at_any_width(characters: int, show: Callable[..., str]) -> None:
    text = show(characters, version_screens.versions, listed(standings=[]), NOW)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= characters
    for words in (
        "12",
        "abababababab",
        "2026-11-20 20:05",
        "passed",
        "34 kB",
        "candidate, champion",
        "archived",
        "0.91",
    ):
        assert words in text
    assert ("0.0123" in text) == (characters != 110), "a table has as many figures as fit"
    assert "Given up: 2, 3" in text


def test_what_came_from_other_systems_is_whole_on_a_narrow_terminal(show: Callable[..., str]) -> None:
    heirloom = Heirloom("Networking Tester", "qos_anomaly_gmm", "1.0.8", "a story " * 9, "2025-05-18", {"f1": 0.857},
                        {"gmm.joblib": "runs code"}, "")  # fmt: skip
    found = listed(versions=[], standings=[], retired=[], heirlooms=[heirloom])
    text = show(40, version_screens.versions, found, NOW)
    assert "…" not in text
    assert text.startswith("Networking Tester: qos_anomaly_gmm 1.0.8")
    for words in ("not loadable", "f1: 0.857", "gmm.joblib: runs code"):
        assert words in text


def test_a_channel_says_since_when_and_whether_it_is_past_its_time(show: Callable[..., str]) -> None:
    text = show(200, version_screens.versions, listed(), NOW)
    assert "champion: version 12, promoted 2 d ago by the key 01234567\n" in text
    assert "past its time since 2026-11-21: tocsin models promote 12 renews it" in text


def test_no_screen_of_versions_obeys_what_it_shows(show: Callable[..., str]) -> None:
    problem = Problem(HOSTILE, HOSTILE)
    heirloom = Heirloom(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, {}, {HOSTILE: HOSTILE}, "")
    found = listed(channels={HOSTILE: 1}, standings=[Standing(HOSTILE, problem=problem)], problems=[problem])
    found |= {"heirlooms": [heirloom]}
    side = {"first": HOSTILE, "second": [HOSTILE], "change": None}
    changed = {"added": {}, "removed": {"ab": HOSTILE}}
    differing: dict[str, Any] = {"versions": [1, 2], "columns": {"added": [HOSTILE], "removed": []}, "inputs": changed}
    differing |= {title: {HOSTILE: side} for title in ("parameters", "threshold", "figures", "data", "libraries")}
    whole = {
        "version": replace(entry(1), name=HOSTILE),
        "content": {
            part: {HOSTILE: HOSTILE} for part in ("features", "preparation", "detector", "threshold", "budget")
        },
        "notes": {"inputs": {"ab": HOSTILE}, "libraries": {HOSTILE: HOSTILE}},
        "parent": {"digest": "ab" * 32, "version": None},
        "judgements": [],
        "passed": False,
        "channels": {HOSTILE: [replace(STEP, approved=HOSTILE)]},
        "serves": [],
        "before": None,
    }
    for text in (
        show(200, version_screens.versions, found, NOW),
        show(40, version_screens.versions, found, NOW),
        show(200, version_screens.differences, differing),
        show(200, version_screens.version, whole),
    ):
        assert SHOWN in text
        assert [letter for letter in text if not (letter.isprintable() or letter == "\n")] == []
