"""Three entities with one cause are one incident; one entity, however loud, is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tests.alerts.flagged import COOLDOWN_S, LEVEL_P, START, Row, flagged

from tocsin import log
from tocsin.alerts import AlertPolicy, Incidents, Restraint
from tocsin.records import SECOND, Alert

WINDOW_S = 300


def policy(limit: int | None = None) -> AlertPolicy:
    restraint = Restraint(at_most_per_day=limit, incidents=Incidents(3, WINDOW_S))
    return AlertPolicy(cooldown_s=COOLDOWN_S, model="edge 3", restraint=restraint)


def delivered(alerts: tuple[Alert, ...]) -> list[str]:
    return ["+".join(item.entities) or item.entity for item in alerts if not item.quiet]


def equal(rows: list[Row], causes: list[str] | None = None) -> tuple[Alert, ...]:
    """What rows ring that are all as unlikely."""
    every = flagged(rows, causes=causes)
    return policy().decide(replace(every, p_value=np.full(len(rows), LEVEL_P), score=np.full(len(rows), 5.0)))


def test_the_third_entity_makes_an_incident_and_more_of_its_cause_are_silent() -> None:
    before = log.counters().get("tocsin_incidents_total", 0)
    found = equal([(0, "a"), (100, "b"), (200, "c"), (300, "d"), (450, "e")])
    assert delivered(found) == ["a", "b", "a+b+c"]
    assert log.counters()["tocsin_incidents_total"] == before + 1
    (incident,) = [item for item in found if item.entities]
    assert (incident.entity, incident.cause, incident.rows, incident.model) == ("", "bytes", 3, "edge 3")
    assert (incident.start, incident.end) == (START, START + 200 * SECOND)
    assert incident.incident == incident.id
    assert incident.reasons
    assert [item.reasons for item in found if item.quiet] == [()] * 3
    silent = [item for item in found if item.quiet]
    assert [(item.entity, item.quiet, item.incident) for item in silent] == [
        (name, "incident", incident.id) for name in "cde"
    ]
    assert len({item.id for item in found}) == len(found) == 6


def test_other_causes_and_other_times_are_no_incident() -> None:
    assert delivered(equal([(0, "a"), (10, "b"), (20, "c")], ["bytes", "ports", "bytes"])) == ["a", "b", "c"]
    assert delivered(equal([(0, "a"), (200, "b"), (400, "c")])) == ["a", "b", "c"]


def test_one_entity_that_rings_a_thousand_times_is_one_entity() -> None:
    rows = [(130 * number, "a") for number in range(1_000)]
    assert delivered(equal(rows)) == ["a"] * 1_000
    assert delivered(equal([*rows[:2], (200, "b")])) == ["a", "a", "b"]


def test_one_event_a_thousand_times_raises_nothing() -> None:
    once = equal([(0, "a"), (1, "b"), (2, "c")])
    often = equal([(0, "a")] * 1_000 + [(1, "b")] * 1_000 + [(2, "c")] * 1_000)
    assert [(item.id, item.score, item.severity, item.p_value, item.entities) for item in often] == [
        (item.id, item.score, item.severity, item.p_value, item.entities) for item in once
    ]


def test_what_is_worse_than_was_told_rings_although_an_incident_is_open() -> None:
    every = flagged([(0, "a"), (1, "b"), (2, "c"), (3, "d"), (4, "e"), (5, "f")])
    p_values = LEVEL_P / 4.0 ** np.array([0, 1, 0, 1, 2, 2])
    found = policy().decide(replace(every, p_value=p_values))
    assert delivered(found) == ["a", "b", "a+b+c", "e"]
    assert [item.severity for item in found if not item.quiet] == ["low", "medium", "medium", "high"]
    assert len({item.incident for item in found if item.incident}) == 1


def test_an_incident_ends_when_nothing_rings_for_a_window() -> None:
    late = WINDOW_S + 2
    found = equal([(0, "a"), (1, "b"), (2, "c"), (late, "d"), (late + 1, "e"), (late + 2, "f")])
    assert delivered(found) == ["a", "b", "a+b+c", "d", "e", "d+e+f"]
    assert len({item.id for item in found if item.entities}) == 2


def test_one_that_goes_on_is_told_again_after_an_hour() -> None:
    found = equal([(60 * number, f"host-{number}") for number in range(180)])
    assert sum(1 for item in found if item.entities) == 3
    assert len(delivered(found)) == 9


def test_rows_of_another_time_are_no_part_of_an_incident_and_do_not_end_it() -> None:
    hour = 3_600
    found = equal([(hour, "a"), (hour + 1, "b"), (hour + 2, "c"), (0, "d"), (hour + 3, "e"), (1, "f")])
    assert delivered(found) == ["a", "b", "a+b+c", "d", "f"]


def test_one_wrong_clock_hides_no_incident() -> None:
    found = equal([(0, "a"), (10**6, "wrong"), (1, "b"), (2 * 10**6, "wrong"), (2, "c")])
    assert delivered(found) == ["a", "wrong", "b", "wrong", "a+b+c"]


def test_entities_of_nobody_are_no_incident() -> None:
    rows = replace(flagged([(0, ""), (200, ""), (400, "")]), entities=None)
    assert [item.quiet for item in policy().decide(rows)] == ["", "", ""]


def test_without_a_clock_each_row_rings_by_itself() -> None:
    assert delivered(policy().decide(flagged([(0, "a"), (0, "b"), (0, "c")], clock=False))) == ["a", "b", "c"]


def test_a_limit_a_day_counts_what_is_delivered() -> None:
    found = policy(limit=3).decide(flagged([(second, str(second)) for second in range(0, 200, 10)]))
    sent = [item for item in found if not item.quiet and not item.origin.endswith("not sent")]
    assert [item.entity for item in sent] == ["0", "10", ""]
    assert sent[2].entities == ("0", "10", "20")
