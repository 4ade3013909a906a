from __future__ import annotations

import numpy as np
import pytest

from tocsin.evaluation.ranges import overlap_rewards, range_figures
from tocsin.records import Mask

ONE = np.zeros(12, np.intp)


def rows(*places: int, of: int = 12) -> Mask:
    mask = np.zeros(of, bool)
    mask[list(places)] = True
    return mask


def test_a_range_is_worth_the_share_that_was_hit_over_the_pieces_it_was_hit_in() -> None:
    ranges = rows(0, 1, 2, 3, 6, 7, 10)
    assert overlap_rewards(ranges, rows(0, 1), ONE).tolist() == [0.5, 0.0, 0.0]
    assert overlap_rewards(ranges, rows(0, 2, 7, 8), ONE).tolist() == [0.25, 0.5, 0.0]
    assert overlap_rewards(ranges, ranges, ONE).tolist() == [1.0, 1.0, 1.0]


def test_a_long_false_alarm_counts_once_and_ranges_end_with_their_entity() -> None:
    anomalous, flagged = rows(0, 1, 6), rows(0, 1, 3, 4, 5, 6)
    whole = range_figures(anomalous, flagged, ONE, 0)
    assert (whole["range_recall"].value, whole["range_precision"].value) == (1.0, (1 + 0.25) / 2)
    cut = range_figures(anomalous, flagged, np.array([0] * 6 + [1] * 6), 0)
    assert cut["range_precision"].value == pytest.approx((1 + 0 + 1) / 3)


def test_chance_gets_what_chance_gives(rng: np.random.Generator) -> None:
    anomalous = np.repeat(rng.random(2_000) < 0.05, 10)
    figures = range_figures(anomalous, rng.random(20_000) < 0.3, np.zeros(20_000, np.intp), 0)
    assert figures["range_precision"].value == pytest.approx(anomalous.mean(), abs=0.02)
    assert figures["range_recall"].value is not None
    assert figures["range_recall"].value < 0.3
    assert figures["range_recall"].low is not None


def test_nothing_flagged_and_nothing_labelled_have_their_reasons() -> None:
    assert range_figures(rows(1), rows(), ONE, 0)["range_precision"].reason == "nothing was flagged"
    assert range_figures(rows(), rows(1), ONE, 0)["range_recall"].reason == "no row is labelled as an anomaly"
