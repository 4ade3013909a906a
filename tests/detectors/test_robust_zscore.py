from __future__ import annotations

import numpy as np
import pytest

from tocsin.detectors.robust_zscore import RobustZScore
from tocsin.errors import IntegrityError


def test_a_poisoned_half_does_not_move_the_median(rng: np.random.Generator) -> None:
    clean = rng.normal(size=(1_000, 3))
    poison = np.full((900, 3), 1e6)
    detector = RobustZScore().fit(np.vstack([clean, poison]))
    assert detector.score(poison).min() > 100 * np.median(detector.score(clean))


def test_a_normal_column_is_measured_in_standard_deviations(rng: np.random.Generator) -> None:
    detector = RobustZScore().fit(rng.normal(50.0, 4.0, size=(20_000, 1)))
    assert detector.score(np.array([[62.0], [38.0]])) == pytest.approx([3.0, 3.0], rel=0.05)


def test_one_sided_columns_have_no_low_anomalies() -> None:
    detector = RobustZScore(two_sided=False).fit(np.arange(100.0)[:, None])
    assert detector.score(np.array([[-1e6], [49.5]])).tolist() == [0.0, 0.0]
    assert detector.score(np.array([[1e6]]))[0] > 1e4


def test_a_constant_column_counts_in_its_smallest_scale() -> None:
    detector = RobustZScore(min_scale=0.5).fit(np.full((10, 1), 3.0))
    assert detector.score(np.array([[3.0], [4.0]])).tolist() == [0.0, 2.0]


def test_the_largest_share_is_the_score(rng: np.random.Generator) -> None:
    x = rng.normal(size=(100, 4))
    detector = RobustZScore().fit(x)
    assert detector.explain(x).max(axis=1).tolist() == detector.score(x).tolist()


@pytest.mark.parametrize("min_scale", [0.0, -1.0, np.nan, np.inf])
def test_a_scale_that_divides_by_nothing_is_refused(min_scale: float) -> None:
    with pytest.raises(ValueError, match=r"min_scale is \S+, wanted a number greater than 0"):
        RobustZScore(min_scale=min_scale)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("scale", np.array([1.0, 0.0])),
        ("scale", np.array([1.0, np.nan])),
        ("scale", np.ones(3)),
        ("median", np.array([1.0, np.inf])),
        ("median", np.zeros(2, dtype=np.int64)),
    ],
)
def test_a_damaged_state_is_refused(name: str, array: np.ndarray) -> None:
    state = {"median": np.zeros(2), "scale": np.ones(2), name: array}
    with pytest.raises(IntegrityError, match=f"robust_zscore.{name}"):
        RobustZScore.restore({}, state, 2)
