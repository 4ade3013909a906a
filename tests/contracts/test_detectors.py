from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from tocsin.arrays import Array
from tocsin.checks import detector as checks
from tocsin.component import catalogue, part
from tocsin.detectors.base import Detector, Labels, State
from tocsin.errors import IntegrityError
from tocsin.records import Matrix, Vector


@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", catalogue("detectors"))
def test_contract(name: str, check: Callable[[type[Detector], Path], None], tmp_path: Path) -> None:
    kind = part("detectors", name)
    assert issubclass(kind, Detector)
    check(kind, tmp_path)


class Honest(Detector):
    """Distance from the mean; overflows on huge values. Each of the others below has one more fault."""

    _mean: Vector
    _scale: Vector

    def __init__(self) -> None: ...

    def fit(self, x: Matrix, y: Labels | None = None) -> Self:
        self._mean, self._scale = x.mean(axis=0), x.std(axis=0) + 1e-9
        return self

    def score(self, x: Matrix) -> Vector:
        furthest: Vector = self.explain(x).max(axis=1)
        return furthest

    def explain(self, x: Matrix) -> Matrix:
        return np.abs(x - self._mean) / self._scale

    def state(self) -> State:
        return {"mean": self._mean, "scale": self._scale}

    def arrays(self, columns: int) -> Mapping[str, Array]:
        return {"mean": Array((columns,)), "scale": Array((columns,), least=1e-9)}


@pytest.mark.parametrize("name", ["_class__", "_dict__", "score_of"])
def test_an_array_never_takes_the_place_of_what_a_class_needs(name: str, rng: np.random.Generator) -> None:
    class WithMethod(Honest):
        def _score_of(self) -> None: ...

    learnt = WithMethod().fit(rng.normal(size=(50, 2))).state()
    with pytest.raises(IntegrityError, match="no meaning"):
        WithMethod.restore({}, {**learnt, name: np.zeros(2)}, 2)


class UpsideDown(Honest):
    def score(self, x: Matrix) -> Vector:
        return -super().score(x)


class LearnsWhileScoring(Honest):
    def score(self, x: Matrix) -> Vector:
        scores: Vector = super().score(x)
        self._mean = self._mean + 1e-12
        return scores


class ScalesByTheBatch(Honest):
    def score(self, x: Matrix) -> Vector:
        scores: Vector = super().score(x)
        return scores / float(max(scores.max(initial=0.0), 1.0))


class LooksAtTheRowBefore(Honest):
    def score(self, x: Matrix) -> Vector:
        scores: Vector = super().score(x)
        return scores + 0.1 * np.roll(scores, 1)


class Unseeded(Honest):
    def fit(self, x: Matrix, y: Labels | None = None) -> Self:
        super().fit(x, y)
        self._mean = self._mean + np.random.default_rng().normal(size=len(self._mean))
        return self


class KeepsHalfOfIt(Honest):
    _scale: Vector = np.ones(4)

    def state(self) -> State:
        return {"mean": self._mean}

    def arrays(self, columns: int) -> Mapping[str, Array]:
        return {"mean": Array((columns,))}


class Trusting(Honest):
    def arrays(self, columns: int) -> Mapping[str, Array]:
        return {"mean": Array((columns,)), "scale": Array((columns,))}


class BlamesTheNextColumn(Honest):
    def explain(self, x: Matrix) -> Matrix:
        return np.roll(super().explain(x), 1, axis=1)

    def score(self, x: Matrix) -> Vector:
        return np.sort(self.explain(x), axis=1)[:, -1]


class WritesIntoItsRows(Honest):
    def explain(self, x: Matrix) -> Matrix:
        x -= self._mean
        return np.abs(x) / self._scale


@pytest.mark.parametrize(
    ("kind", "check", "complaint"),
    [
        (UpsideDown, checks.check_spikes_score_higher, "ROC-AUC 0.0"),
        (LearnsWhileScoring, checks.check_scoring_changes_nothing, "scoring changes the state"),
        (ScalesByTheBatch, checks.check_a_row_scores_the_same_alone, "a row alone scores differently"),
        (LooksAtTheRowBefore, checks.check_the_order_of_rows_is_irrelevant, "the order of rows"),
        (Unseeded, checks.check_the_same_fit_gives_the_same_bits, "two fits on the same rows differ"),
        (KeepsHalfOfIt, checks.check_a_restored_state_gives_the_same_scores, "differs after restore"),
        (Trusting, checks.check_a_hostile_state_is_refused_or_harmless, "Trusting with .*refuse it as"),
        (BlamesTheNextColumn, checks.check_reasons_name_the_spiked_column, r"names columns \[1, 2, 3, 0\]"),
        (WritesIntoItsRows, checks.check_scoring_changes_nothing, "writes into the rows"),
        (Honest, checks.check_unusual_training_rows_are_survived, "fails on .*: overflow encountered"),
    ],
)
def test_a_faulty_detector_is_found(
    kind: type[Detector], check: Callable[[type[Detector], Path], None], complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check(kind, tmp_path)
