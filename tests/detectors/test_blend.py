from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin import log
from tocsin.checks import detector as checks
from tocsin.component import PartSpec, build
from tocsin.detectors.base import Supervision
from tocsin.detectors.base_blocks import held_out
from tocsin.detectors.base_surprise import Surprise
from tocsin.detectors.blend import Blend
from tocsin.errors import ConfigError, DataError, IntegrityError
from tocsin.records import Matrix, Vector

FOREST, DENOISING = PartSpec("isolation_forest", {"trees": 30}), PartSpec("denoising_reconstruction")
BOOSTED = PartSpec("xgboost", {"trees": 30})
SMOOTHED = PartSpec("pca_reconstruction", {"steps": 3})
METHODS = ("weighted_average", "max", "bayesian", "fisher")
finite = st.floats(-1e300, 1e300)


class Max(Blend):
    """The strongest member alone."""

    @classmethod
    def example(cls, folder: Path) -> Self:
        return cls(of=(FOREST, DENOISING), method="max")


class Bayesian(Blend):
    """Bayes factors, of members that look at one and at three rows."""

    @classmethod
    def example(cls, folder: Path) -> Self:
        return cls(of=(FOREST, SMOOTHED), method="bayesian", weights=(1.0, 2.0))


class Fisher(Blend):
    """One p-value of all."""

    @classmethod
    def example(cls, folder: Path) -> Self:
        return cls(of=(FOREST, DENOISING), method="fisher")


class Supervised(Blend):
    """One member that asks for labels, one that does not."""

    @classmethod
    def example(cls, folder: Path) -> Self:
        return cls(of=(FOREST, BOOSTED))


@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", [Max, Bayesian, Fisher, Supervised])
def test_every_way_to_blend_holds_the_contract(
    kind: type[Blend], check: Callable[[type[Blend], Path], None], tmp_path: Path
) -> None:
    if check is not checks.check_a_fresh_process_gives_the_same_bits:  # which would not find the classes of a test
        check(kind, tmp_path)


def told(rng: np.random.Generator, rows: int = 2_000) -> tuple[Matrix, np.ndarray, Matrix]:
    """Normal rows with labelled anomalies of one kind, and anomalies of a kind that no label told of."""
    x = rng.normal(size=(rows, 6))
    y = (np.arange(rows) % 10 == 0).astype(np.int8)
    x[y == 1, 0] += 2.5
    unseen = rng.normal(size=(200, 6))
    unseen[:, 5] = 9.0
    return x, y, unseen


def above(scores: Vector, usual: Vector) -> float:
    """The share of pairs in which an anomaly stands above a normal row."""
    return float((scores[:, None] > usual).mean())


def test_it_knows_what_labels_told_of_and_is_not_blind_to_the_rest(rng: np.random.Generator) -> None:
    x, y, unseen = told(rng)
    fresh, truth, _ = told(rng)
    blend = Blend(of=(FOREST, BOOSTED)).fit(x, y)
    alone = {spec.type: Blend(of=(spec,)).fit(x, y) for spec in (FOREST, BOOSTED)}
    usual, seen = fresh[truth == 0], fresh[truth == 1]

    def told_apart(anomalies: Matrix, detector: Blend) -> float:
        return above(detector.score(anomalies), detector.score(usual))

    assert told_apart(unseen, blend) > 0.9 > told_apart(unseen, alone["xgboost"]) + 0.2
    assert told_apart(seen, blend) > told_apart(seen, alone["isolation_forest"])


def test_one_member_ranks_as_it_does_alone(rng: np.random.Generator) -> None:
    rows = rng.normal(size=(2_000, 3))
    seen = np.vstack([rng.normal(size=(500, 3)), 4.0 * rng.normal(size=(500, 3))])
    blend = Blend(of=(DENOISING,)).fit(rows)
    alone = build("detectors", DENOISING).fit(rows[~held_out(np.zeros(2_000, dtype=np.int8))])  # type: ignore[attr-defined]
    own, scores = alone.score(seen), blend.score(seen)
    assert (np.diff(scores[np.argsort(own)]) >= 0).all()
    beyond = own > np.median(own)
    assert len(np.unique(scores[beyond])) == len(np.unique(own[beyond]))


