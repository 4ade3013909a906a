"""Gates from the command line: asked again, explained, pinned anew, and a candidate that a person must approve."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from tocsin.config import load
from tocsin.errors import RegistryError
from tocsin.evaluation.judge import GATES
from tocsin.evaluation.pins import Pins
from tocsin.system import Project

Run = Callable[..., CompletedProcess[str]]
CONFIG = """
version: 1
name: shop
preset: flows
source: {type: synthetic, kind: flows, days: 5, entities: 12, anomaly_rate: 0.01, seed: 3}
gate: {roc_auc: null}
"""


@pytest.fixture
def shop(folder: Path, tocsin: Run) -> Path:
    """A config whose first model serves."""
    (folder / "tocsin.yaml").write_text(CONFIG, "utf-8")
    assert tocsin("train", "--no-plots", "--promote").returncode == 0
    return folder


def test_a_model_is_judged_again_and_every_gate_says_why(shop: Path, tocsin: Run) -> None:
    told = tocsin("gate", "champion", "--json")
    assert told.returncode == 0
    found = json.loads(told.stdout)
    assert {item["target"] for item in found["judgements"]} >= set(GATES)
    assert all(item["why"] for item in found["judgements"] if item["target"] in GATES)
    assert "Verdict: passed" in tocsin("gate", "--promote").stdout
    project = Project(load(shop / "tocsin.yaml"))
    assert len(project.registry.judgements("shop", 1)) == 3


def test_stale_telemetry_is_refused_by_name_and_the_champion_stays(shop: Path, tocsin: Run) -> None:
    stale = CONFIG.replace("seed: 3", "seed: 3, start: '2025-11-03T00:00:00Z'")
    (shop / "tocsin.yaml").write_text(stale.replace("roc_auc: null", "roc_auc: null, rows: off"), "utf-8")
    told = tocsin("train", "--no-plots", "--promote")
    assert told.returncode == 1
    assert "freshness" in told.stdout.partition("Verdict: refused")[2]
    assert "✗ freshness" in told.stdout
    again = tocsin("gate")
    assert again.returncode == 1
    assert "rows was switched off in the config" in again.stdout
    assert Project(load(shop / "tocsin.yaml")).registry.channels("shop") == {"candidate": 2, "champion": 1}


def test_labels_that_vanish_ask_for_a_person(shop: Path, tocsin: Run) -> None:
    (shop / "tocsin.yaml").write_text(CONFIG + "labels: {column: label}\n", "utf-8")
    assert tocsin("train", "--no-plots").returncode in (0, 1)
    assert tocsin("models", "promote", "2").returncode == 0
    (shop / "tocsin.yaml").write_text(CONFIG, "utf-8")
    told = tocsin("train", "--no-plots", "--promote")
    assert "the champion was judged on labelled rows" in told.stdout
    assert Project(load(shop / "tocsin.yaml")).registry.channels("shop")["champion"] == 2


def test_pinned_rows_come_back_as_they_went_and_name_nobody(shop: Path) -> None:
    project = Project(load(shop / "tocsin.yaml"))
    kept = project.registry.pinboard("shop").load()
    assert kept is not None
    pins = Pins.from_bundle(kept)
    again = Pins.from_bundle(pins.bundle())
    assert again.attacks == pins.attacks
    assert len(pins.attacks) > 0
    assert pins.clean.rows <= 2_000
    for name in ("src_ip", "dst_ip"):
        assert all(str(value).startswith("e") and len(value) < 6 for value in pins.clean[name].tolist())
    assert all(np.array_equal(again.clean[name], pins.clean[name], equal_nan=False) for name in ("bytes_in", "src_ip"))
    model, entry = project.model("champion")
    assert pins.anchor == entry.digest == model.digest


def test_other_rows_are_pinned_by_the_channel_key_alone(shop: Path, tocsin: Run) -> None:
    assert tocsin("gate", "champion", "--pin").returncode == 0
    project = Project(load(shop / "tocsin.yaml"))
    kept = project.registry.pinboard("shop").load()
    assert kept is not None
    (shop / ".tocsin" / "keys" / "channel.key").rename(shop / "channel.key")
    with pytest.raises(RegistryError, match="no channel key to pin anew with"):
        project.registry.pinboard("shop").keep(kept, "0" * 64)


def test_rows_that_are_gone_ask_for_a_person(shop: Path, tocsin: Run) -> None:
    for path in (shop / "registry" / "models" / "shop" / "pins").glob("*.json"):
        path.unlink()
    told = json.loads(tocsin("train", "--no-plots", "--promote", "--json").stdout)
    missed = [item["target"] for item in told["verdict"]["judgements"] if item["asked"] and not item["passed"]]
    assert "pins" in missed
    assert Project(load(shop / "tocsin.yaml")).registry.channels("shop")["champion"] == 1


def test_other_telemetry_under_the_name_of_a_champion_is_refused_by_name(shop: Path, tocsin: Run) -> None:
    (shop / "tocsin.yaml").write_text(
        "version: 1\nname: shop\npreset: services\nsource: {type: synthetic, kind: services, days: 4}\n", "utf-8"
    )
    told = tocsin("train", "--no-plots", "--promote")
    assert told.returncode == 1
    assert "champion cannot be had: it reads rows of another form" in told.stdout
    assert "it cannot read the pinned rows" in told.stdout
