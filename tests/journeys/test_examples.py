"""Every config in `examples/` goes its whole way on real data."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tocsin.config import load

Run = Callable[..., CompletedProcess[str]]
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
LEAST = {
    "nsl_kdd": {"roc_auc": 0.955, "average_precision": 0.965},
    "nsl_kdd_labelled": {"roc_auc": 0.960, "average_precision": 0.965, "accuracy": 0.83},
    "zeek": {"roc_auc": 0.97},
    "nab_taxi": {"event_recall": 0.6},
    "asd": {"roc_auc": 0.85, "average_precision": 0.4},
    "cisco_router": {"roc_auc": 0.85},
}
OF_THE_RUN = {"latency_p50_ms", "latency_p99_ms", "train_seconds", "peak_memory_bytes"}
"""Figures of the machine, not of the model."""


def figures(document: dict[str, Any]) -> dict[str, Any]:
    return {name: figure for name, figure in document["report"]["figures"].items() if name not in OF_THE_RUN}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_trains_is_promoted_judged_and_scores(
    example: Path, data: Path, tmp_path: Path, tocsin: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOCSIN_DATA", str(data))
    path = tmp_path / "tocsin.yaml"
    shutil.copy(example, path)
    assert tocsin("-c", path, "check", "--connect").returncode == 0

    trained = tocsin("-c", path, "train", "--promote", "--no-plots", "--json")
    assert trained.returncode == 0
    learnt = json.loads(trained.stdout)
    assert learnt["report"]["generated"] is False
    assert learnt["rows"]["quarantined"] == 0

    judged = tocsin("-c", path, "evaluate", "--no-plots", "--save-predictions", "--json")
    assert judged.returncode == 0
    found = json.loads(judged.stdout)
    assert found["model"] == learnt["model"]
    assert figures(found) == figures(learnt)
    for name, least in LEAST[example.stem].items():
        assert found["report"]["figures"][name]["value"] >= least

    config = load(path)
    source = config.test or config.source
    assert source is not None
    scored = tocsin("-c", path, "score", source.parameters["path"], "--output", tmp_path / "scores.csv", "--json")
    assert scored.returncode == 0
    counted = json.loads(scored.stdout)
    with (tmp_path / "scores.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == counted["rows"] > 0
    assert sum(row["flagged"] == "1" for row in rows) == counted["flagged"] > 0
    assert counted["generated"] is False
    assert all(0 < float(row["p_value"]) <= 1 for row in rows)


def test_every_example_has_its_figures_here() -> None:
    assert {example.stem for example in EXAMPLES} == LEAST.keys()
