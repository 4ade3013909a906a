from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import log
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest as ScikitForest
from sklearn.metrics import roc_auc_score

from tocsin.detectors.base import State
from tocsin.detectors.isolation_forest import IsolationForest, average_path_length
from tocsin.errors import IntegrityError
from tocsin.kernel.trees import DTYPES, TreeEnsemble, levels, walks
from tocsin.records import Matrix


def same_state(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


def mixed_rows(rng: np.random.Generator, rows: int, columns: int = 12) -> Matrix:
    """Continuous, whole-numbered, rare and constant columns."""
    x = rng.normal(size=(rows, columns))
    x[:, 1] = rng.poisson(2, rows)
    x[:, 2] = rng.random(rows) < 0.02
    x[:, 3] = 7.0
    x[:, 4] *= 1e9
    return x


def test_an_unusual_combination_of_usual_values_stands_out(rng: np.random.Generator) -> None:
    side = rng.choice([-3.0, 3.0], 1_000)
    x = np.column_stack([side, side]) + rng.normal(scale=0.3, size=(1_000, 2))
    detector = IsolationForest().fit(x)
    assert detector.score(np.array([[3.0, -3.0], [-3.0, 3.0]])).min() > np.quantile(detector.score(x), 0.9)


def test_scores_lie_between_0_and_1_and_the_middle_of_a_cloud_below_a_half(rng: np.random.Generator) -> None:
    detector = IsolationForest().fit(rng.normal(size=(2_000, 3)))
    scores = detector.score(np.array([[0.0, 0.0, 0.0], [9.0, 9.0, 9.0], [-1e300, 1e300, 0.0]]))
    assert 0.0 < scores[0] < 0.5 < scores[1] < 1.0
    assert 0.5 < scores[2] < 1.0


def test_shares_add_up_to_the_path_that_the_score_is_made_of(rng: np.random.Generator) -> None:
    x = mixed_rows(rng, 2_000)
    detector = IsolationForest(trees=50).fit(x)
    state = detector.state()
    path = -np.log2(detector.score(x)) * average_path_length(state["samples"])[0]
    expected = state["value"][state["roots"]].mean()
    np.testing.assert_allclose(detector.explain(x).sum(axis=1), expected - path, atol=1e-9)


def test_a_column_that_never_varied_has_no_share(rng: np.random.Generator) -> None:
    x = mixed_rows(rng, 1_000)
    detector = IsolationForest().fit(x)
    x[:, 3] = rng.normal(size=1_000)
    assert not detector.explain(x)[:, 3].any()


def test_a_row_alone_has_the_bits_it_has_in_a_batch(rng: np.random.Generator) -> None:
    x = mixed_rows(rng, 1_500)
    detector = IsolationForest().fit(x)
    together, reasons = detector.score(x), detector.explain(x)
    for row in range(0, 1_500, 97):
        assert detector.score(x[[row]])[0] == together[row]
        assert detector.explain(x[[row]])[0].tolist() == reasons[row].tolist()


def test_every_tree_follows_the_rules_of_its_growth(rng: np.random.Generator) -> None:
    state = IsolationForest(trees=20, samples=64).fit(mixed_rows(rng, 500)).state()
    left, value = state["left"].astype(np.intp), state["value"]
    depth = np.zeros(len(left))
    for node in np.flatnonzero(left != np.arange(len(left))):
        depth[[left[node], left[node] + 1]] = depth[node] + 1
    assert depth.max() == 6
    leaf = left == np.arange(len(left))
    hidden = value[leaf] - depth[leaf]
    assert (hidden[depth[leaf] < 6] == 0).all()
    assert np.isin(hidden.round(9), average_path_length(np.arange(1, 65)).round(9)).all()


def test_all_columns_that_vary_are_cut_about_equally_often(rng: np.random.Generator) -> None:
    x = rng.normal(size=(2_000, 4)) * [1.0, 1e-3, 1e6, 0.0]
    state = IsolationForest(trees=200, samples=16).fit(x).state()
    inner = state["left"] != np.arange(len(state["left"]))
    share = np.bincount(state["feature"][inner], minlength=4) / inner.sum()
    np.testing.assert_allclose(share, [1 / 3, 1 / 3, 1 / 3, 0.0], atol=0.04)


def test_a_repeated_row_stays_whole(rng: np.random.Generator) -> None:
    x = np.repeat(rng.normal(size=(3, 2)), 100, axis=0)
    state = IsolationForest(trees=10).fit(x).state()
    assert len(state["left"]) <= 10 * 5


def test_the_mean_path_among_few_rows_is_that_of_the_paper() -> None:
    euler = 0.5772156649
    found = average_path_length(np.array([0, 1, 2, 3, 256]))
    np.testing.assert_allclose(
        found, [0, 0, 1, 2 * (log(2) + euler) - 4 / 3, 2 * (log(255) + euler) - 510 / 256], rtol=1e-9
    )


def test_the_same_seed_gives_the_same_bits_beside_other_fits(rng: np.random.Generator) -> None:
    x = mixed_rows(rng, 800)
    alone = IsolationForest(trees=30, seed=5).fit(x).state()
    with ThreadPoolExecutor(4) as threads:
        states = list(threads.map(lambda seed: IsolationForest(trees=30, seed=seed).fit(x).state(), [5, 6, 5, 7]))
    assert same_state(alone, states[0])
    assert same_state(alone, states[2])
    assert not same_state(alone, states[1])


def test_a_wide_table_is_grown_in_groups_of_trees(rng: np.random.Generator) -> None:
    x = rng.normal(size=(300, 900))
    detector = IsolationForest(trees=25).fit(x)
    again = IsolationForest.restore(detector.parameters(), detector.state(), 900)
    assert len(detector.state()["roots"]) == 25
    assert again.score(x).tolist() == detector.score(x).tolist()


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"trees": 0}, "trees is 0, wanted 1 to 10,000"),
        ({"trees": 39_000}, "trees is 39000, wanted 1 to 10,000"),
        ({"samples": 1}, "samples is 1, wanted at least 2"),
        ({"seed": -1}, "seed is -1, wanted at least 0"),
        ({"trees": 10_000, "samples": 2_000}, "trees x samples is 20,000,000, wanted at most 4,000,000"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters: dict[str, int], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        IsolationForest(**parameters)


@pytest.mark.parametrize(
    ("name", "change", "complaint"),
    [
        ("samples", lambda array: array * 0, "isolation_forest.samples"),
        ("samples", lambda array: array.astype(np.float64), "isolation_forest.samples"),
        ("value", lambda array: -array, "isolation_forest.value"),
        ("left", lambda array: array * 0, "isolation_forest.left"),
        ("feature", lambda array: array + 2, "isolation_forest.feature"),
        ("roots", lambda array: None, "isolation_forest.roots"),
    ],
)
def test_a_damaged_state_is_refused(
    name: str, change: Callable[[object], object], complaint: str, rng: np.random.Generator
) -> None:
    state = IsolationForest(trees=3).fit(rng.normal(size=(50, 2))).state()
    damaged = {**state, name: change(state[name])}
    with pytest.raises(IntegrityError, match=complaint):
        IsolationForest.restore({}, damaged, 2)  # type: ignore[arg-type]  # what a hostile file may hold


@pytest.mark.parametrize(
    "arguments",
    [{}, {"max_features": 0.5}, {"max_samples": 4_000}, {"max_samples": 1}, {"bootstrap": True, "n_estimators": 7}],
)
def test_an_imported_forest_scores_as_scikit_learn_does(arguments: dict[str, float], rng: np.random.Generator) -> None:
    x = mixed_rows(rng, 10_000)
    theirs = ScikitForest(random_state=3, **{"n_estimators": 30, **arguments}).fit(x[:4_000])
    ours = IsolationForest.from_scikit_learn(theirs)
    np.testing.assert_allclose(ours.score(x), -theirs.score_samples(x), rtol=0, atol=1e-9)
    assert (ours.seed, ours.trees) == (3, theirs.n_estimators)
    restored = IsolationForest.restore(ours.parameters(), ours.state(), x.shape[1])
    assert restored.score(x).tolist() == ours.score(x).tolist()


@pytest.mark.parametrize(("columns", "samples"), [(12, 256), (104, 256), (12, 4_096)])
def test_every_walk_goes_as_many_steps_as_scikit_learn(columns: int, samples: int, rng: np.random.Generator) -> None:
    x = mixed_rows(rng, 5_000, columns)
    theirs = ScikitForest(random_state=3, n_estimators=20, max_samples=samples).fit(x)
    steps = [tree.decision_path(x.astype(np.float32)).sum(axis=1) - 1 for tree in theirs.estimators_]
    state = IsolationForest.from_scikit_learn(theirs).state()
    trees = {name: state[name] for name in DTYPES}
    found = levels(trees["left"], trees["roots"])
    for depth, level in enumerate(found):
        trees["value"][level] = depth
    for walk in walks():
        sums = TreeEnsemble(trees, len(found) - 1, walk).leaf_sum(x)
        assert sums.tolist() == np.ravel(np.sum(steps, axis=0)).tolist()


def test_an_imported_forest_explains_itself(rng: np.random.Generator) -> None:
    x = rng.normal(size=(3_000, 5))
    ours = IsolationForest.from_scikit_learn(ScikitForest(n_estimators=50, random_state=0).fit(x))
    assert ours.explain(np.diag(np.full(5, 9.0))).argmax(axis=1).tolist() == [0, 1, 2, 3, 4]


def test_it_ranks_real_anomalies_as_scikit_learn_does(data: Path) -> None:
    with np.load(data / "adbench" / "6_cardio.npz") as arrays:
        x, y = arrays["X"].astype(np.float64), arrays["y"]
    ours = [roc_auc_score(y, IsolationForest(seed=seed).fit(x).score(x)) for seed in range(6)]
    theirs = [roc_auc_score(y, -ScikitForest(random_state=seed).fit(x).score_samples(x)) for seed in range(6)]
    assert np.mean(ours) == pytest.approx(np.mean(theirs), abs=0.015)


def slanted_rows(rng: np.random.Generator, rows: int) -> Matrix:
    """Four columns that say the same but for a little noise."""
    return rng.normal(size=(rows, 1)) + rng.normal(scale=0.1, size=(rows, 4))


def test_slanted_cuts_see_better_how_columns_go_together(rng: np.random.Generator) -> None:
    x = slanted_rows(rng, 2_000)
    apart = slanted_rows(rng, 500) * rng.choice([-1.0, 1.0], size=(500, 4))
    apart = apart[~(np.ptp(np.sign(apart), axis=1) == 0)]
    straight, slanted = (
        roc_auc_score(np.repeat([0, 1], [2_000, len(apart)]), forest.fit(x).score(np.vstack([x, apart])))
        for forest in (IsolationForest(), IsolationForest(oblique=3))
    )
    assert slanted > straight + 0.02


def test_shares_of_mixtures_go_to_their_columns(rng: np.random.Generator) -> None:
    x = mixed_rows(rng, 2_000)
    detector = IsolationForest(trees=50, oblique=5).fit(x)
    state = detector.state()
    path = -np.log2(detector.score(x)) * average_path_length(state["samples"])[0]
    expected = state["value"][state["roots"]].mean()
    np.testing.assert_allclose(detector.explain(x).sum(axis=1), expected - path, atol=1e-9)
    assert detector.explain(np.zeros((1, 12)) + 30.0 * np.eye(12)[5])[0].argmax() == 5


def test_an_oblique_forest_is_restored_to_the_bit(rng: np.random.Generator) -> None:
    x = mixed_rows(rng, 500)
    detector = IsolationForest(trees=20, oblique=20).fit(x)
    again = IsolationForest.restore(detector.parameters(), detector.state(), 12)
    assert same_state(again.state(), detector.state())
    assert again.score(x).tolist() == [detector.score(row[None])[0] for row in x]


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("mixed", np.full((2, 6), 3, dtype=np.int32)),
        ("mixed", np.full((2, 6), -1, dtype=np.int32)),
        ("mixed", np.zeros((2, 6))),
        ("mixed", np.zeros((3, 6), dtype=np.int32)),
        ("weights", np.full((2, 6), np.nan)),
        ("weights", np.full((2, 6), 1e9)),
        ("weights", np.zeros((2, 5))),
        ("center", np.full(3, np.inf)),
        ("scale", np.zeros(3)),
        ("scale", None),
    ],
)
def test_damaged_mixtures_are_refused(rng: np.random.Generator, name: str, array: np.ndarray | None) -> None:
    detector = IsolationForest(trees=3, oblique=2).fit(rng.normal(size=(50, 3)))
    state = {**detector.state(), name: array}
    with pytest.raises(IntegrityError, match=rf"isolation_forest\.{name}"):
        IsolationForest.restore(detector.parameters(), state, 3)  # type: ignore[arg-type]


def test_too_many_columns_to_a_mixture_are_refused() -> None:
    with pytest.raises(ValueError, match="oblique is 65, wanted 0 to 64"):
        IsolationForest(oblique=65)
