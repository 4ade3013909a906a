"""Silences are bounded, end by themselves, survive a kill, and a damaged file silences nothing new."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest

from tocsin import log
from tocsin.alerts import Silences
from tocsin.alerts import silences as file
from tocsin.errors import IntegrityError, LimitExceeded, NotStored

NOW = datetime(2026, 11, 28, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".tocsin" / "silences.json"


@pytest.fixture
def silences(path: Path) -> Silences:
    return Silences(path, lambda: NOW)


def test_what_is_added_is_listed_until_it_ends(silences: Silences, path: Path) -> None:
    assert silences.all() == silences.standing() == ()
    first, second = silences.add("a", "", 60, "known"), silences.add("b", "bytes", 120, "known, too")
    assert silences.all() == silences.standing() == (first, second)
    assert (second.number, second.until) == (2, NOW + timedelta(seconds=120))
    later = Silences(path, lambda: NOW + timedelta(seconds=60))
    assert later.all() == later.standing() == (second,)
    assert path.stat().st_mode & 0o777 == 0o600


def test_one_that_is_removed_is_gone_and_one_that_is_not_there_is_named(silences: Silences) -> None:
    added = silences.add("a", "", 60, "known")
    assert silences.remove(added.number) == added
    assert silences.all() == ()
    with pytest.raises(NotStored, match="no silence 7"):
        silences.remove(7)


def test_there_are_only_so_many_and_those_that_ended_make_room(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "MOST", 2)
    silences = Silences(path, lambda: NOW)
    for entity in "ab":
        silences.add(entity, "", 60, "known")
    with pytest.raises(LimitExceeded, match="2 silences"):
        silences.add("c", "", 60, "known")
    later = Silences(path, lambda: NOW + timedelta(seconds=60))
    later.add("c", "", 60, "known")
    assert [item.entity for item in later.all()] == ["c"]


def test_none_lasts_for_ever_and_none_is_a_novel(silences: Silences) -> None:
    with pytest.raises(LimitExceeded, match=r"alerts\.allow"):
        silences.add("a", "", 31 * 86_400, "known")
    with pytest.raises(LimitExceeded, match="201 characters"):
        silences.add("a", "", 60, "x" * 201)


def test_the_fullest_file_can_be_read_again(path: Path) -> None:
    silences = Silences(path, lambda: NOW)
    silences.add("\x01" * 200, "\x01" * 200, 60, "\x01" * 200)
    assert file.MOST * path.stat().st_size < file.MOST_BYTES
    assert len(silences.all()) == 1


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "{}", "7", '[{"number": 1}]', "[7]", "[" * 5_000,
        '[{"number": 1, "entity": "", "cause": "", "reason": "", "until": "2030-01-01T00:00:00+00:00"}]',
        '[{"number": 1, "entity": "a", "cause": "", "reason": "", "until": "2030-01-01T00:00:00"}]',
        '[{"number": true, "entity": "a", "cause": "", "reason": "", "until": "2030-01-01T00:00:00+00:00"}]',
        '[{"number": 1, "entity": 7, "cause": "", "reason": "", "until": "2030-01-01T00:00:00+00:00"}]',
        '[{"number": 1, "entity": "a", "cause": "", "reason": "", "until": "soon"}]',
    ],
)  # fmt: skip
def test_a_damaged_file_is_named_and_what_was_known_goes_on(silences: Silences, path: Path, text: str) -> None:
    added = silences.add("a", "", 60, "known")
    assert silences.standing() == (added,)
    before = log.counters().get("tocsin_silences_refused_total", 0)
    path.write_text(text)
    assert silences.standing() == silences.standing() == (added,)
    assert log.counters()["tocsin_silences_refused_total"] == before + 1
    with pytest.raises(IntegrityError, match=r"silences\.json"):
        silences.all()
    with pytest.raises(IntegrityError, match=r"silences\.json"):
        silences.add("b", "", 60, "known")
    assert path.read_text() == text


def test_a_file_that_is_too_large_is_not_read(silences: Silences, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b" " * (file.MOST_BYTES + 1))
    with pytest.raises(IntegrityError, match="more than"):
        silences.all()


def test_a_file_that_is_gone_silences_nothing(silences: Silences, path: Path) -> None:
    silences.add("a", "", 60, "known")
    assert silences.standing()
    path.unlink()
    assert silences.standing() == ()


def test_several_at_once_lose_none(path: Path) -> None:
    def add(entity: str) -> None:
        for _ in range(5):
            Silences(path, lambda: NOW).add(entity, "", 60, "known")

    threads = [Thread(target=add, args=(entity,)) for entity in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(item.number for item in Silences(path, lambda: NOW).all()) == list(range(1, 21))
