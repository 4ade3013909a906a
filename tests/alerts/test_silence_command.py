"""`tocsin silence` and the rules of a config, from the command line to what is not delivered."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

Run = Callable[..., CompletedProcess[str]]
CONFIG = """\
version: 1
name: small
schema:
  time: time
  entity: host
  fields:
    time: {dtype: time}
    host: {dtype: category, identity: true}
    bytes: {dtype: float}
features: {columns: [bytes]}
detector: {type: robust_zscore}
split: {train: 0.4, calibration: 0.5}
source: {type: csv, path: rows.csv}
sinks: [{type: jsonl, path: alerts.jsonl}]
alerts: {budget: 5/day}
gate: {}
"""


@pytest.fixture
def site(folder: Path, rng: np.random.Generator) -> Path:
    """Four days of rows, and a fifth on which three hosts send far too much."""
    values = rng.normal(1_000.0, 50.0, 4 * 288)
    rows = [f"2026-03-0{1 + row // 288}T{row % 288 // 12:02}:{row % 12 * 5:02}:00Z,h{row % 9},{value:.1f}"
            for row, value in enumerate(values)]  # fmt: skip
    loud = [f"2026-03-05T10:{10 * place:02}:00Z,h{place},90000" for place in range(3)]
    (folder / "rows.csv").write_text("\n".join(["time,host,bytes", *rows]) + "\n")
    (folder / "loud.csv").write_text("\n".join(["time,host,bytes", *loud]) + "\n")
    (folder / "tocsin.yaml").write_text(CONFIG)
    return folder


def rung(site: Path, tocsin: Run) -> list[str]:
    (site / "alerts.jsonl").unlink(missing_ok=True)
    told = tocsin("score", "loud.csv", "--json")
    assert told.returncode == 0, told.stderr
    alerts = [json.loads(line) for line in (site / "alerts.jsonl").read_text().splitlines()]
    assert json.loads(told.stdout)["alerts"] == len(alerts)
    return [alert["entity"] for alert in alerts]


def test_an_entity_is_silenced_by_its_name_and_kept_by_its_pseudonym(site: Path, tocsin: Run) -> None:
    tocsin("train", "--promote", "--no-plots")
    assert rung(site, tocsin) == ["h0", "h1", "h2"]
    assert tocsin("silence", "list").stdout == "Nothing is silenced.\n"
    added = json.loads(tocsin("silence", "add", "--entity", "h1", "--for", "2h", "--reason", "disk", "--json").stdout)
    assert (added["number"], added["entity"], added["reason"]) == (1, "h1", "disk")
    assert '"h1"' not in (site / ".tocsin" / "silences.json").read_text()
    assert "h1" in tocsin("silence", "list").stdout
    assert rung(site, tocsin) == ["h0", "h2"]
    assert "Silence 2 lasts" in tocsin("silence", "add", "--cause", "bytes", "--for", "5m", "--reason", "x").stdout
    assert rung(site, tocsin) == []
    assert tocsin("silence", "remove", "2").returncode == 0
    assert tocsin("silence", "remove", "1").stdout == "Silence 1 has ended.\n"
    assert rung(site, tocsin) == ["h0", "h1", "h2"]


def test_rules_of_the_config_hold_for_real_names_and_several_entities_are_one_incident(site: Path, tocsin: Run) -> None:
    tocsin("train", "--promote", "--no-plots")
    rules = """{budget: 5/day, incident: {entities: 3, window: 1h}, allow: [{entity: h0, cause: bytes}],
  maintenance: [{name: move, start: 2026-03-05T10:20:00Z, end: 2026-03-05T10:21:00Z, entity: h2}]}"""
    (site / "tocsin.yaml").write_text(CONFIG.replace("{budget: 5/day}", rules))
    assert rung(site, tocsin) == ["h1"]
    (site / "tocsin.yaml").write_text(CONFIG.replace("5/day", "5/day, incident: {entities: 3, window: 1h}"))
    assert rung(site, tocsin) == ["h0", "h1", ""]
    last = json.loads((site / "alerts.jsonl").read_text().splitlines()[-1])
    assert (last["entities"], last["cause"]) == (["h0", "h1", "h2"], "bytes")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add", "--for", "2h", "--reason", "x"], "wanted --entity or --cause"),
        (["add", "--entity", "", "--cause", "", "--for", "2h", "--reason", "x"], "wanted --entity or --cause"),
        (["add", "--entity", "a", "--for", "soon", "--reason", "x"], "--for is"),
        (["add", "--entity", "a\udcff", "--for", "2h", "--reason", "x"], "letters that can be shown"),
        (["add", "--entity", "a", "--for", "2h", "--reason", "\x1b[2J"], "letters that can be shown"),
        (["add", "--cause", "byte", "--for", "2h", "--reason", "x"], 'did you mean "bytes"'),
    ],
)
def test_a_silence_that_would_mean_nothing_is_refused(site: Path, tocsin: Run, words: list[str], said: str) -> None:
    refused = tocsin("silence", *words)
    assert refused.returncode == 2
    assert said in refused.stderr
    assert not (site / ".tocsin" / "silences.json").exists()


def test_a_name_that_no_row_had_is_doubted(site: Path, tocsin: Run) -> None:
    assert site.exists()
    doubted = tocsin("silence", "add", "--entity", "[red]h1", "--for", "2h", "--reason", "disk")
    assert doubted.returncode == 0
    assert "No row of [red]h1 has been seen here yet" in doubted.stderr


def test_one_that_is_not_there_or_too_long_is_refused(site: Path, tocsin: Run) -> None:
    assert site.exists()
    assert tocsin("silence", "remove", "3").returncode == 1
    assert tocsin("silence", "add", "--entity", "a", "--for", "31d", "--reason", "x").returncode == 1


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("allow: [{}]", "neither entity nor cause"),
        ("allow: [{cause: byte}]", 'did you mean "bytes"'),
        ("maintenance: [{name: x, start: 2026-03-05, end: 2026-03-05}]", "wanted a time after"),
        ("maintenance: [{name: x, start: soon, end: 2026-03-05}]", "a day or a time such as"),
        ("incident: {entities: 1}", "greater than or equal to 2"),
    ],
)
def test_rules_that_can_mean_nothing_are_problems_of_the_config(site: Path, tocsin: Run, rules: str, said: str) -> None:
    (site / "tocsin.yaml").write_text(CONFIG.replace("{budget: 5/day}", f"{{budget: 5/day, {rules}}}"))
    refused = tocsin("check")
    assert refused.returncode == 2
    assert said in refused.stdout + refused.stderr
