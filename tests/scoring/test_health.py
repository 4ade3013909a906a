"""When the version before serves again: for a reason, and not for chance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.evaluation.beside import Beside
from tocsin.scoring.canary import Result
from tocsin.scoring.health import CANARY_S, CHANCE, LOOK_S, Health, by_chance

EQUAL = Beside("a", "b", 10_000, 60.0, (40, 40), (0, 0), 1.0, 0.0, latency_p99_ms=(1.0, 1.0), paced=1_000)


@pytest.mark.parametrize(
    ("holds", "complains"),
    [
        ({"errors": (10, 1)}, {"errors": (11, 1)}),
        ({"errors": (2, 0), "rows": 2}, {"errors": (3, 0), "rows": 3}),
        ({"alerts": (120, 40)}, {"alerts": (121, 40)}),
        ({"alerts": (40, 120)}, {"alerts": (40, 121)}),
        ({"alerts": (0, 13)}, {"alerts": (0, 14)}),
        ({"alerts": (13, 0)}, {"alerts": (14, 0)}),
    ],
)
def test_a_bound_holds_by_a_hair_and_is_broken_by_one(holds: dict[str, Any], complains: dict[str, Any]) -> None:
    assert Health(0.0, 600.0).complaint(replace(EQUAL, **holds), 60.0) == ""
    assert Health(0.0, 600.0).complaint(replace(EQUAL, **complains), 60.0) != ""


def test_a_slow_moment_is_none_and_two_are_a_slow_model() -> None:
    slow, equal = replace(EQUAL, latency_p99_ms=(2.1, 1.0)), EQUAL
    health = Health(0.0, 600.0)
    looks = [(slow, ""), (equal, ""), (slow, ""), (slow, "a row takes it 2.1 ms, the one before 1 ms")]
    for number, (found, said) in enumerate(looks, start=1):
        assert health.complaint(found, number * LOOK_S) == said
    health = Health(0.0, 600.0)
    assert {health.complaint(slow, LOOK_S + second) for second in range(50)} == {""}
    few = replace(slow, paced=100)
    assert {health.complaint(few, number * LOOK_S) for number in range(9)} == {""}


@pytest.mark.parametrize(
    ("results", "complains"),
    [
        (["missed", "missed"], True),
        (["missed", "found", "missed"], False),
        (["missed", "none", "missed"], True),
        (["none", "none", "none"], False),
    ],
)
def test_two_canaries_in_a_row_that_are_missed_are_a_reason(results: list[Result], complains: bool) -> None:
    health = Health(0.0, 600.0)
    for number, result in enumerate(results):
        assert health.canary_due(number * CANARY_S)
        health.tried(result)
        assert not health.canary_due(number * CANARY_S)
    assert bool(health.complaint(EQUAL, 0.0)) is complains


def test_equal_models_are_told_apart_by_chance_as_seldom_as_promised(rng: np.random.Generator) -> None:
    health = Health(0.0, 600.0)
    counts = rng.poisson(rng.uniform(0.1, 50.0, 20_000)[:, None], (20_000, 2)).tolist()
    blamed = sum(bool(health.complaint(replace(EQUAL, alerts=(has, had)), 0.0)) for has, had in counts)
    assert blamed <= 20_000 * 2 * CHANCE * 3


@given(st.integers(0, 10**4), st.integers(0, 10**4))
def test_chance_is_a_share_and_knows_no_side(one: int, other: int) -> None:
    assert 0.0 <= by_chance(one, other) <= 1.0
    assert by_chance(one, other) == by_chance(other, one)
