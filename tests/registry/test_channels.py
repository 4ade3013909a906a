"""Promotions with approvals, renewals and losers; channels that grow stale; sizes; what judged a version."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.registry.worlds import Clock, add, machine

from tocsin.checks.registry import FAILED, NAME, PASSED, example_bundle, example_report
from tocsin.errors import ConflictError, GateRefused, IntegrityError, LimitExceeded, RegistryError
from tocsin.model.bundle import pack
from tocsin.records import Judgement, Verdict
from tocsin.registry import ARCHIVED, CANDIDATE, CHAMPION, Registry
from tocsin.storage import LocalStore

SOFT = Verdict(True, (*PASSED.judgements, Judgement("agreement", ">= 0.8", 0.7, False, "other ranks", soft=True)))
DAY_S = 86_400.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def registry(store: LocalStore, tmp_path: Path, clock: Clock) -> Registry:
    return machine(store, tmp_path / "owner", clock=clock, expires=90 * DAY_S)


def test_a_missed_soft_bound_needs_somebody_who_says_why(registry: Registry) -> None:
    number = add(registry, 0, SOFT)
    for note in (None, ""):
        with pytest.raises(GateRefused, match=r"agreement >= 0\.8, got 0\.7, wanted an approval"):
            registry.promote(NAME, number, approval=note)
    with pytest.raises(LimitExceeded, match="501 characters"):
        registry.promote(NAME, number, approval="x" * 501)
    registry.promote(NAME, number, approval="the ranks changed with the new firmware")
    assert registry.channel_history(NAME, CHAMPION)[-1].approved == "the ranks changed with the new firmware"


def test_an_approval_does_not_help_where_a_hard_bound_was_missed(registry: Registry) -> None:
    missed = replace(SOFT, passed=False)
    with pytest.raises(GateRefused, match="a verdict that failed"):
        registry.promote(NAME, add(registry, 0, missed), approval="please")


def test_the_last_word_of_a_gate_counts(registry: Registry) -> None:
    number = add(registry, 0, FAILED)
    registry.add_judgement(NAME, number, PASSED, example_report(1))
    registry.promote(NAME, number)
    registry.add_judgement(NAME, number, FAILED, example_report(2))
    with pytest.raises(GateRefused, match="a verdict that failed"):
        registry.promote(NAME, number)
    assert [(item.role, item.verdict) for item in registry.judgements(NAME, CHAMPION)] == [
        ("train", FAILED), ("channel", PASSED), ("channel", FAILED)
    ]  # fmt: skip
    assert registry.channels(NAME)[CHAMPION] == number, "what serves goes on until somebody rolls back"


def test_the_loser_is_told_who_won_when_and_by_which_key(registry: Registry) -> None:
    for seed in range(2):
        add(registry, seed)
    registry.promote(NAME, 1)
    (key,) = {item.key for item in registry.standings(NAME) if item.channel == CHAMPION}
    with pytest.raises(ConflictError) as told:
        registry.promote(NAME, 2, expected=0)
    won = f"version 1, promoted at 2026-03-01T12:00:00.000+00:00 by the key {key}"
    assert (told.value.problem.got, told.value.problem.wanted) == (won, "version 0")


def test_promoted_again_a_version_is_renewed_and_a_roll_back_leads_past_that(registry: Registry, clock: Clock) -> None:
    for seed in range(2):
        registry.promote(NAME, add(registry, seed))
    clock.pass_(days=80)
    registry.promote(NAME, 2)
    clock.pass_(days=80)
    assert [item.stale for item in registry.standings(NAME) if item.channel == CHAMPION] == [False]
    assert [step.reason for step in registry.channel_history(NAME, CHAMPION)] == ["promoted", "promoted", "renewed"]
    assert registry.roll_back(NAME).version == 1


def test_an_expired_channel_is_stale_and_serves_on(registry: Registry, clock: Clock) -> None:
    registry.promote(NAME, add(registry, 0))
    clock.pass_(days=89.9)
    assert {item.stale for item in registry.standings(NAME)} == {False}
    clock.pass_(seconds=0.1 * DAY_S)
    assert {item.stale for item in registry.standings(NAME)} == {True}
    assert registry.load(NAME)[1].version == 1


def test_a_clock_that_lost_its_time_learns_it_from_what_was_issued(
    registry: Registry, store: LocalStore, tmp_path: Path, clock: Clock
) -> None:
    registry.promote(NAME, add(registry, 0))
    clock.pass_(days=100)
    registry.promote(NAME, 1, channel="shadow")
    pi = machine(store, tmp_path / "pi", clock=lambda: datetime(1970, 1, 1, tzinfo=UTC))
    for channel in (CHAMPION, "shadow"):
        assert pi.load(NAME, channel)[1].version == 1
    stale = {item.channel: item.stale for item in pi.standings(NAME)}
    assert stale == {CANDIDATE: True, CHAMPION: True, "shadow": False}


def test_who_served_before_is_archived(registry: Registry) -> None:
    for seed in range(3):
        registry.promote(NAME, add(registry, seed))
    assert registry.load(NAME, ARCHIVED)[1].version == 2
    registry.roll_back(NAME)
    assert registry.load(NAME, ARCHIVED)[1].version == 1
    with pytest.raises(RegistryError, match="another channel"):
        registry.promote(NAME, 1, channel=ARCHIVED)


def test_before_there_was_a_second_champion_nothing_is_archived(registry: Registry) -> None:
    add(registry, 0)
    with pytest.raises(RegistryError, match='no channel "archived"'):
        registry.load(NAME, ARCHIVED)


def test_a_version_that_is_too_large_is_neither_added_nor_read(
    registry: Registry, store: LocalStore, tmp_path: Path
) -> None:
    version = registry.add(NAME, example_bundle(), example_report(), PASSED)
    registry.promote(NAME, 1)
    small = machine(store, tmp_path / "owner", max_size=version.size_bytes - 1)
    for step in (
        lambda: small.load(NAME, 1),
        lambda: machine(store, tmp_path / "pi", max_size=version.size_bytes - 1).load(NAME, CHAMPION),
        lambda: small.add(NAME, example_bundle(), example_report(), PASSED),
    ):
        with pytest.raises(LimitExceeded, match=f"at most {version.size_bytes - 1}"):
            step()
    assert pack(machine(store, tmp_path / "pi", max_size=version.size_bytes).load(NAME, CHAMPION)[0]) == pack(
        example_bundle()
    )


def test_a_registry_out_of_reach_leaves_the_last_good_model_of_each_channel(
    registry: Registry, store: LocalStore, tmp_path: Path
) -> None:
    for seed in range(2):
        registry.promote(NAME, add(registry, seed))
    registry.promote(NAME, 1, channel="shadow")
    pi = machine(store, tmp_path / "pi")
    for channel in (CHAMPION, "shadow"):
        pi.load(NAME, channel)
    (tmp_path / "store").rename(tmp_path / "away")
    served = [machine(store, tmp_path / "pi").load(NAME, channel)[1].version for channel in (None, CHAMPION, "shadow")]
    assert served == [2, 2, 1]
    for asked in (2, CANDIDATE):
        with pytest.raises(IntegrityError, match="nothing stored"):
            machine(store, tmp_path / "pi").load(NAME, asked)
