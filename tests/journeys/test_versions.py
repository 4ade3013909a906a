"""Versions come, go live, go back and are given up."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

Run = Callable[..., CompletedProcess[str]]
Configure = Callable[..., Path]

OTHER = ("1%", "2%")
"""Makes another model of the same rows."""
MISSED = "gate: {anomaly_rate: '<= 0.01%'}\n"


@pytest.fixture
def train(tocsin: Run) -> Callable[..., dict[str, Any]]:
    def call(*words: str) -> dict[str, Any]:
        done = tocsin("train", "--no-plots", "--json", *words)
        document: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == (0 if document["verdict"]["passed"] else 1)
        return document

    return call


def serving(tocsin: Run, site: Path) -> str:
    """The model that rings when the site's rows are scored, as its alerts name it."""
    alerts = site / "alerts.jsonl"
    alerts.unlink(missing_ok=True)
    assert tocsin("score", site / "data" / "rows.csv").returncode == 0
    models: set[str] = {json.loads(line)["model"] for line in alerts.read_text("utf-8").splitlines()}
    assert len(models) == 1
    return models.pop()


def shown(learnt: dict[str, Any]) -> str:
    """A trained version, as its alerts name it."""
    return f"small {learnt['version']} ({learnt['model'][:12]})"


def test_a_candidate_becomes_champion_and_a_roll_back_brings_the_first_one_back(
    site: Path, configure: Configure, tocsin: Run, train: Callable[..., dict[str, Any]]
) -> None:
    first = train()
    assert (first["version"], first["verdict"]["passed"]) == (1, True)
    assert json.loads(tocsin("models", "list", "--json").stdout)["channels"] == {"candidate": 1}
    assert serving(tocsin, site) == shown(first), "without a champion the candidate serves"

    assert "Version 1 of small is the champion." in tocsin("models", "promote", "1").stdout
    configure(OTHER)
    second = train()
    assert second["model"] != first["model"]
    assert serving(tocsin, site) == shown(first), "a candidate does not serve beside a champion"

    assert json.loads(tocsin("models", "promote", "2", "--json").stdout) == {"champion": 2}
    assert serving(tocsin, site) == shown(second)
    back = tocsin("models", "rollback")
    assert back.returncode == 0
    assert "Version 1 of small is the champion again." in back.stdout
    assert serving(tocsin, site) == shown(first)

    nothing_left = tocsin("models", "rollback")
    assert nothing_left.returncode == 1
    assert "got nothing before it" in nothing_left.stderr


def test_a_version_that_missed_its_targets_is_kept_and_never_goes_live(
    site: Path, configure: Configure, tocsin: Run, train: Callable[..., dict[str, Any]]
) -> None:
    train("--promote")
    configure(OTHER, more=MISSED)
    missed = train("--promote")
    assert missed["verdict"]["passed"] is False
    refused = tocsin("models", "promote", "2")
    assert refused.returncode == 1
    assert "small version 2\n  got a verdict that failed: anomaly_rate <= 0.01%, got " in refused.stderr
    assert "Hint: the verdict stays with the version: train again" in refused.stderr
    listed = json.loads(tocsin("models", "list", "--json").stdout)
    assert [version["passed"] for version in listed["versions"]] == [True, False]
    assert listed["channels"] == {"candidate": 2, "champion": 1}
    assert "Verdict: refused" in tocsin("train", "--no-plots").stdout


def test_only_the_last_versions_and_the_champion_are_kept(
    site: Path, configure: Configure, tocsin: Run, train: Callable[..., dict[str, Any]]
) -> None:
    configure(more="registry: {keep: 2}\n")
    first = train("--promote")
    for _ in range(4):
        train()
    listed = json.loads(tocsin("models", "list", "--json").stdout)
    assert [version["version"] for version in listed["versions"]] == [1, 4, 5]
    assert serving(tocsin, site) == shown(first)
    gone = tocsin("models", "show", "3")
    assert gone.returncode == 1
    assert "no version 3, wanted one of: 1, 4, 5" in gone.stderr
    assert tocsin("models", "verify").returncode == 0


def test_what_is_shown_of_a_version_is_what_was_found_in_training(
    site: Path, tocsin: Run, train: Callable[..., dict[str, Any]]
) -> None:
    learnt = train("--promote")
    document = json.loads(tocsin("models", "show", "champion", "--json").stdout)
    assert document["version"]["digest"] == learnt["model"]
    assert document["version"]["summary"]["roc_auc"] == learnt["report"]["figures"]["roc_auc"]["value"]
    assert document["content"]["detector"]["type"] == "robust_zscore"
    assert list(document["notes"]["inputs"].values()) == ["rows.csv"]
    assert list(document["notes"]["inputs"]) == document["content"]["inputs"]
    assert document["notes"]["generated"] is False

    for_people = tocsin("models", "show", "1").stdout
    for words in (learnt["model"][:12], "type: robust_zscore", "rows.csv", "roc_auc: "):
        assert words in for_people
    row, candidate, champion = tocsin("models", "list").stdout.splitlines()[1:]
    assert row.split()[:2] == ["1", learnt["model"][:12]]
    assert row.rstrip().endswith("candidate, champion")
    assert candidate.startswith("candidate: version 1, added ")
    assert champion.startswith("champion: version 1, promoted ")
    clean = tocsin("models", "verify")
    assert (clean.returncode, clean.stdout.strip()) == (0, "Every stored byte is as it was written.")
    assert json.loads(tocsin("models", "verify", "--json").stdout) == {"problems": []}


def test_a_run_folder_holds_what_led_to_the_verdict(
    site: Path, tocsin: Run, train: Callable[..., dict[str, Any]]
) -> None:
    learnt = train()
    folder = Path(learnt["folder"])
    documents = {path.name: json.loads(path.read_bytes()) for path in folder.glob("*.json")}
    assert documents.keys() == {"report.json", "verdict.json", "inputs.json"}
    assert documents["report.json"]["model"] == learnt["model"][:12]
    assert documents["report.json"]["figures"] == learnt["report"]["figures"]
    assert documents["verdict.json"] == learnt["verdict"]
    assert documents["inputs.json"]["training"]["received"] == 1_200
    assert (folder / "tocsin.yaml").read_text("utf-8") == (site / "tocsin.yaml").read_text("utf-8")
    assert {path.name for path in (folder / "model").iterdir()} == {"manifest.json", "arrays.bin"}
