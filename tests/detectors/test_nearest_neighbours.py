from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors as ScikitNeighbours

from tocsin.detectors.nearest_neighbours import NearestNeighbours
from tocsin.errors import IntegrityError
from tocsin.records import Matrix


def ring(rng: np.random.Generator, rows: int) -> Matrix:
    turn = rng.uniform(0.0, 2.0 * np.pi, rows)
    return np.column_stack([np.cos(turn), np.sin(turn)]) + rng.normal(scale=0.02, size=(rows, 2))


def test_the_middle_of_a_ring_is_unusual_though_no_column_is(rng: np.random.Generator) -> None:
    detector = NearestNeighbours(references=64).fit(ring(rng, 1_000))
    assert detector.score(np.zeros((1, 2)))[0] > 5 * detector.score(ring(rng, 1_000)).mean()


def test_a_crowd_among_the_training_rows_does_not_vouch_for_itself_in_small_samples(rng: np.random.Generator) -> None:
    normal = rng.normal(size=(950, 3))
    crowd = rng.normal(7.0, 0.1, size=(50, 3))
    small, large = (NearestNeighbours(references=many).fit(np.vstack([normal, crowd])) for many in (8, 500))
    assert small.score(crowd).min() > np.quantile(small.score(normal), 0.99)
    assert large.score(crowd).max() < np.median(large.score(normal))


def test_one_sample_of_all_rows_is_the_distance_to_the_nearest_row(rng: np.random.Generator) -> None:
    x, seen = rng.normal(size=(300, 4)), rng.normal(size=(50, 4))
    detector = NearestNeighbours(samples=1, references=300, clip=1e6).fit(x)
    center, scale = (detector.state()[name] for name in ("center", "scale"))
    theirs = ScikitNeighbours(n_neighbors=1).fit((x - center) / scale)
    np.testing.assert_allclose(detector.score(seen), theirs.kneighbors((seen - center) / scale)[0][:, 0])


@given(st.integers(1, 12), st.integers(1, 40), st.integers(0, 9))
def test_shares_add_up_to_the_score(samples: int, references: int, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(60, 3))
    detector = NearestNeighbours(samples=samples, references=references, seed=seed).fit(x[:30])
    np.testing.assert_allclose(detector.explain(x).sum(axis=1), detector.score(x), rtol=1e-12, atol=1e-12)
    assert detector.explain(x).min() >= 0.0


def test_many_rows_and_one_have_the_same_bits(rng: np.random.Generator) -> None:
    x = rng.normal(size=(500, 30))
    detector = NearestNeighbours().fit(x)
    assert detector.score(x).tolist() == [detector.score(row[None])[0] for row in x]


def test_the_unit_of_a_column_does_not_matter(rng: np.random.Generator) -> None:
    x = rng.normal(size=(400, 3))
    units = np.array([1e-9, 1.0, 1e9])
    alone, scaled = NearestNeighbours().fit(x), NearestNeighbours().fit(x * units)
    np.testing.assert_allclose(scaled.score(x * units), alone.score(x), rtol=1e-9)


def test_a_row_among_few_is_as_near_as_it_can_be(rng: np.random.Generator) -> None:
    x = rng.normal(size=(5, 2))
    assert NearestNeighbours().fit(x).score(x).tolist() == [0.0] * 5


def test_what_lies_beyond_the_clip_is_as_far_as_the_clip(rng: np.random.Generator) -> None:
    detector = NearestNeighbours(clip=4.0).fit(rng.normal(size=(500, 2)))
    far, further = detector.score(np.array([[0.0, 40.0], [0.0, 1e300]]))
    assert far == further


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"samples": 0}, "samples is 0, wanted at least 1"),
        ({"references": 0}, "references is 0, wanted at least 1"),
        ({"samples": 1_001, "references": 1_000}, "samples x references is 1,001,000, wanted at most 1,000,000"),
        ({"clip": 0.0}, "clip is 0.0, wanted a number greater than 0"),
        ({"clip": np.inf}, "clip is inf, wanted a number greater than 0"),
        ({"clip": np.nan}, "clip is nan, wanted a number greater than 0"),
        ({"seed": -1}, "seed is -1, wanted at least 0"),
    ],
)
def test_a_parameter_out_of_range_is_refused(parameters: dict[str, float], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        NearestNeighbours(**parameters)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("center", np.zeros(3)),
        ("center", np.array([0.0, np.nan])),
        ("scale", np.array([1.0, 0.0])),
        ("scale", np.array([1.0, np.inf])),
        ("scale", np.ones((2, 1))),
        ("references", np.zeros((2, 5, 0))),
        ("references", np.zeros((3, 5, 4))),
        ("references", np.zeros((2, 5))),
        ("references", np.zeros((2, 5, 4), dtype=np.int64)),
        ("references", np.full((2, 5, 4), np.nan)),
        ("references", np.zeros((2, 1_001, 1_000))),
    ],
)
def test_a_damaged_state_is_refused(name: str, array: np.ndarray) -> None:
    state = {"center": np.zeros(2), "scale": np.ones(2), "references": np.zeros((2, 5, 4)), name: array}
    with pytest.raises(IntegrityError, match=rf"nearest_neighbours\.{name}"):
        NearestNeighbours.restore({}, state, 2)


def test_a_state_without_references_is_refused() -> None:
    with pytest.raises(IntegrityError, match=r"nearest_neighbours\.references"):
        NearestNeighbours.restore({}, {"center": np.zeros(2), "scale": np.ones(2)}, 2)
