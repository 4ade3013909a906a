"""Every preset goes its whole way on the world that its own generator makes up, and everything says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tocsin.evaluation.leaks import TELLING_AUC, TELLING_RELATION

Run = Callable[..., CompletedProcess[str]]

WORLDS = {
    "flows": (28, 21, 1),
    "hosts": (28, 21, 1),
    "services": (28, 21, 1),
    "wifi": (28, 21, 5),
    "frames": (14, 10, 1),
}
"""Days, days before the first anomaly, seed. How many worlds meet a gate, `python -m benchmarks generated` tells."""


@pytest.mark.parametrize("preset", WORLDS)
def test_a_preset_from_its_first_config_to_scores(preset: str, folder: Path, tocsin: Run) -> None:
    days, calm, seed = WORLDS[preset]
    assert tocsin("init", "--preset", preset, "--path", "new.csv").returncode == 0
    assert tocsin("data", "generate", "new.csv", "--kind", preset, "--days", "1", "--seed", "123").returncode == 0
    assert tocsin("check", "--connect").returncode == 0
    source = f"{{type: synthetic, kind: {preset}, days: {days}, attacks_from_day: {calm}, seed: {seed}}}"
    Path("tocsin.yaml").write_text(
        f"version: 1\nname: own\npreset: {preset}\nsource: {source}\nlabels: {{column: label}}\n"
    )
    done = tocsin("train", "--promote", "--no-plots", "--json")
    learnt = json.loads(done.stdout)
    assert done.returncode == 0, learnt["verdict"]
    assert (learnt["report"]["generated"], learnt["rows"]["quarantined"]) == (True, 0)
    # What the detector is shown may tell more than raw columns do, and never all: that would be said in the report.
    leaks = learnt["report"]["leaks"]
    assert leaks["single"]["roc_auc"] < TELLING_AUC
    assert leaks["relation"]["balanced_accuracy"] < TELLING_RELATION
    assert tocsin("evaluate", "--no-plots", "--json").returncode == 0
    scored = json.loads(tocsin("score", "new.csv", "--json").stdout)
    assert (scored["generated"], scored["rows"]) == (True, scored["inputs"]["received"])
