from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.detectors.half_space_trees import HalfSpaceTrees
from tocsin.errors import IntegrityError
from tocsin.kernel.trees import TreeEnsemble, walks


def test_a_gap_between_crowds_is_unusual(rng: np.random.Generator) -> None:
    x = rng.choice([-3.0, 3.0], (2_000, 2)) + rng.normal(scale=0.2, size=(2_000, 2))
    detector = HalfSpaceTrees().fit(x)
    assert detector.score(np.array([[0.0, 0.0], [3.0, 0.0]])).min() > np.quantile(detector.score(x), 0.95)


def test_the_further_out_the_higher_the_score(rng: np.random.Generator) -> None:
    detector = HalfSpaceTrees().fit(rng.normal(size=(2_000, 3)))
    scores = detector.score(np.array([[at, at, at] for at in (0.0, 2.0, 4.0, 8.0)]))
    assert (np.diff(scores) > 0).all()


@pytest.mark.parametrize("rows", [1_000, 100_000])
def test_what_it_keeps_does_not_grow_with_the_rows(rng: np.random.Generator, rows: int) -> None:
    detector = HalfSpaceTrees(trees=20).fit(rng.normal(size=(rows, 4)))
    # A level has at most 1 / least halved boxes, and each leaves two.
    assert len(detector.state()["left"]) <= 20 * (1 + 15 * 2 / 0.02)


def test_single_rows_far_out_do_not_leave_one_box_for_the_rest(rng: np.random.Generator) -> None:
    clean = rng.normal(size=(2_000, 2))
    dirty = np.vstack([clean, [[1e9, 1e9], [-1e9, 1e9]]])
    detector = HalfSpaceTrees().fit(dirty)
    assert detector.score(np.array([[5.0, 5.0]]))[0] > np.quantile(detector.score(clean), 0.99)


@given(st.integers(1, 12), st.integers(1, 20), st.integers(2, 50), st.integers(0, 9))
def test_shares_add_up_to_what_the_score_is_above_the_expected(trees: int, depth: int, samples: int, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(60, 3))
    detector = HalfSpaceTrees(trees=trees, depth=depth, samples=samples, seed=seed).fit(x)
    state = detector.state()
    expected = state["value"][state["roots"]].mean()
    np.testing.assert_allclose(detector.explain(x).sum(axis=1), expected + detector.score(x), atol=1e-9)


def test_every_walk_gives_the_same_bits(rng: np.random.Generator) -> None:
    x = rng.normal(size=(200, 5))
    detector = HalfSpaceTrees(depth=30, least=0.001, oblique=0).fit(x)
    state = detector.state()
    scores = {-TreeEnsemble(state, 30, walk).leaf_mean(x) @ np.ones(200) for walk in walks()}
    assert len(scores) == 1
    assert detector.score(x).tolist() == [detector.score(row[None])[0] for row in x]


def test_a_column_that_never_varied_is_not_overlooked(rng: np.random.Generator) -> None:
    x = rng.normal(size=(1_000, 2))
    x[:, 1] = 7.0
    usual, unusual = HalfSpaceTrees().fit(x).score(np.array([[0.0, 7.0], [0.0, 9.0]]))
    assert unusual > usual


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"trees": 0}, "trees is 0, wanted 1 to 10,000"),
        ({"depth": 64}, "depth is 64, wanted 1 to 63"),
        ({"oblique": 65}, "oblique is 65, wanted 0 to 64"),
        ({"samples": 1}, "samples is 1, wanted at least 2"),
        ({"trees": 5_000, "samples": 1_000}, "trees x samples is 5,000,000, wanted at most 4,000,000"),
        ({"least": 1.0}, "least is 1.0, wanted a share between 0 and 1"),
        ({"least": np.nan}, "least is nan, wanted a share between 0 and 1"),
        ({"seed": -1}, "seed is -1, wanted at least 0"),
    ],
)
def test_a_parameter_out_of_range_is_refused(parameters: dict[str, float], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        HalfSpaceTrees(**parameters)  # type: ignore[arg-type]


def test_a_state_without_its_mixtures_is_refused(rng: np.random.Generator) -> None:
    state = HalfSpaceTrees(trees=3).fit(rng.normal(size=(100, 2))).state()
    del state["mixed"]
    with pytest.raises(IntegrityError, match=r"half_space_trees\.mixed"):
        HalfSpaceTrees.restore({}, state, 2)


@pytest.mark.parametrize("name", ["feature", "threshold", "missing", "left", "value", "roots"])
def test_a_damaged_state_is_refused(name: str, rng: np.random.Generator) -> None:
    detector = HalfSpaceTrees(trees=3).fit(rng.normal(size=(100, 2)))
    state = detector.state()
    whole = state.pop(name)
    with pytest.raises(IntegrityError, match="half_space_trees"):
        HalfSpaceTrees.restore({}, state, 2)
    damaged = whole.copy()
    damaged[0] = 127 if name == "missing" else np.iinfo(np.int32).max if whole.dtype == np.int32 else np.nan
    with pytest.raises(IntegrityError, match=f"half_space_trees.{name}"):
        HalfSpaceTrees.restore({}, {**state, name: damaged}, 2)
