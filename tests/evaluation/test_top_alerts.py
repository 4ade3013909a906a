"""What is caught at a number of alerts a day, wherever the level stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tocsin.calibration import episodes
from tocsin.evaluation.events import find_events
from tocsin.evaluation.evidence import Evidence
from tocsin.evaluation.measures import Figure
from tocsin.evaluation.pace import watched_days
from tocsin.evaluation.top_alerts import RATES, top_alert_figures
from tocsin.records import DAY

Make = Callable[..., Evidence]


def figures(evidence: Evidence) -> dict[str, Figure]:
    judged = evidence.judged
    assert evidence.times is not None
    events = find_events(evidence.truth[judged] == 1, evidence.times[judged], None, None)
    return top_alert_figures(evidence, events, watched_days(evidence.times))


@pytest.fixture
def four_days(make_evidence: Make, rng: np.random.Generator) -> Evidence:
    """A row each 14 minutes; five events, each scored a little lower than the one before, among false alarms."""
    evidence = make_evidence(times=(np.arange(400) * (4 * DAY / 399)).astype(np.int64), entities=None, cooldown_s=0.0)
    score, labels = rng.random(400), np.zeros(400, np.int8)
    for number in range(5):
        labels[50 + 60 * number : 54 + 60 * number] = 1
        score[51 + 60 * number] = 9.0 - number
    score[[20, 21, 320]] = 8.5, 7.5, 6.5
    return replace(evidence, labels=labels, scores=replace(evidence.scores, score=score))


def test_the_highest_scores_ring_until_the_alerts_are_used_up(four_days: Evidence) -> None:
    found = figures(four_days)
    # four alerts in four days: 9, 8.5, 8 and 7.5
    assert found["event_recall_at_1_per_day"].value == 2 / 5
    assert found["event_recall_at_1_per_day"].reason == "level without labels: the top 4 alerts"
    assert found["event_recall_at_3_per_day"].value == 1.0


def test_alerts_are_counted_after_grouping(four_days: Evidence) -> None:
    # within an hour of each other, the two false alarms are one alert, and leave one for the next event
    assert figures(replace(four_days, cooldown_s=3_600.0))["event_recall_at_1_per_day"].value == 3 / 5


def test_never_more_alerts_ring_than_are_allowed(four_days: Evidence, rng: np.random.Generator) -> None:
    assert four_days.times is not None
    for _ in range(20):
        score = rng.random(400).round(2)
        evidence = replace(four_days, scores=replace(four_days.scores, score=score), cooldown_s=3_600.0)
        recalls = [figure.value for figure in figures(evidence).values()]
        assert recalls == sorted(recalls, key=lambda value: value or 0.0)
        # the level of the first figure, from its own definition: the lowest with at most four episodes
        best = 0
        for level in np.unique(score)[::-1]:
            flagged = score >= level
            if episodes(four_days.times[flagged], None, 3_600.0).max() + 1 > 4:
                break
            events = find_events(evidence.truth == 1, four_days.times, None, None)
            assert events is not None
            best = int(events.caught(flagged).sum())
        assert recalls[0] == best / 5


def test_labels_move_the_level_of_no_alert(four_days: Evidence) -> None:
    other = np.roll(four_days.truth, 7)
    assert {figure.reason for figure in figures(replace(four_days, labels=other)).values()} == {
        figure.reason for figure in figures(four_days).values()
    }


def test_what_is_too_short_or_has_no_clock_says_so(make_evidence: Make) -> None:
    short = figures(make_evidence())
    assert {figure.reason for figure in short.values()} == {"less than one alert in 0.00462 days"}
    timeless = top_alert_figures(make_evidence(times=None), None, None)
    assert timeless.keys() == RATES.keys()
    assert {figure.reason for figure in timeless.values()} == {"no clock"}