def test_p_values_are_those_of_rows_that_no_member_learnt(rng: np.random.Generator) -> None:
    rows = rng.normal(size=(8_000, 4))
    p = np.exp(-Blend(of=(PartSpec("nearest_neighbours"),)).fit(rows).score(rng.normal(size=(8_000, 4))))
    for level in (0.5, 0.1, 0.01):
        assert np.mean(p <= level) == pytest.approx(level, rel=0.35)


def test_fisher_is_the_p_value_of_all_members_together(rng: np.random.Generator) -> None:
    """Of two: that the product of two uniform numbers is at most p1 p2, which is p1 p2 (1 - log p1 p2)."""
    rows, seen = rng.normal(size=(1_000, 2)), 3.0 * rng.normal(size=(50, 2))
    product = sum(Blend(of=(spec,)).fit(rows).score(seen) for spec in (FOREST, DENOISING))
    together = Blend(of=(FOREST, DENOISING), method="fisher").fit(rows).score(seen)
    np.testing.assert_allclose(np.exp(-together), np.exp(-product) * (1.0 + product), rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_no_method_degenerates_at_certainty(method: Any, rng: np.random.Generator) -> None:
    """A member that is sure beyond all rows it has seen leaves the others a say: no 0, no 1, no infinity."""
    blend = Blend(of=(FOREST, DENOISING), method=method).fit(rng.normal(size=(500, 3)))
    with np.errstate(all="raise", under="ignore"):
        scores = blend.score(np.array([[0.0, 0.0, 0.0], [1e300, 0.0, 0.0], [1e300, -1e300, 1e300]]))
    assert np.isfinite(scores).all()
    assert scores[0] < scores[1] <= scores[2]


def test_a_member_without_labels_of_both_kinds_is_left_out_and_told(rng: np.random.Generator) -> None:
    rows = rng.normal(size=(400, 3))
    counter = "tocsin_members_left_out_total"
    before = log.counters().get(counter, 0)
    blend = Blend(of=(BOOSTED, FOREST, DENOISING)).fit(rows, np.zeros(400, dtype=np.int8))
    assert log.counters()[counter] == before + 1
    assert blend.state()["weights"].tolist() == [0.0, 0.5, 0.5]
    assert not any(name.startswith("0.") for name in blend.state())
    assert np.array_equal(blend.score(rows), Blend(of=(FOREST, DENOISING)).fit(rows).score(rows))
    again = Blend.restore(blend.parameters(), blend.state(), 3)
    assert np.array_equal(again.explain(rows), blend.explain(rows))


@pytest.mark.parametrize("label", [None, 0, 1])
def test_a_blend_without_a_member_that_can_learn_is_refused(label: int | None, rng: np.random.Generator) -> None:
    y = None if label is None else np.full(50, label, dtype=np.int8)
    with pytest.raises(DataError, match="that a member can learn from"):
        Blend(of=(BOOSTED,)).fit(rng.normal(size=(50, 2)), y)


def test_anomalies_that_are_known_teach_unsupervised_members_nothing(rng: np.random.Generator) -> None:
    x, y, _ = told(rng)
    x[y == 1] += 50.0
    blend = Blend(of=(FOREST, BOOSTED)).fit(x, y)
    clean = Blend(of=(FOREST,)).fit(x[y == 0])
    assert np.array_equal(blend.state()["0.threshold"], clean.state()["0.threshold"])
    assert np.array_equal(blend.state()["0.surprise.levels"], clean.state()["0.surprise.levels"])


def test_weights_come_from_the_labels_of_rows_held_out(rng: np.random.Generator) -> None:
    x, y, _ = told(rng)
    assert Blend(of=(FOREST, BOOSTED)).fit(x).state()["weights"].tolist() == [1.0, 0.0]
    known = Blend(of=(FOREST, BOOSTED)).fit(x, y).state()["weights"]
    assert known[1] > 1.5 * known[0] > 0
    fixed = Blend(of=(FOREST, BOOSTED), weights=(3.0, 1.0)).fit(x, y).state()["weights"]
    assert fixed.tolist() == [0.75, 0.25]


@pytest.mark.parametrize("method", ["weighted_average", "max"])
def test_the_reasons_are_the_score(method: Any, rng: np.random.Generator) -> None:
    blend = Blend(of=(FOREST, DENOISING), method=method).fit(rng.normal(size=(1_000, 4)))
    rows = 3.0 * rng.normal(size=(200, 4))
    shares, scores = blend.explain(rows), blend.score(rows)
    assert shares.min() >= 0
    np.testing.assert_allclose(shares.sum(axis=1)[scores > 2.0], scores[scores > 2.0], rtol=1e-9)


def test_members_of_fewer_steps_see_the_latest_rows(rng: np.random.Generator) -> None:
    rows = rng.normal(size=(600, 3, 2))
    blend = Blend(of=(SMOOTHED, FOREST)).fit(rows)
    assert (blend.steps, blend.supervision) == (3, Supervision.NONE)
    before, latest = np.zeros((2, 1, 3, 2))
    before[0, 0, 1], latest[0, 2, 1] = 30.0, 30.0
    alone = Blend(of=(FOREST,)).fit(rows[:, -1])
    forest_alone = Blend(of=(SMOOTHED, FOREST), weights=(1e-12, 1.0)).fit(rows)
    np.testing.assert_allclose(forest_alone.score(before), alone.score(before[:, -1]), rtol=1e-9)
    assert blend.explain(latest).argmax() == 5


def test_members_agree_or_they_do_not(rng: np.random.Generator) -> None:
    base = rng.normal(size=(2_000, 1))
    rows = np.hstack([base, base + 0.05 * rng.normal(size=(2_000, 1))])
    blend = Blend(of=(PartSpec("robust_zscore"), DENOISING)).fit(rows)
    agreed = blend.confidence(np.array([[9.0, -9.0], [0.7, -0.7]]))
    assert agreed is not None
    both, one_alone = agreed
    assert both == pytest.approx(1.0)
    assert 0.5 <= one_alone < 0.7


def test_confidence_tells_rows_that_ring_apart(rng: np.random.Generator) -> None:
    """Where each p is next to nothing, agreement is no foregone conclusion, and certainty no agreement."""
    rows = rng.normal(size=(4_000, 4))
    blend = Blend(of=(PartSpec("robust_zscore"), DENOISING)).fit(rows)
    seen = 1.5 * rng.normal(size=(4_000, 4))
    agreed = blend.confidence(seen[blend.score(seen) > np.log(100)])
    assert agreed is not None
    assert agreed.min() < 0.8
    assert np.ptp(np.quantile(agreed, (0.1, 0.9))) > 0.05


def test_a_member_that_is_heard_alone_has_nobody_to_agree_with(rng: np.random.Generator) -> None:
    x = rng.normal(size=(500, 2))
    assert Blend(of=(DENOISING,)).fit(x).confidence(x) is None
    assert Blend(of=(DENOISING, BOOSTED)).fit(x).confidence(x) is None
    y = (np.arange(500) % 10 == 0).astype(np.int8)
    x[y == 1] *= 0.1  # nothing is as usual as these: labels take the weight of all but the trees
    assert Blend(of=(FOREST, BOOSTED, DENOISING)).fit(x, y).confidence(x) is None


def test_agreement_survives_a_restart(rng: np.random.Generator) -> None:
    x, y, unseen = told(rng)
    blend = Blend(of=(FOREST, BOOSTED, PartSpec("robust_zscore"))).fit(x, y)
    again = Blend.restore(blend.parameters(), blend.state(), 6)
    np.testing.assert_array_equal(again.confidence(unseen), blend.confidence(unseen))


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"of": []}, "of names 0 members"),
        ({"of": [{"type": "blend"}]}, "of names a blend"),
        ({"of": [{"type": "isolation_forest", "trees": 0}]}, r"\$\.detector\.of\[0\]\n  got trees is 0"),
        ({"of": [{"type": "isolation_forest"}, {"type": "isolaton_forest"}]}, r"\$\.detector\.of\[1\]\.type"),
        ({"of": [{"type": "isolation_forest"}], "weights": [1, 2]}, "weights are"),
        ({"of": [{"type": "isolation_forest"}], "weights": [0]}, "weights are"),
        ({"method": "median"}, r"\$\.detector\.method"),
    ],
)
def test_a_config_that_makes_no_blend_is_refused_by_its_place(parameters: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        build("detectors", PartSpec("blend", parameters), "$.detector")


def test_it_keeps_all_parameters_of_its_members() -> None:
    assert Blend(of=(PartSpec("denoising_reconstruction"),)).of[0].parameters["noise"] == 0.1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weights", np.array([1.0])),
        ("weights", np.array([0.5, np.nan])),
        ("weights", np.array([-0.5, 1.5])),
        ("weights", np.array([2.0, 2.0])),
        ("weights", np.array([1, 0])),
        ("0.left", np.array([7], dtype=np.int32)),
        ("1.map", np.full((3, 3), np.inf)),
        ("0.surprise.levels", np.array([1.0, 0.0])),
        ("0.surprise.levels", np.array([[0.0]])),
        ("1.surprise.surprises", np.array([np.nan])),
        ("1.surprise.scale", np.array([0.0])),
        ("1.surprise.scale", np.array([np.inf])),
    ],
)
def test_a_hostile_state_is_refused(name: str, value: np.ndarray, rng: np.random.Generator) -> None:
    blend = Blend(of=(FOREST, DENOISING)).fit(rng.normal(size=(200, 3)))
    with pytest.raises(IntegrityError):
        Blend.restore(blend.parameters(), {**blend.state(), name: value}, 3)
    with pytest.raises(IntegrityError):
        Blend.restore(blend.parameters(), {key: a for key, a in blend.state().items() if key != name}, 3)


