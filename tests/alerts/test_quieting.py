"""What is allowed, under maintenance or silenced does not ring, stays visible, and rings when that is over."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.alerts.flagged import COOLDOWN_S, START, flagged

from tocsin import log
from tocsin.alerts import AlertPolicy, Incidents, Maintenance, Quieting, Restraint, Scope, Silences
from tocsin.records import SECOND, Alert


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 28, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def wait(self, hours: float) -> None:
        self.now += timedelta(hours=hours)


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def silences(tmp_path: Path, clock: Hands) -> Silences:
    return Silences(tmp_path / "silences.json", clock)


def policy(
    allow: Sequence[Scope] = (),
    maintenance: Sequence[Maintenance] = (),
    silences: Silences | None = None,
    *,
    limit: int | None = None,
    dry_run: bool = False,
) -> AlertPolicy:
    quieting = Quieting(allow, maintenance, silences)
    return AlertPolicy(
        cooldown_s=COOLDOWN_S, restraint=Restraint(at_most_per_day=limit, quieting=quieting, dry_run=dry_run)
    )


def told(alerts: Sequence[Alert]) -> list[tuple[str, str]]:
    return [(item.entity, item.quiet) for item in alerts]


def under(start: int, end: int, entity: str = "") -> Maintenance:
    return Maintenance(Scope(entity), START + start * SECOND, START + end * SECOND)


def quieted(reason: str) -> int:
    return log.counters().get(f'tocsin_alerts_quieted_total{{reason="{reason}"}}', 0)


def test_what_is_allowed_never_rings_and_is_counted() -> None:
    before = quieted("allowed")
    rows = flagged([(0, "a"), (1, "b"), (2, "c"), (3, "c")], causes=["bytes", "ports", "bytes", "ports"])
    assert told(policy([Scope("a"), Scope(cause="ports")]).decide(rows)) == [
        ("a", "allowed"), ("b", "allowed"), ("c", "")
    ]  # fmt: skip
    assert told(policy([Scope("b", "bytes")]).decide(rows)) == [("a", ""), ("b", ""), ("c", "")]
    assert quieted("allowed") == before + 2


def test_what_is_quiet_has_its_reasons_and_its_id() -> None:
    (quiet,) = policy([Scope("a")]).decide(flagged([(0, "a")]))
    (rung,) = policy().decide(flagged([(0, "a")]))
    assert quiet.reasons == rung.reasons
    assert quiet.id == rung.id


def test_an_episode_that_outlasts_its_maintenance_rings_once_when_that_is_over() -> None:
    deciding = policy(maintenance=[under(0, 1_000)])
    found = [deciding.decide(flagged([(second, "a")])) for second in range(0, 3_000, 100)]
    assert [told(item) for item in found if item] == [[("a", "maintenance")], [("a", "")]]
    (late,) = found[10]
    assert late.start == START + 1_000 * SECOND
    assert late.id != found[0][0].id
    together = policy(maintenance=[under(0, 1_000)]).decide(flagged([(second, "a") for second in range(0, 3_000, 100)]))
    assert [(item.id, item.rows) for item in together] == [(found[0][0].id, 10), (late.id, 20)]


def test_maintenance_of_one_entity_leaves_the_others_alone_and_its_end_is_outside() -> None:
    rows = flagged([(999, "a"), (999, "b"), (5_000, "a"), (999 + 4 * 3_600, "b")])
    deciding = policy(maintenance=[under(999, 5_000, "a")])
    assert told(deciding.decide(rows)) == [("a", "maintenance"), ("b", ""), ("a", ""), ("b", "")]


def test_an_allowed_cause_hides_no_other_cause_of_the_same_episode() -> None:
    deciding = policy([Scope("a", "bytes")])
    rows = flagged([(0, "a"), (60, "a"), (120, "a"), (180, "a")], causes=["bytes", "bytes", "ports", "bytes"])
    found = deciding.decide(rows)
    assert [(item.quiet, item.cause, item.rows) for item in found] == [("allowed", "bytes", 2), ("", "ports", 2)]


def test_a_silence_ends_by_itself_and_what_still_goes_on_rings(silences: Silences, clock: Hands) -> None:
    deciding = policy(silences=silences)
    silences.add("a", "", 3_600, "known")
    assert told(deciding.decide(flagged([(0, "a"), (0, "b")]))) == [("a", "silenced"), ("b", "")]
    clock.wait(0.9)
    assert deciding.decide(flagged([(60, "a")])) == ()
    clock.wait(0.2)
    (late,) = deciding.decide(flagged([(120, "a")]))
    assert (late.entity, late.quiet) == ("a", "")
    assert deciding.decide(flagged([(180, "a")])) == ()


def test_a_service_takes_up_a_silence_that_was_added_or_removed(tmp_path: Path, clock: Hands) -> None:
    elsewhere = Silences(tmp_path / "silences.json", clock)
    deciding = policy(silences=Silences(tmp_path / "silences.json", clock))
    assert told(deciding.decide(flagged([(0, "a")]))) == [("a", "")]
    added = elsewhere.add("", "bytes", 3_600, "known")
    assert told(deciding.decide(flagged([(1_000, "a")]))) == [("a", "silenced")]
    elsewhere.remove(added.number)
    assert told(deciding.decide(flagged([(2_000, "a")]))) == [("a", "")]


def test_silences_have_no_say_in_what_else_rings(silences: Silences, clock: Hands) -> None:
    """Not in the limit of a day, nor in an incident: the ids are those of a run without them."""
    rows = flagged([(second, str(second)) for second in range(0, 400, 10)])
    incidents = Incidents(3, 30.0)
    silences.add("0", "", 3_600, "known")
    silences.add("20", "", 3_600, "known")
    restraint = Restraint(at_most_per_day=4, incidents=incidents, quieting=Quieting(silences=silences))
    silenced = AlertPolicy(cooldown_s=COOLDOWN_S, restraint=restraint)
    plain = AlertPolicy(cooldown_s=COOLDOWN_S, restraint=Restraint(at_most_per_day=4, incidents=Incidents(3, 30.0)))
    assert [item.id for item in silenced.decide(rows)] == [item.id for item in plain.decide(rows)]


def test_what_is_allowed_or_under_maintenance_takes_nothing_from_the_limit_of_a_day() -> None:
    deciding = policy([Scope("a")], [under(0, 100)], limit=1)
    rows = flagged([(0, "b"), (500, "a"), (600, "c")])
    assert told(deciding.decide(rows)) == [("b", "maintenance"), ("a", "allowed"), ("c", "")]


def test_a_dry_run_delivers_nothing_and_says_why_of_each() -> None:
    deciding = policy([Scope("a")], limit=1, dry_run=True)
    found = deciding.decide(flagged([(0, "a"), (1, "b"), (2, "c")]))
    assert [item.quiet for item in found] == ["allowed", "dry_run", "dry_run"]
    assert found[2].origin.endswith("counted, not sent")


def test_without_a_clock_rules_hold_and_maintenance_does_not() -> None:
    deciding = policy([Scope("a")], [under(-10, 10)])
    assert told(deciding.decide(flagged([(0, "a"), (0, "b")], clock=False))) == [("a", "allowed"), ("b", "")]
