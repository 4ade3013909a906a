"""Stretches of rows, and how unlike those of history they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tocsin.detectors.matrix_profile import MatrixProfile
from tocsin.errors import IntegrityError, SchemaError
from tocsin.records import Matrix, Vector

DAY = 48


def stretches(series: Vector, steps: int = 20) -> Matrix:
    """Every row behind those before it, (n, steps, 1)."""
    return np.lib.stride_tricks.sliding_window_view(series, steps)[:, :, None].copy()


def daily(rng: np.random.Generator, rows: int = 1_000) -> Vector:
    return np.sin(2 * np.pi * np.arange(rows) / DAY) + 0.05 * rng.normal(size=rows)


@pytest.mark.parametrize("what", ["a pause at a usual value", "a rhythm twice as fast", "a level never seen"])
def test_a_shape_that_was_never_there_stands_out(what: str, rng: np.random.Generator) -> None:
    series = daily(rng)
    odd = series[600:620].copy()
    if what == "a pause at a usual value":
        odd[:] = odd[3]
    elif what == "a rhythm twice as fast":
        odd[:] = series[600:640:2]
    else:
        odd += 5.0
    detector = MatrixProfile().fit(stretches(series[:500]))
    assert detector.score(odd[None, :, None])[0] > 2 * detector.score(stretches(series[500:])).max()


def test_two_incidents_in_training_do_not_excuse_a_third(rng: np.random.Generator) -> None:
    series = daily(rng)
    pause = np.zeros(20)
    known = stretches(series[:400])
    known[[100, 300], :, 0] = pause
    usual = np.quantile(MatrixProfile().fit(known).score(stretches(series[500:])), 0.99)
    once_more = (pause + 0.01)[None, :, None]
    assert MatrixProfile().fit(known).score(once_more)[0] > 2 * usual
    assert MatrixProfile(neighbours=1).fit(known).score(once_more)[0] < usual


def test_the_reasons_add_up_to_the_score_and_name_the_rows_that_are_unlike(rng: np.random.Generator) -> None:
    series = daily(rng)
    detector = MatrixProfile().fit(stretches(series[:500]))
    odd = stretches(series[500:])
    odd[7, 13] += 3.0
    shares = detector.explain(odd)
    np.testing.assert_allclose(shares.sum(axis=(1, 2)), detector.score(odd))
    assert shares[7, :, 0].argmax() == 13


def test_few_training_rows_are_all_kept_and_many_are_thinned(rng: np.random.Generator) -> None:
    series = daily(rng)
    assert len(MatrixProfile(references=50).fit(stretches(series)).state()["references"]) == 50
    few = MatrixProfile().fit(stretches(series[:21]))
    assert few.state()["references"].shape == (2, 20, 1)
    assert np.isfinite(few.score(stretches(series[100:200]))).all()


def test_a_constant_column_tells_only_when_it_moves(rng: np.random.Generator) -> None:
    still = np.concatenate([stretches(daily(rng)), np.full((981, 20, 1), 7.0)], axis=2)
    detector = MatrixProfile().fit(still[:500])
    moved = still[500:501].copy()
    moved[0, -1, 1] = 20.0
    assert detector.score(moved)[0] > 3 * detector.score(still[500:501])[0]


@pytest.mark.parametrize(
    "wrong", [{"steps": 1}, {"steps": 2_000}, {"references": 0}, {"neighbours": 0}, {"neighbours": 501}, {"clip": 0.0}]
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="wanted"):
        MatrixProfile(**wrong)


def test_more_values_than_are_kept_are_refused() -> None:
    wide = np.zeros((200, 2, 30_000))
    with pytest.raises(SchemaError, match="take fewer references"):
        MatrixProfile(steps=2).fit(wide)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scale", np.zeros(1)),
        ("center", np.zeros(2)),
        ("references", np.zeros((0, 20, 1))),
        ("references", np.zeros((501, 20, 1))),
        ("references", np.zeros((5, 19, 1))),
        ("references", np.full((5, 20, 1), np.nan)),
        ("references", np.zeros(20)),
    ],
)
def test_a_state_that_could_mislead_is_refused(name: str, value: Matrix, rng: np.random.Generator) -> None:
    state = MatrixProfile().fit(stretches(daily(rng))).state()
    with pytest.raises(IntegrityError, match=f"matrix_profile.{name}"):
        MatrixProfile.restore({}, {**state, name: value}, 1)
