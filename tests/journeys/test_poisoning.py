"""Retraining that somebody poisons slowly, an incident in the window, and the way back from a bad promotion."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import yaml
from benchmarks.poisoning import ALERTS, BARS, INCIDENT, KINDS, Attack, Campaign, Retraining, cell_of, config_of, run

from tocsin.evaluation.judge import GATES


@pytest.mark.soak
@pytest.mark.parametrize(("detector", "attack"), list(zip(KINDS, ("in", "out", "in"), strict=True)))
def test_what_serves_does_not_forget_an_attack(
    detector: str, attack: Attack, seed: int, rounds: Callable[[int, int], int]
) -> None:
    campaign = Campaign(detector, attack, 0.10, seed, rounds=rounds(4, 30))
    found = cell_of(str(campaign), {campaign: run(campaign)})
    assert found["naive_recall"][-1] < found["gated_recall"][-1]
    bars = {name: holds(found) for name, holds in BARS.items() if name != ALERTS}  # which is one of means over seeds
    assert all(bars.values()), (bars, found)


@pytest.mark.soak
def test_an_incident_in_the_window_does_not_become_normal(seed: int, rounds: Callable[[int, int], int]) -> None:
    campaign = Campaign("pca_reconstruction", "in", INCIDENT, seed, rounds=rounds(5, 12), at_once=1)
    steps = run(campaign)
    assert min(step.naive["in"] for step in steps) < 0.5
    assert steps[-1].gated["in"] >= steps[0].gated["in"] - 0.1
    assert "incident" in {gate for step in steps for gate in step.missed}


def test_a_bad_promotion_that_somebody_forced_is_undone_by_one_command(
    folder: Path, seed: int, tocsin: Callable[..., CompletedProcess[str]]
) -> None:
    retraining = Retraining(folder, Campaign("pca_reconstruction", "in", INCIDENT, seed, rounds=3, at_once=1))
    retraining.advance(0)
    assert tocsin("train", "--promote", "--no-plots").returncode == 0
    before = retraining.judge("champion")

    for number in (1, 2, 3):
        retraining.advance(number)
    assert tocsin("train", "--promote", "--no-plots").returncode == 1
    assert retraining.judge("champion") == before, "the gates stop it"

    careless = {**config_of("pca_reconstruction"), "gate": dict.fromkeys(GATES, "off")}
    Path("tocsin.yaml").write_text(yaml.safe_dump(careless), "utf-8")
    assert tocsin("train", "--promote", "--no-plots").returncode == 0
    assert retraining.judge("champion")["in"] < before["in"] - 0.5
    assert tocsin("models", "rollback").returncode == 0
    assert retraining.judge("champion") == before
