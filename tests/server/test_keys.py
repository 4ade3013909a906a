"""API keys: shown once, kept as hashes, for their owner's eyes alone; and who asks how often."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.errors import IntegrityError, LimitExceeded, NotStored
from tocsin.server import keys as module
from tocsin.server.keys import LOOK_AGAIN_S, ApiKeys
from tocsin.server.policy import ROLES
from tocsin.server.rates import MOST_KNOWN, Rates

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def elapsed(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(tmp_path: Path, clock: Clock) -> ApiKeys:
    return ApiKeys(tmp_path / "keys.json", clock.now, clock.elapsed)


def test_a_key_is_found_again_and_its_secret_is_nowhere(keys: ApiKeys, tmp_path: Path) -> None:
    text = keys.new("operator", DAY, "the night shift")
    found = keys.find(text)
    assert found
    assert (found.role, found.note, found.expires) == ("operator", "the night shift", NOON + DAY)
    file = tmp_path / "keys.json"
    assert text.partition(".")[2] not in file.read_text("utf-8")
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_key_expires(keys: ApiKeys, clock: Clock) -> None:
    text = keys.new("viewer", DAY)
    clock.seconds = DAY.total_seconds() - 1
    assert keys.find(text)
    clock.seconds += 1
    assert keys.find(text) is None


def test_a_key_that_another_process_revokes_holds_a_second_at_most(keys: ApiKeys, clock: Clock, tmp_path: Path) -> None:
    text = keys.new("viewer", DAY)
    assert keys.find(text)
    ApiKeys(tmp_path / "keys.json", clock.now, clock.elapsed).revoke(text.partition(".")[0])
    clock.seconds += LOOK_AGAIN_S
    assert keys.find(text) is None


@given(st.text(max_size=80))
def test_no_text_is_a_key_by_chance(text: str) -> None:
    assert ApiKeys(Path("/nowhere/keys.json"), lambda: NOON, lambda: 0.0).find(text) is None


@given(st.integers(0, 55), st.sampled_from("aZ09-_.é "))
def test_a_key_with_one_letter_changed_is_none(
    tmp_path_factory: pytest.TempPathFactory, place: int, letter: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "one" / "keys.json"
    keys = ApiKeys(path, lambda: NOON, lambda: 0.0)
    text = keys.new("admin", DAY)
    changed = text[:place] + letter + text[place + 1 :]
    assert bool(keys.find(changed)) == (changed == text)
    keys.revoke(text.partition(".")[0])


def test_keys_that_others_may_read_are_refused(keys: ApiKeys, tmp_path: Path) -> None:
    keys.new("viewer", DAY)
    (tmp_path / "keys.json").chmod(0o640)
    with pytest.raises(IntegrityError, match="chmod 600"):
        keys.all()


def test_keys_that_are_made_at_once_are_all_kept(tmp_path: Path, clock: Clock) -> None:
    def make() -> None:
        ApiKeys(tmp_path / "keys.json", clock.now, clock.elapsed).new("viewer", DAY)

    makers = [threading.Thread(target=make) for _ in range(12)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert len(ApiKeys(tmp_path / "keys.json", clock.now, clock.elapsed).all()) == len(makers)


def test_while_the_file_cannot_be_used_nobody_is_let_in(keys: ApiKeys, clock: Clock, tmp_path: Path) -> None:
    text = keys.new("viewer", DAY)
    assert keys.find(text)
    (tmp_path / "keys.json").chmod(0o640)
    clock.seconds += LOOK_AGAIN_S
    for _ in range(2):
        with pytest.raises(IntegrityError, match="chmod 600"):
            keys.find(text)
    (tmp_path / "keys.json").chmod(0o600)
    assert keys.find(text)


@pytest.mark.parametrize("text", ["", "[]", '{"keys": [{}]}', '{"keys": [], "more": 1}', "\xff"])
def test_a_damaged_file_is_refused(keys: ApiKeys, tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text, "latin-1")
    path.chmod(0o600)
    with pytest.raises(IntegrityError):
        keys.all()


def test_there_are_never_more_than_so_many(keys: ApiKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_KEYS", 2)
    first = keys.new("viewer", DAY)
    keys.new("viewer", DAY)
    with pytest.raises(LimitExceeded):
        keys.new("viewer", DAY)
    keys.revoke(first.partition(".")[0])
    keys.new("viewer", DAY)
    with pytest.raises(NotStored):
        keys.revoke("nobody")


@given(st.lists(st.floats(0, 10), max_size=60), st.floats(0.5, 20), st.floats(1, 10))
def test_nobody_gets_more_than_the_burst_and_what_time_brings(
    waits: list[float], per_second: float, burst: float
) -> None:
    clock = Clock()
    rates = Rates(per_second, burst, clock.elapsed)
    let_in = 0
    for wait in waits:
        clock.seconds += wait
        let_in += rates.wait("a") == 0.0
    assert let_in <= burst + per_second * clock.seconds + 1e-6


def test_whoever_waits_as_told_is_let_in() -> None:
    clock = Clock()
    rates = Rates(2.0, 1.0, clock.elapsed)
    assert rates.wait("a") == 0.0
    wait = rates.wait("a")
    assert rates.wait("b") == 0.0
    clock.seconds += wait
    assert rates.wait("a") == 0.0


def test_only_so_many_askers_are_remembered() -> None:
    rates = Rates(1.0, 1.0, lambda: 0.0)
    for number in range(MOST_KNOWN + 50):
        rates.wait(str(number))
    assert len(rates) == MOST_KNOWN


Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def site(folder: Path) -> Path:
    from tests.server.conftest import telemetry

    telemetry(folder)
    return folder


def test_keys_are_made_listed_and_revoked(site: Path, tocsin: Run) -> None:
    made = json.loads(tocsin("keys", "api", "new", "--role", "ingest", "--note", "the probes", "--json").stdout)
    prefix, _, secret = made["key"].partition(".")
    listed = tocsin("keys", "api", "list")
    assert prefix in listed.stdout
    assert "the probes" in listed.stdout
    assert secret not in listed.stdout
    assert tocsin("keys", "api", "revoke", prefix).returncode == 0
    assert json.loads(tocsin("keys", "api", "list", "--json").stdout) == []
    assert tocsin("keys", "api", "revoke", prefix).returncode == 1


@pytest.mark.parametrize("role", ROLES)
def test_every_role_may_be_given(site: Path, tocsin: Run, role: str) -> None:
    assert tocsin("keys", "api", "new", "--role", role).returncode == 0


def test_what_makes_no_key_is_wrong_usage(site: Path, tocsin: Run) -> None:
    assert tocsin("keys", "api", "new", "--role", "king").returncode == 2
    assert tocsin("keys", "api", "new").returncode == 2
    assert tocsin("keys", "api", "new", "--role", "viewer", "--lasts", "soon").returncode == 2
