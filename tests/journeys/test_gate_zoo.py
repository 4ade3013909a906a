"""The gate zoo of the benchmark: every saboteur is rejected for its own reason, an honest refit is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from subprocess import CompletedProcess

import pytest
from benchmarks._saboteurs import installed
from benchmarks._zoo import SABOTEURS, TURNS, WORLDS, Saboteur, Zoo
from benchmarks.gates import LEAST_ACCEPTED

BY_NAME = {saboteur.name: saboteur for saboteur in SABOTEURS}


@pytest.fixture(scope="module", params=WORLDS, ids=[world.preset for world in WORLDS])
def zoo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zoo]:
    with installed():
        zoo = Zoo(request.param, tmp_path_factory.mktemp("zoo"))
        assert zoo.first.passed
        yield zoo


@pytest.mark.parametrize("saboteur", SABOTEURS, ids=list(BY_NAME))
def test_a_saboteur_is_rejected_for_its_own_reason(zoo: Zoo, saboteur: Saboteur) -> None:
    found = zoo.spoilt(saboteur)
    assert found.rejected
    assert saboteur.gates & set(found.refused_by), found.reasons


@pytest.mark.soak
def test_an_honest_refit_passes_and_asks_nobody(zoo: Zoo, rounds: Callable[[int, int], int]) -> None:
    refits = islice(zoo.world.honest(), rounds(4, 4 * TURNS))
    found = [zoo.judged(refit) for _, refit in refits]
    refused = [one.reasons for one in found if not one.accepted]
    assert len(found) - len(refused) >= LEAST_ACCEPTED * len(found), refused


def test_who_was_rejected_is_not_promoted_from_the_command_line_either(
    zoo: Zoo, tocsin: Callable[..., CompletedProcess[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = zoo.spoilt(BY_NAME["half the entities missing"])
    monkeypatch.chdir(zoo.folder)
    refused = tocsin("models", "promote", str(found.version))
    assert refused.returncode == 1
    assert "entities" in refused.stderr
