"""Missing values, outliers and scales, learnt on the training rows alone."""

from __future__ import annotations

import numpy as np
import pytest
from structlog.testing import capture_logs

from tocsin.config import PreparationConfig
from tocsin.errors import DataError, IntegrityError, SchemaError
from tocsin.preparation import LARGEST, Preparation
from tocsin.records import Matrix

NAMES = ("a", "b", "c")


@pytest.fixture
def rows(rng: np.random.Generator) -> Matrix:
    return np.asarray(rng.normal([0, 10, -5], [1, 3, 0.5], size=(500, 3)))


def test_standard_scaling_centres_and_scales(rows: Matrix) -> None:
    prepared = Preparation(PreparationConfig(scale="standard")).fit(rows, NAMES).apply(rows)
    np.testing.assert_allclose(prepared.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(prepared.std(axis=0), 1)


def test_robust_scaling_is_not_moved_by_outliers(rows: Matrix) -> None:
    poisoned = rows.copy()
    poisoned[:50, 0] = 1e6
    clean = Preparation(PreparationConfig(scale="robust")).fit(rows, NAMES)
    dirty = Preparation(PreparationConfig(scale="robust")).fit(poisoned, NAMES)
    assert dirty.scale[0] < 1.6 * clean.scale[0]


def test_auto_takes_robust_only_where_there_are_outliers(rows: Matrix) -> None:
    rows = np.clip(rows, rows.mean(axis=0) - 2, rows.mean(axis=0) + 2)
    rows[0, 1] = 1e5
    auto = Preparation(PreparationConfig(scale="auto")).fit(rows, NAMES)
    assert auto.scale[1] < 10
    np.testing.assert_allclose(auto.scale[0], rows[:, 0].std())


def test_missing_values_become_the_training_median(rows: Matrix) -> None:
    holes = rows.copy()
    holes[::3, 1] = np.nan
    preparation = Preparation(PreparationConfig(scale="none")).fit(holes, NAMES)
    filled = preparation.apply(np.array([[np.nan, np.nan, np.nan]]))
    np.testing.assert_allclose(filled[0], np.nanmedian(holes, axis=0))


def test_clipping_moves_outliers_to_the_border_and_deletes_nothing(rows: Matrix) -> None:
    preparation = Preparation(PreparationConfig(scale="none", clip=3.0)).fit(rows, NAMES)
    clipped = preparation.apply(np.array([[1e9, 10.0, -1e9]]))
    assert clipped.shape == (1, 3)
    np.testing.assert_allclose(clipped[0], [preparation.high[0], 10.0, preparation.low[2]])


def test_a_column_that_is_nearly_always_zero_keeps_its_rare_values() -> None:
    rows = np.zeros((400, 2))
    rows[:, 1] = np.arange(400)
    rows[:5, 0] = 7
    prepared = Preparation(PreparationConfig(scale="none", clip=3.0)).fit(rows, NAMES[:2]).apply(rows)
    assert prepared[:5, 0].tolist() == [7.0] * 5


def test_a_constant_column_is_warned_of_and_not_scaled(rows: Matrix) -> None:
    rows[:, 1] = 4.0
    with capture_logs() as logs:
        preparation = Preparation(PreparationConfig()).fit(rows, NAMES)
    assert logs[0]["first"] == ["b"]
    assert preparation.scale[1] == 1.0


def test_only_constant_columns_are_an_error() -> None:
    with pytest.raises(DataError, match="constant"):
        Preparation(PreparationConfig()).fit(np.ones((200, 2)), NAMES[:2])


def test_a_column_without_any_value_is_warned_of_and_carries_nothing_ever(rows: Matrix) -> None:
    rows[:, 2] = np.nan
    with capture_logs() as logs:
        preparation = Preparation(PreparationConfig()).fit(rows, NAMES)
    assert logs[0]["first"] == ["c"]
    assert preparation.apply(np.array([[0.0, 10.0, np.nan], [0.0, 10.0, 1e9]]))[:, 2].tolist() == [0.0, 0.0]


def test_another_width_is_refused(rows: Matrix) -> None:
    with pytest.raises(SchemaError, match="2 columns"):
        Preparation(PreparationConfig()).fit(rows, NAMES).apply(rows[:, :2])


def test_huge_values_stay_finite(rows: Matrix) -> None:
    prepared = Preparation(PreparationConfig()).fit(rows, NAMES).apply(np.array([[1e300, -1e300, 0.0]]))
    assert np.abs(prepared).max() <= LARGEST


def test_the_stored_state_prepares_the_same_bits(rows: Matrix) -> None:
    config = PreparationConfig(clip=5.0)
    fitted = Preparation(config).fit(rows, NAMES)
    restored = Preparation.restore(config, fitted.state(), len(fitted.fill))
    np.testing.assert_array_equal(fitted.apply(rows), restored.apply(rows))


@pytest.mark.parametrize(("name", "value"), [("scale", 0.0), ("scale", np.nan), ("fill", np.inf), ("low", np.inf)])
def test_a_state_that_cannot_scale_is_refused(rows: Matrix, name: str, value: float) -> None:
    config = PreparationConfig(clip=5.0)
    state = dict(Preparation(config).fit(rows, NAMES).state())
    state[name] = np.full(3, value)
    with pytest.raises(IntegrityError):
        Preparation.restore(config, state, len(state["fill"]))


def test_a_sequence_is_prepared_as_its_rows_are(rows: Matrix) -> None:
    preparation = Preparation(PreparationConfig(scale="auto")).fit(rows, NAMES)
    sequences = preparation.apply(rows.reshape(100, 5, 3))
    assert sequences.reshape(500, 3).tolist() == preparation.apply(rows).tolist()


def test_what_is_prepared_stays_as_it_was() -> None:
    x = np.array([[1.0, np.nan], [2.0, 5.0], [4.0, 7.0]])
    before = x.copy()
    preparation = Preparation(PreparationConfig(scale="standard")).fit(x, ("a", "b"))
    x.flags.writeable = False
    preparation.apply(x[1:])
    preparation.apply(x)
    assert np.array_equal(x, before, equal_nan=True)
