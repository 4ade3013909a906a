from __future__ import annotations

import numpy as np
import pytest

from tocsin.records import SECOND
from tocsin.thresholds.base import AlertBudget, Calibration
from tocsin.thresholds.conformal import Conformal
from tocsin.thresholds.peaks_over_threshold import PeaksOverThreshold


def minutes(scores: np.ndarray) -> Calibration:
    return Calibration(scores, np.arange(len(scores), dtype=np.int64) * 60 * SECOND)


@pytest.mark.parametrize(("per_day", "state"), [(30.0, "held"), (1.0, "provisional"), (0.1, "extrapolated")])
def test_the_level_rings_about_as_often_as_budgeted(rng: np.random.Generator, per_day: float, state: str) -> None:
    fitted = [PeaksOverThreshold().fit(minutes(rng.gumbel(size=14 * 1_440)), AlertBudget(per_day)) for _ in range(20)]
    levels = np.array([threshold.promise()["level"] for threshold in fitted])
    rate = 1_440 * (1.0 - np.exp(-np.exp(-levels)))
    assert 0.75 * per_day < np.median(rate) < 1.3 * per_day
    assert {threshold.promise()["state"] for threshold in fitted} == {state}


def test_its_level_scatters_less_than_that_of_counts_where_alerts_are_few(rng: np.random.Generator) -> None:
    scatter = {}
    for kind in (PeaksOverThreshold, Conformal):
        samples = np.random.default_rng(7)
        spans = [minutes(samples.gumbel(size=7 * 1_440)) for _ in range(30)]
        scatter[kind] = np.std([kind().fit(span, AlertBudget(per_day=0.5)).promise()["level"] for span in spans])
    assert scatter[PeaksOverThreshold] < scatter[Conformal]


def test_with_too_few_peaks_it_counts_like_conformal(rng: np.random.Generator) -> None:
    few = minutes(rng.normal(size=150))
    mine, counted = (kind().fit(few, AlertBudget(per_day=1.0)).promise() for kind in (PeaksOverThreshold, Conformal))
    assert mine == counted


def test_a_budget_of_most_rows_stops_at_the_median(rng: np.random.Generator) -> None:
    scores = rng.normal(size=5_000)
    threshold = PeaksOverThreshold().fit(minutes(scores), AlertBudget(per_day=1e6))
    assert threshold.flag(scores).mean() <= 0.5
