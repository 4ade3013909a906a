"""VUS-PR is what a direct reading of its paper computes, and gives nothing for chance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from tocsin.evaluation.volume import volume_figure
from tocsin.records import Mask, Vector

ONE = np.zeros(200, np.intp)


def segments(inside: Mask) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(int), [0]])))
    return [(int(first), int(last) - 1) for first, last in edges.reshape(-1, 2)]


def softened(anomalous: Mask, buffer: int) -> Vector:
    """Row by row, as the paper draws it."""
    soft = anomalous.astype(float)
    for first, last in segments(anomalous):
        for row in range(len(soft)):
            distance = max(first - row, row - last)
            if 0 < distance <= buffer // 2:
                soft[row] += np.sqrt(1 - distance / buffer)
    return np.asarray(np.minimum(soft, 1.0))


def slow_area(anomalous: Mask, scores: Vector, buffer: int) -> float:
    soft = softened(anomalous, buffer)
    ranges = segments(soft > 0)
    area, before = 0.0, 0.0
    for threshold in sorted(set(scores.tolist()), reverse=True):
        flagged = scores >= threshold
        caught = (soft * flagged).sum()
        existing = sum(bool(flagged[first : last + 1].any()) for first, last in ranges) / len(ranges)
        recall = min(caught / ((anomalous.sum() + soft.sum()) / 2), 1.0) * existing
        area += (recall - before) * caught / flagged.sum()
        before = recall
    return float(area)


def slow_volume(anomalous: Mask, scores: Vector) -> float:
    longest = int(np.median([last - first + 1 for first, last in segments(anomalous)]))
    assert longest <= 16, "every length is tried up to here"
    return float(np.mean([slow_area(anomalous, scores, buffer) for buffer in range(longest + 1)]))


@given(seed=st.integers(0, 10_000), levels=st.sampled_from([3, 20, 1_000]))
@settings(max_examples=25, deadline=None)
def test_it_is_what_a_direct_reading_computes(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    anomalous = np.zeros(200, bool)
    for begin in rng.integers(0, 195, rng.integers(1, 6)):
        anomalous[begin : begin + rng.integers(1, 14)] = True
    scores = rng.integers(levels, size=200) / levels + anomalous * rng.random()
    figure = volume_figure(anomalous, scores, ONE, 0)
    assert figure.value is not None
    assert figure.value == pytest.approx(slow_volume(anomalous, scores))
    assert figure.low is not None
    assert figure.high is not None
    assert 0 <= figure.low <= figure.value <= figure.high <= 1


def test_single_rows_have_no_buffer_and_the_plain_average_precision(rng: np.random.Generator) -> None:
    anomalous = np.arange(200) % 20 == 7
    scores = rng.random(200) + anomalous * 9.0
    scores[anomalous] = 9.5  # all found at once, so that existence takes nothing away
    assert volume_figure(anomalous, scores, ONE, 0).value == average_precision_score(anomalous, scores) == 1.0


def test_a_flag_just_before_the_label_is_forgiven_and_a_far_one_is_not() -> None:
    anomalous = np.zeros(200, bool)
    anomalous[100:110] = True

    def volume(first: int) -> float:
        scores = np.zeros(200)
        scores[first : first + 10] = 1.0
        value = volume_figure(anomalous, scores, ONE, 0).value
        assert value is not None
        return value

    assert volume(100) > volume(97) > volume(94) > volume(60)


def test_buffers_do_not_reach_into_the_rows_of_another_entity() -> None:
    anomalous = np.zeros(200, bool)
    anomalous[90:100] = True
    codes = np.repeat([0, 1], 100)
    late = np.zeros(200)
    late[100:105] = 1.0
    apart, together = volume_figure(anomalous, late, codes, 0).value, volume_figure(anomalous, late, ONE, 0).value
    assert apart is not None
    assert together is not None
    assert apart < together


def test_entities_that_take_turns_are_judged_as_if_each_stood_alone(rng: np.random.Generator) -> None:
    anomalous, scores, codes = np.zeros(200, bool), rng.random(200), np.repeat([0, 1], 100)
    anomalous[20:30] = anomalous[150:156] = True
    turns = np.arange(200).reshape(2, 100).T.ravel()
    apart = volume_figure(anomalous, scores, codes, 0).value
    assert volume_figure(anomalous[turns], scores[turns], codes[turns], 0).value == pytest.approx(apart)


def test_with_one_kind_of_rows_there_is_no_volume() -> None:
    assert volume_figure(np.ones(200, bool), np.arange(200.0), ONE, 0).reason == "no row is labelled as normal"
    assert volume_figure(np.zeros(200, bool), np.arange(200.0), ONE, 0).reason == "no row is labelled as an anomaly"


def test_a_long_series_costs_a_bounded_number_of_buffers() -> None:
    rows = 100_000
    anomalous = np.zeros(rows, bool)
    anomalous[20_000:60_000] = True
    figure = volume_figure(anomalous, anomalous + np.linspace(0, 0.5, rows), np.zeros(rows, np.intp), 0)
    assert figure.reason == "buffers up to 1024 rows"
    assert figure.value is not None
    assert figure.value > 0.9
