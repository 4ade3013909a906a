from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tocsin.evaluation.events import find_events
from tocsin.evaluation.evidence import Evidence
from tocsin.evaluation.incidents import SHOWN, Incident, foremost, incidents
from tocsin.evaluation.report import evaluate
from tocsin.records import SECOND

Make = Callable[..., Evidence]


def test_each_labelled_incident_is_told_with_when_it_rang(make_evidence: Make) -> None:
    evidence = make_evidence(classes=None)
    flagged = np.zeros(400, bool)
    flagged[[206, 230, 300]] = True  # all of host-0
    p_value = np.where(np.arange(400) == 207, 0.004, 0.5)
    scores = replace(evidence.scores, flagged=flagged, p_value=p_value)
    first, second = incidents(replace(evidence, scores=scores))
    start = (1_700_000_000 + 200) * SECOND
    assert first == Incident(start, "host-0", "", 20, caught=True, delay_s=6.0, p_value=0.5)
    assert second == Incident(start + SECOND, "host-1", "", 20, caught=False, delay_s=None, p_value=0.004)


def test_without_a_clock_a_name_is_an_incident_and_has_no_delay(make_evidence: Make) -> None:
    (only,) = incidents(make_evidence(times=None))
    assert (only.start, only.name, only.rows, only.caught, only.delay_s) == (None, "flood", 40, True, None)
    assert incidents(make_evidence(times=None, classes=None)) == []
    assert incidents(make_evidence(labels=np.zeros(400, np.int8))) == []


def test_a_long_list_keeps_the_missed_ones_in_order() -> None:
    found = [Incident(None, "", "", row, row % 4 > 0, None, 1.0) for row in range(2 * SHOWN)]
    kept = foremost(found)
    assert len(kept) == SHOWN
    assert [item.rows for item in kept] == sorted(item.rows for item in kept)
    assert sum(not item.caught for item in kept) == SHOWN // 2


def test_delays_are_from_the_first_row_of_an_event_and_of_caught_events_alone(make_evidence: Make) -> None:
    times = np.arange(8) * 10 * SECOND
    events = find_events(np.array([1, 1, 1, 0, 1, 1, 0, 1], bool), times, None, None)
    assert events is not None
    flagged = np.array([0, 0, 1, 1, 1, 1, 0, 0], bool)
    assert events.delays_s(flagged, times).tolist()[:2] == [20.0, 0.0]
    assert np.isnan(events.delays_s(flagged, times)[2])
    report = evaluate(make_evidence())
    assert report.figures["detection_delay_p50_seconds"] >= 0
    assert report.results["detection_delay_p95_seconds"].unit == "s"
    quiet = make_evidence()
    quiet = replace(quiet, scores=replace(quiet.scores, flagged=np.zeros(400, bool)))
    assert evaluate(quiet).results["detection_delay_p50_seconds"].reason == "no event was caught"


def test_what_was_never_caught_is_said_beside_the_delay(make_evidence: Make) -> None:
    evidence = make_evidence(classes=None)
    flagged = evidence.scores.flagged & (evidence.entities == "host-0")
    delay = evaluate(replace(evidence, scores=replace(evidence.scores, flagged=flagged))).results[
        "detection_delay_p50_seconds"
    ]
    assert delay.reason.startswith("of the 1 events caught, out of 2")
