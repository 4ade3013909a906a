"""The wireless presets go their whole way on real links and radios, with what they ship."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import polars as pl
import pytest

Run = Callable[..., CompletedProcess[str]]

EXAMPLES = Path(__file__).parents[2] / "examples"
LINKS = """\
version: 1
name: links
preset: wifi/links
source: {type: csv, path: train.csv}
test: {type: csv, path: test.csv}
labels: {column: label, normal: [normal]}
"""
RADIO = """\
version: 1
name: radio
preset: wifi/radio
source: {path: train.csv}
test: {path: test.csv}
"""


@pytest.fixture
def links(data: Path, tmp_path: Path) -> Path:
    """Rutgers traces: learn from the least noise, judge every noise on every third transmitter, never seen before."""
    subprocess.run([sys.executable, EXAMPLES / "rutgers_traces.py", data / "wifi_rutgers", tmp_path], check=True)
    (tmp_path / "tocsin.yaml").write_text(LINKS, "utf-8")
    return tmp_path


@pytest.fixture
def radio(data: Path, tmp_path: Path) -> Path:
    """5G reports: every fifth block is judged, and no neighbour of its rows is learnt from."""
    subprocess.run([sys.executable, EXAMPLES / "jamming_blocks.py", data / "5g_jamming", tmp_path], check=True)
    (tmp_path / "tocsin.yaml").write_text(RADIO, "utf-8")
    return tmp_path


def trained(tocsin: Run, site: Path) -> dict[str, Any]:
    """The report of a model that went live, and no row lost on the way."""
    config = site / "tocsin.yaml"
    assert tocsin("-c", config, "check", "--connect").returncode == 0
    run = tocsin("-c", config, "train", "--promote", "--no-plots", "--json")
    assert run.returncode == 0, run.stderr
    document: dict[str, Any] = json.loads(run.stdout)
    assert document["rows"]["quarantined"] == 0
    assert tocsin("-c", config, "evaluate", "--no-plots", "--json").returncode == 0
    return document


def scored(tocsin: Run, site: Path) -> list[dict[str, str]]:
    assert (
        tocsin("-c", site / "tocsin.yaml", "score", site / "test.csv", "--output", site / "scores.csv").returncode == 0
    )
    with (site / "scores.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_links_under_noise_are_told_from_calm_ones(links: Path, tocsin: Run) -> None:
    figures = trained(tocsin, links)["report"]["figures"]
    assert figures["roc_auc"]["value"] > 0.75  # who calibrates hangs on the pseudonyms, and so on the site's key


def test_links_that_lost_every_frame_are_rows_like_any_other_and_stand_out(links: Path, tocsin: Run) -> None:
    trained(tocsin, links)
    scores = np.array([float(row["score"]) for row in scored(tocsin, links)])
    rows = pl.read_csv(links / "test.csv")
    assert len(scores) == rows.height == 980
    dead = rows["signal_strength"].is_null().to_numpy()
    assert dead.sum() > 100
    assert (rows["packet_loss"].to_numpy()[dead] == 1).all()
    whole = (rows["packet_loss"] == 0).to_numpy()
    assert scores[dead].min() > np.quantile(scores[whole], 0.9)


def test_a_jammed_radio_is_told_from_a_free_one_and_no_mangled_cell_costs_a_row(radio: Path, tocsin: Run) -> None:
    document = trained(tocsin, radio)
    assert document["report"]["figures"]["roc_auc"]["value"] >= 0.95
    assert len(scored(tocsin, radio)) == 4_500


def test_a_jammer_that_labels_told_of_is_known_again(radio: Path, tocsin: Run) -> None:
    (radio / "tocsin.yaml").write_text(RADIO.replace("wifi/radio", "wifi/jamming"), "utf-8")
    figures = trained(tocsin, radio)["report"]["figures"]
    assert figures["roc_auc"]["value"] > 0.996
    assert figures["average_precision"]["value"] > 0.980