@given(st.lists(finite, min_size=1, max_size=60), st.lists(finite, min_size=2, max_size=20))
def test_surprise_grows_with_the_score_whatever_it_was_learnt_on(learnt: list[float], seen: list[float]) -> None:
    surprise = Surprise.of(np.array(learnt))
    with np.errstate(all="raise", under="ignore"):
        told = surprise(np.sort(np.array(seen)))
    assert (np.diff(told) >= -1e-12).all()  # but for a rounding
    assert told.min() >= 0
    assert np.isfinite(told).all()
    again = Surprise.restore(surprise.state(), "here")
    assert np.array_equal(again(np.array(seen)), surprise(np.array(seen)))


def test_another_machine_rounds_otherwise_and_is_as_surprised(rng: np.random.Generator) -> None:
    """Rows that came twice have scores a rounding apart; which of them comes first says nothing."""
    scores = np.repeat(rng.lognormal(sigma=3.0, size=300), 7)
    learnt = scores * (1.0 + 1e-15 * rng.integers(-3, 4, len(scores)))
    surprise = Surprise.of(learnt)
    np.testing.assert_allclose(surprise(scores), surprise(learnt), rtol=0, atol=1e-9)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=300))
def test_rows_are_held_out_of_every_label_that_has_enough_of_them(labels: list[int]) -> None:
    y = np.array(labels, dtype=np.int8)
    held = held_out(y)
    for label, rows in zip(*np.unique(y, return_counts=True), strict=True):
        assert (held[y == label].sum() > 0) == (rows >= 4)
        assert held[y == label].mean() < 0.5
