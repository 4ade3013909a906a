"""Configs of other systems, imported, learn from telemetry of their kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from tests.storage.servers import GcsServer

from tocsin.storage import open_bucket

Run = Callable[..., CompletedProcess[str]]
FOUNDING = Path(__file__).parents[1] / "cli" / "founding"


@pytest.fixture
def imported(folder: Path, tocsin: Run) -> Callable[..., None]:
    """Import the config of a founding system with some words replaced."""

    def call(name: str, changes: Mapping[str, str]) -> None:
        text = (FOUNDING / name).read_text("utf-8")
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        (folder / name).write_text(text, "utf-8")
        assert tocsin("import-config", name).returncode == 0
        assert tocsin("check").returncode == 0

    return call


def trained(tocsin: Run, *words: str) -> dict[str, Any]:
    done = tocsin("train", "--no-plots", "--json", *words)
    assert done.returncode == 0, done.stderr + done.stdout
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_mnemosyne_learns_from_its_bucket_and_keeps_its_models_there(
    folder: Path, tocsin: Run, gcs: GcsServer, imported: Callable[..., None]
) -> None:
    bucket = gcs.bucket()
    imported("mnemosyne.yaml", {"your-project-id.appspot.com": bucket.removeprefix("gs://")})
    for seed in (1, 2):
        words = ("--kind", "flows", "--days", "2", "--anomaly-rate", "0", "--seed", str(seed))
        assert tocsin("data", "generate", f"{seed}.csv", *words).returncode == 0
        open_bucket(bucket).write(f"flows/training/{seed}.csv", (folder / f"{seed}.csv").read_bytes())
    found = trained(tocsin)
    assert found["version"] == 1
    assert {entry.key.split("/")[0] for entry in open_bucket(bucket).list()} == {"flows", "models"}
    assert tocsin("score", "1.csv").returncode == 0


def test_networking_tester_learns_from_its_files_and_leaves_its_own(
    folder: Path, tocsin: Run, rng: np.random.Generator, imported: Callable[..., None]
) -> None:
    imported("networking_tester.json", {})
    rows = folder / "data" / "ml_training_data"
    rows.mkdir(parents=True)
    for name, count in (("training", 1_200), ("evaluation", 400)):
        odd = rng.random(count) < 0.05
        values = rng.normal(size=(count, 5)) + 2.5 * odd[:, None]
        lines = [",".join([*(f"{value:.4f}" for value in row), str(int(label))])
                 for row, label in zip(values, odd, strict=True)]  # fmt: skip
        header = ",".join([*(f"feature{number}" for number in range(1, 6)), "label"])
        (rows / f"sample_{name}_data.csv").write_text("\n".join([header, *lines, ""]), "utf-8")
    with (folder / "tocsin.yaml").open("a", encoding="utf-8") as config:
        config.write('labels: {column: label, normal: ["0"]}\n')
    found = trained(tocsin, "--export", "networking-tester", "--export-to", "theirs")
    assert any(item["target"] == "macro_f1" and item["asked"] for item in found["verdict"]["judgements"])
    metrics = json.loads(Path("theirs/evaluation_metrics.json").read_bytes())
    assert metrics["f1_score"] > 0.75


def test_the_analyzer_learns_from_its_last_month_or_from_the_days_that_are_named(
    folder: Path, tocsin: Run, imported: Callable[..., None]
) -> None:
    imported("analyzer.yaml", {})
    (folder / "data").mkdir()
    words = ("--kind", "wifi", "--days", "6", "--interval", "15m", "--anomaly-rate", "0.02")
    assert tocsin("data", "generate", "data/links.csv", *words).returncode == 0
    today = tocsin("train", "--no-plots")
    assert (today.returncode, "ask for a period in which rows lie" in today.stderr) == (1, True)
    assert trained(tocsin, "--start", "2026-01-05", "--end", "2026-01-10")["version"] == 1
