"""What the command line tells of a version: where it came from, who judged it, how it differs, how to go back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def lived(site: Path, configure: Callable[..., Path], tocsin: Run) -> list[dict[str, Any]]:
    """Three versions: one that served, the champion, and a candidate of another kind on fewer columns."""
    learnt = []
    for words, changes in (
        (["--promote"], ()),
        (["--promote"], (("budget: 1%", "budget: 2%"),)),
        ([], (("robust_zscore", "isolation_forest, trees: 10"), ("[bytes, packets]", "[bytes]"))),
    ):
        configure(*changes, more="gate: {latency: '<= 10000'}\n")  # the machine that tests may be busy
        learnt.append(json.loads(tocsin("train", "--no-plots", "--json", *words).stdout))
    return learnt


def document(done: CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_show_tells_where_a_version_came_from_and_how_to_go_back(
    lived: list[dict[str, Any]], site: Path, tocsin: Run
) -> None:
    found = document(tocsin("models", "show", "champion", "--json"))
    rows = hashlib.sha256((site / "data" / "rows.csv").read_bytes()).hexdigest()
    assert found["notes"]["inputs"] == {rows: "rows.csv"}
    assert found["notes"]["data"]["rows"] == 720
    assert found["parent"] == {"digest": lived[0]["model"], "version": 1}
    assert [step["reason"] for step in found["channels"]["champion"]] == ["promoted"]
    assert found["serves"] == ["champion"]
    (judged,) = found["judgements"]
    assert (judged["role"], judged["verdict"]) == ("train", lived[1]["verdict"])

    told = tocsin("models", "show", "2").stdout
    for words in (
        f"  {rows}  rows.csv\n  720 rows of 5 entities, 2026-03-02T00:00:00Z to 2026-03-02T11:59:00Z\n",
        f"to replace version 1, model {lived[0]['model'][:12]}",
        "with numpy ",
        "Judged 20",
        f"by the train key {judged['key']}",
        "champion step 2: promoted ",
        "It serves. Back to version 1: tocsin models rollback",
    ):
        assert words in told
    assert tocsin("models", "rollback").returncode == 0
    assert "It serves, and there is none before it" in tocsin("models", "show", "1").stdout
    assert "Let it serve: tocsin models promote 2" in tocsin("models", "show", "2").stdout


def test_diff_names_what_changed(lived: list[dict[str, Any]], tocsin: Run) -> None:
    found = document(tocsin("models", "diff", "champion", "3", "--json"))
    assert found["models"] == [lived[1]["model"], lived[2]["model"]]
    assert found["parameters"]["detector.type"] == {
        "first": "robust_zscore",
        "second": "isolation_forest",
        "change": None,
    }
    assert found["parameters"]["detector.trees"] == {"first": None, "second": 10, "change": None}
    assert "detector.min_scale" in found["parameters"]
    assert found["columns"] == {"added": [], "removed": ["packets"]}
    assert list(found["inputs"]["both"].values()) == ["rows.csv"]
    assert not found["inputs"]["added"]
    assert not found["libraries"]
    figures = [learnt["report"]["figures"]["roc_auc"]["value"] for learnt in lived[1:]]
    assert found["figures"]["roc_auc"] == {
        "first": figures[0],
        "second": figures[1],
        "change": figures[1] - figures[0],
    }
    served = found["threshold"]["served"]
    assert served["change"] == served["second"] - served["first"]

    told = tocsin("models", "diff", "1", "3").stdout
    assert "detector.type" in told
    assert "- columns: packets" in told
    same = document(tocsin("models", "diff", "2", "champion", "--json"))
    assert same["parameters"] == same["libraries"] == {}
    assert {side["change"] for side in same["figures"].values() if side["change"] is not None} == {0}


def test_list_marks_what_serves_and_what_served(lived: list[dict[str, Any]], tocsin: Run) -> None:
    found = document(tocsin("models", "list", "--json"))
    assert found["channels"] == {"candidate": 3, "champion": 2}
    assert (found["archived"], found["retired"], found["problems"]) == ([1], [], [])
    first, second, third = (line.split() for line in tocsin("models", "list").stdout.splitlines()[1:4])
    assert [first[-1], second[-1], third[-1]] == ["candidate", "champion", "archived"]


def test_the_index_is_deleted_and_rebuilt(lived: list[dict[str, Any]], site: Path, tocsin: Run) -> None:
    before = tocsin("models", "list", "--json").stdout
    index = site / "registry" / "index.db"
    index.write_bytes(b"damaged")
    assert tocsin("models", "list", "--json").stdout == before
    index.unlink()
    assert document(tocsin("models", "rebuild", "--json")) == {"documents": 8}
    assert "The index holds 8 documents." in tocsin("models", "rebuild").stdout
    assert tocsin("models", "list", "--json").stdout == before


def test_verify_looks_at_one_name_or_at_all(
    lived: list[dict[str, Any]], site: Path, configure: Callable[..., Path], tocsin: Run
) -> None:
    configure(("name: small", "name: other"))
    assert tocsin("train", "--no-plots").returncode == 0
    arrays = lived[2]["model"]
    document_ = json.loads((site / "registry/models/small/versions/000003.json").read_bytes())["document"]
    assert document_["version"]["digest"] == arrays
    digest = document_["objects"]["arrays.bin"]["sha256"]
    (site / "registry/objects/sha256" / digest[:2] / digest).unlink()
    assert tocsin("models", "verify").returncode == 0
    refused = tocsin("models", "verify", "--all")
    assert refused.returncode == 1
    assert "small version 3 arrays.bin" in refused.stdout
