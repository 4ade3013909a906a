"""What the columns make of each other, and what no longer fits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.detectors.denoising_reconstruction import DenoisingReconstruction, _inverse
from tocsin.errors import IntegrityError, SchemaError
from tocsin.records import Matrix


def moving_together(rng: np.random.Generator, rows: int = 2_000) -> Matrix:
    load = rng.normal(size=(rows, 1))
    return np.hstack([load, 3.0 * load, -load]) + 0.1 * rng.normal(size=(rows, 3))


def test_usual_values_in_an_unusual_combination_stand_out(rng: np.random.Generator) -> None:
    detector = DenoisingReconstruction().fit(moving_together(rng))
    odd, usual = np.array([[1.0, -3.0, -1.0]]), np.array([[1.0, 3.0, -1.0]])
    assert detector.score(odd)[0] > 50 * detector.score(usual)[0]
    assert detector.explain(odd)[0].argmax() == 1


def test_a_constant_column_makes_no_noise(rng: np.random.Generator) -> None:
    """The mean of many equal values may be off by a rounding, and the deviation then above 0."""
    rows = np.column_stack([np.full(1_001, 0.1), rng.normal(size=1_001)])
    detector = DenoisingReconstruction().fit(rows)
    assert detector.score(np.array([[0.1 + 1e-7, 0.0]]))[0] < 0.01


def test_the_reasons_add_up_to_the_score(rng: np.random.Generator) -> None:
    rows = moving_together(rng)
    detector = DenoisingReconstruction().fit(rows)
    np.testing.assert_allclose(detector.explain(rows).sum(axis=1), detector.score(rows))


def test_it_is_the_residual_of_the_best_linear_map_that_removes_noise(rng: np.random.Generator) -> None:
    """The closed form against a least-squares fit on many noisy copies of the rows."""
    rows = moving_together(rng, 400)
    noise = 0.5
    z = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    copies = np.repeat(z, 2_000, axis=0)
    noisy = copies + np.sqrt(noise) * rng.normal(size=copies.shape)
    fitted = np.linalg.lstsq(noisy, copies, rcond=None)[0]
    ours = DenoisingReconstruction(noise=noise, clip=100.0).fit(rows).score(rows)
    theirs = ((z - z @ fitted) ** 2).sum(axis=1)
    np.testing.assert_allclose(ours, theirs, rtol=0.05, atol=0.02)


def test_a_tenth_of_wild_rows_in_training_hides_nothing(rng: np.random.Generator) -> None:
    rows = moving_together(rng)
    poisoned = np.vstack([rows, rng.choice([-1e6, 1e6], size=(200, 3))])
    odd = np.array([[1e6, -3e6, -1e6]])
    detector = DenoisingReconstruction().fit(poisoned)
    assert detector.score(odd)[0] > np.quantile(detector.score(rows), 0.999)


def test_nothing_counts_beyond_the_clip(rng: np.random.Generator) -> None:
    detector = DenoisingReconstruction(clip=3.0).fit(rng.normal(size=(500, 2)))
    far, further = detector.score(np.array([[1e3, 0.0], [1e9, 0.0]]))
    assert far == further


def test_the_score_of_a_sequence_is_the_mean_over_its_rows(rng: np.random.Generator) -> None:
    rows = moving_together(rng)
    sequences = np.stack([rows[:-1], rows[1:]], axis=1)
    single = DenoisingReconstruction().fit(rows[1:]).score(rows)
    several = DenoisingReconstruction(steps=2).fit(sequences).score(sequences)
    np.testing.assert_allclose(several, (single[:-1] + single[1:]) / 2)


@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_the_inverse_is_one(size: int, seed: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(3 * size, size))
    matrix = rows.T @ rows / len(rows) + 0.1 * np.eye(size)
    np.testing.assert_allclose(_inverse(matrix) @ matrix, np.eye(size), atol=1e-9)


@pytest.mark.parametrize("wrong", [{"noise": 0.0}, {"noise": np.inf}, {"clip": -1.0}, {"clip": np.nan}])
def test_parameters_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        DenoisingReconstruction(**wrong)


def test_more_columns_than_the_map_may_have_are_refused() -> None:
    with pytest.raises(SchemaError, match="at most 1024"):
        DenoisingReconstruction().fit(np.zeros((2, 1_025)))


@pytest.mark.parametrize(
    ("name", "value"),
    [("scale", np.zeros(2)), ("map", np.full((2, 2), np.nan)), ("map", np.zeros((2, 3))), ("center", np.zeros(3))],
)
def test_a_state_that_could_mislead_is_refused(name: str, value: Matrix, rng: np.random.Generator) -> None:
    state = DenoisingReconstruction().fit(rng.normal(size=(50, 2))).state()
    with pytest.raises(IntegrityError, match=name):
        DenoisingReconstruction.restore({}, {**state, name: value}, 2)
