"""The main job from nothing, on generated flows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

Run = Callable[..., CompletedProcess[str]]


def found(pattern: str, text: str) -> tuple[str, ...]:
    match = re.search(pattern, text)
    assert match, f"no {pattern!r} in:\n{text}"
    return match.groups()


def test_the_demo_shows_what_was_caught_and_says_that_nothing_is_real(tmp_path: Path, tocsin: Run) -> None:
    folder = tmp_path / "demo"
    shown = tocsin("demo", "--folder", folder)
    assert shown.returncode == 0
    assert "nothing here is real telemetry" in shown.stdout
    assert "Verdict: passed" in shown.stdout
    caught, planted = map(int, found(r"Planted attacks caught: (\d+) of (\d+)", shown.stdout))
    (false_alarms,) = map(int, found(r"False alarms: (\d+) in [\d.]+ days", shown.stdout))
    assert 0 < caught <= planted
    assert re.search(r"(LOW|MEDIUM|HIGH|CRITICAL)  \d+\.\d+\.\d+\.\d+  .*generated data\n", shown.stdout)
    assert re.search(r"^   \w+ \S+( \w+)? \(usual .+ to .+\)", shown.stdout, re.M)
    (page,) = found(r"The report: (.+)", shown.stdout)
    assert Path(page).name == "report.html"
    assert "generated" in Path(page).read_text("utf-8").lower()

    (config,) = found(r"Next: tocsin -c (\S+) models list", shown.stdout)
    assert "generated" in tocsin("-c", config, "models", "list").stdout

    told = tocsin("demo", "--folder", folder, "--json")
    document = json.loads(told.stdout)
    assert told.returncode == 0
    assert document["generated"] is True
    assert document["verdict"]["passed"] is True
    assert (document["caught"], document["planted"]) == (caught, planted)
    assert document["false_alarms"] == false_alarms
    assert Path(document["report"]).exists()
    assert not Path(page).exists(), "a demo is made anew"


def test_a_folder_that_is_no_demo_is_left_alone(tmp_path: Path, tocsin: Run) -> None:
    (tmp_path / "thesis.txt").write_text("ten years of work", "utf-8")
    refused = tocsin("demo", "--folder", tmp_path)
    assert refused.returncode == 2
    assert "a folder that is no demo" in refused.stderr
    assert "choose another with --folder" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
