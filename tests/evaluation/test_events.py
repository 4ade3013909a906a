from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tocsin.evaluation.events import AlertCount, EventCount, count_alerts, find_events
from tocsin.records import Alert, Column, Mask, Times


def count_events(
    anomalous: Mask, flagged: Mask, times: Times | None, entities: Column | None, classes: Column | None
) -> EventCount | None:
    events = find_events(anomalous, times, entities, classes)
    return None if events is None else events.tally(flagged)


def _texts(*values: str) -> Column:
    return np.array(values, dtype=object)


def test_an_event_is_a_run_of_one_entity_even_where_rows_of_others_lie_between() -> None:
    anomalous = np.array([1, 0, 1, 0, 1, 1, 0, 1], bool)
    entities = _texts("a", "b", "a", "b", "a", "b", "a", "a")
    flagged = np.array([0, 0, 0, 0, 1, 0, 1, 0], bool)
    count = count_events(anomalous, flagged, np.arange(8), entities, None)
    assert count is not None
    # a: rows 0, 2, 4 and row 7; b: row 5
    assert (count.events, count.caught) == (3, 1)


def test_neighbouring_entities_do_not_share_an_event() -> None:
    anomalous = np.array([1, 1], bool)
    count = count_events(anomalous, np.array([1, 0], bool), np.arange(2), _texts("a", "b"), None)
    assert count is not None
    assert (count.events, count.caught) == (2, 1)


def test_a_series_without_entities_is_one_entity() -> None:
    anomalous = np.array([0, 1, 1, 0, 1], bool)
    count = count_events(anomalous, np.array([0, 0, 1, 0, 0], bool), np.arange(5), None, None)
    assert count is not None
    assert (count.events, count.caught) == (2, 1)


def test_an_attack_from_many_entities_is_one_event_and_ends_after_a_quiet_hour() -> None:
    minute = 60_000_000
    times = np.array([0, 1, 2, 3, 90, 91], dtype=np.int64) * minute
    classes = _texts("flood", "", "flood", "scan", "flood", "flood")
    entities = _texts("a", "b", "c", "d", "e", "f")
    flagged = np.array([False, False, True, False, False, False])
    count = count_events(classes != "", flagged, times, entities, classes)
    assert count is not None
    assert (count.events, count.caught) == (3, 1)


def test_without_a_clock_each_named_class_is_an_event() -> None:
    anomalous = np.array([1, 1, 1, 1, 0], bool)
    flagged = np.array([0, 1, 0, 1, 1], bool)
    count = count_events(anomalous, flagged, None, None, _texts("scan", "scan", "flood", "", "benign"))
    assert count is not None
    assert (count.events, count.caught) == (2, 1)
    assert count_events(anomalous, flagged, None, None, None) is None
    assert count_events(anomalous, flagged, None, None, np.full(5, "", object)) is None


LABELS = np.array([0, 1, 0, -1], np.int8)
TIMES = np.array([10, 20, 30, 40])
ENTITIES = _texts("a", "a", "b", "b")
ORIGINS = _texts("flows.csv:2", "flows.csv:3", "flows.csv:4", "flows.csv:5")


def test_an_alert_is_right_if_one_of_its_rows_is_a_labelled_anomaly(alert: Callable[..., Alert]) -> None:
    alerts = [
        alert(0, entity="a", start=10, end=20),
        alert(0, entity="a", start=10, end=19),
        alert(2, entity="b", start=20, end=30),
        alert(3, entity="b", start=40, end=40),
        alert(3, entity="c", start=0, end=99),
    ]
    assert count_alerts(alerts, LABELS, TIMES, ENTITIES, ORIGINS) == AlertCount(right=1, wrong=2, unknown=2)


def test_without_a_clock_an_alert_is_found_by_where_its_first_row_was_read(alert: Callable[..., Alert]) -> None:
    alerts = [alert(0, rows=2), alert(0, rows=1), alert(1), alert(3), alert(99)]
    assert count_alerts(alerts, LABELS, None, None, ORIGINS) == AlertCount(right=2, wrong=1, unknown=2)
