from __future__ import annotations

import numpy as np
import pytest

from tocsin.evaluation.pvalues import calibration_curve, pvalue_figures


def test_the_error_is_the_distance_of_kolmogorov_and_smirnov(rng: np.random.Generator) -> None:
    p_values = rng.beta(0.7, 1.0, 3_000)
    places = np.concatenate([p_values, np.nextafter(p_values, 0.0)])
    distance = max(abs(float((p_values <= place).mean()) - place) for place in places)
    assert pvalue_figures(p_values)["calibration_error"].value == pytest.approx(distance)


def test_p_values_that_are_right_have_the_expected_tail(rng: np.random.Generator) -> None:
    right, small = pvalue_figures(rng.random(50_000)), pvalue_figures(rng.random(50_000) / 3)
    tail = right["calibration_tail"]
    assert tail.low is not None
    assert tail.high is not None
    assert tail.low < 1.0 < tail.high
    assert small["calibration_tail"].value == pytest.approx(3.0, abs=0.3)


def test_equal_p_values_are_one_step() -> None:
    exact = np.repeat(np.arange(1, 101) / 100, 5)
    assert pvalue_figures(exact)["calibration_error"].value == pytest.approx(0.01)


def test_the_curve_shows_expected_and_observed_shares(rng: np.random.Generator) -> None:
    curve = calibration_curve(rng.random(10_000))
    assert curve is not None
    np.testing.assert_allclose(curve["observed"], curve["expected"], atol=0.02)
    assert curve["expected"][-1] == curve["observed"][-1] == 1.0
    assert calibration_curve(np.zeros(0)) is None


def test_without_normal_rows_there_is_nothing_to_hold_p_values_against() -> None:
    assert {figure.reason for figure in pvalue_figures(np.zeros(0)).values()} == {"no row is labelled as normal"}
