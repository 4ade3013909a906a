"""Identities are replaced before anything is computed, and lead back only on this machine."""

from __future__ import annotations

import os
import stat
import tracemalloc
from ipaddress import ip_address, ip_network
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin import log, privacy
from tocsin.errors import IntegrityError
from tocsin.privacy import KEY_BYTES, Mode, Privacy
from tocsin.records import Batch
from tocsin.schema import Field, Schema

SCHEMA = Schema(fields={"host": Field(dtype="address", identity=True), "load": Field()})
HOSTS = Schema(fields={"host": Field(dtype="category", identity=True)})
NAMES = np.array(["10.0.0.1", "10.0.0.2", "", "10.0.0.1"], dtype=object)


def applied(folder: Path, mode: Mode = "pseudonym") -> tuple[Privacy, Batch]:
    privacy = Privacy(mode, folder / "site.key")
    return privacy, privacy.apply(SCHEMA, Batch({"host": NAMES, "load": np.arange(4.0)}))


def test_one_name_is_always_one_pseudonym_and_missing_stays_missing(tmp_path: Path) -> None:
    _, batch = applied(tmp_path)
    hosts = batch["host"].tolist()
    assert hosts[0] == hosts[3] != hosts[1]
    assert hosts[2] == ""
    assert len(hosts[0]) == 32
    assert "10.0.0" not in "".join(hosts)


def test_a_pseudonym_leads_back_also_in_a_later_run(tmp_path: Path) -> None:
    _, batch = applied(tmp_path)
    later = Privacy("pseudonym", tmp_path / "site.key")
    assert later.name(batch["host"][0]) == "10.0.0.1"
    assert later.name("stranger") == "stranger"


def test_another_site_has_other_pseudonyms(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert applied(tmp_path / "a")[1]["host"][0] != applied(tmp_path / "b")[1]["host"][0]


def test_key_and_names_are_for_their_owner_alone(tmp_path: Path) -> None:
    applied(tmp_path)
    for name in ("site.key", "names.jsonl"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_forgetting_erases_the_name_and_nothing_else(tmp_path: Path) -> None:
    privacy, batch = applied(tmp_path)
    assert privacy.forget("10.0.0.1") == 1
    later = Privacy("pseudonym", tmp_path / "site.key")
    assert later.name(batch["host"][0]) == batch["host"][0]
    assert later.name(batch["host"][1]) == "10.0.0.2"
    assert "10.0.0.1" not in (tmp_path / "names.jsonl").read_text()


def test_a_table_cut_short_by_a_kill_is_read_up_to_the_cut(tmp_path: Path) -> None:
    _, batch = applied(tmp_path)
    table = tmp_path / "names.jsonl"
    table.write_bytes(table.read_bytes()[:-10])
    later = Privacy("pseudonym", tmp_path / "site.key")
    later.apply(SCHEMA, Batch({"host": NAMES, "load": np.arange(4.0)}))
    again = Privacy("pseudonym", tmp_path / "site.key")
    assert [again.name(host) for host in batch["host"]] == NAMES.tolist()


def test_plain_changes_nothing_and_makes_no_key(tmp_path: Path) -> None:
    _, batch = applied(tmp_path, "plain")
    assert batch["host"].tolist() == NAMES.tolist()
    assert not list(tmp_path.iterdir())


def test_a_key_of_another_length_is_refused(tmp_path: Path) -> None:
    (tmp_path / "site.key").write_bytes(b"short")
    with pytest.raises(IntegrityError, match=str(KEY_BYTES)):
        Privacy("pseudonym", tmp_path / "site.key")


def test_a_key_is_never_there_by_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(_descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        applied(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_of_two_that_make_the_key_at_once_the_first_ones_key_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, first = os.link, b"1" * KEY_BYTES

    def later(source: Path, target: Path) -> None:
        target.write_bytes(first)
        link(source, target)

    monkeypatch.setattr(os, "link", later)
    applied(tmp_path)
    assert (tmp_path / "site.key").read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["names.jsonl", "site.key"]


def test_a_lost_key_is_told_and_never_replaced(tmp_path: Path) -> None:
    applied(tmp_path)
    (tmp_path / "site.key").unlink()
    with pytest.raises(IntegrityError, match=r"restore the site key(.|\n)*or remove names\.jsonl to begin anew"):
        Privacy("pseudonym", tmp_path / "site.key")
    assert not (tmp_path / "site.key").exists()
    (tmp_path / "names.jsonl").unlink()
    applied(tmp_path)


@pytest.mark.parametrize("place", ["site.key", "names.jsonl", "folder"])
def test_a_key_or_table_that_cannot_be_read_is_told_in_a_sentence(tmp_path: Path, place: str) -> None:
    applied(tmp_path)
    (tmp_path / "folder").write_text("a file")
    (tmp_path / place).unlink()
    (tmp_path / place).mkdir()
    key = "folder" if place == "folder" else "site.key"
    with pytest.raises(IntegrityError, match="a file that its owner may read and write"):
        Privacy("pseudonym", tmp_path / key)


def test_a_key_in_a_folder_that_cannot_be_made_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(IntegrityError, match="no access to it"):
        Privacy("pseudonym", tmp_path / "file" / "site.key")


@pytest.mark.parametrize(
    "line", [b"[1]", b"7", b"null", b'{"pseudonym": "x"}', b'{"pseudonym": 1, "name": "y"}', b"\xff"]
)
def test_lines_of_the_table_that_are_no_names_are_passed_over(tmp_path: Path, line: bytes) -> None:
    _, batch = applied(tmp_path)
    table = tmp_path / "names.jsonl"
    table.write_bytes(line + b"\n" + table.read_bytes())
    later = Privacy("pseudonym", tmp_path / "site.key")
    assert [later.name(host) for host in batch["host"]] == NAMES.tolist()


def test_forgetting_keeps_what_others_wrote_meanwhile(tmp_path: Path) -> None:
    early, _ = applied(tmp_path)
    other = Privacy("pseudonym", tmp_path / "site.key")
    other.apply(SCHEMA, Batch({"host": np.array(["10.0.0.3", "10.0.0.4"], dtype=object), "load": np.arange(2.0)}))
    assert early.forget("10.0.0.4") == 1
    later = Privacy("pseudonym", tmp_path / "site.key")
    assert later.name(other.pseudonym("10.0.0.3")) == "10.0.0.3"
    assert later.name(other.pseudonym("10.0.0.4")) != "10.0.0.4"


def test_forgetting_leaves_no_copy_behind_that_a_kill_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    privacy, _ = applied(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            privacy.forget("10.0.0.2")
    assert len(list(tmp_path.iterdir())) == 3
    assert privacy.forget("10.0.0.1") == 1
    assert privacy.forget("10.0.0.2") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["names.jsonl", "site.key"]
    assert "10.0.0" not in (tmp_path / "names.jsonl").read_text()
    assert stat.S_IMODE((tmp_path / "names.jsonl").stat().st_mode) == 0o600


def many(first: int, count: int) -> Batch:
    return Batch({"host": np.array([f"host-{n}" for n in range(first, first + count)], dtype=object)})


@pytest.mark.parametrize("size", [1, 6, 300])
def test_every_name_of_a_long_table_leads_back_and_stands_there_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(privacy, "_LOOSE", 20)
    monkeypatch.setattr(privacy, "_AT_HAND", 50)
    first = Privacy("pseudonym", tmp_path / "site.key")
    hidden = [first.apply(HOSTS, many(row, size))["host"].tolist() for row in range(0, 300, size) for _ in range(2)]
    assert len({pseudonym for batch in hidden for pseudonym in batch}) == 300
    for one in (first, Privacy("pseudonym", tmp_path / "site.key")):
        assert {one.name(pseudonym) for batch in hidden for pseudonym in batch} == {f"host-{n}" for n in range(300)}
        one.apply(HOSTS, many(0, 300))
    assert len((tmp_path / "names.jsonl").read_bytes().split()) == 300


def test_a_name_that_was_forgotten_elsewhere_is_not_told_and_others_are(tmp_path: Path) -> None:
    here = Privacy("pseudonym", tmp_path / "site.key")
    first, second, third = here.apply(HOSTS, many(0, 3))["host"].tolist()
    assert Privacy("pseudonym", tmp_path / "site.key").forget("host-0") == 1
    assert [here.name(pseudonym) for pseudonym in (first, second, third)] == [first, "host-1", "host-2"]
    (tmp_path / "names.jsonl").unlink()
    (tmp_path / "names.jsonl").mkdir()
    assert here.name(second) == second, "an alert is told without a name rather than not at all"


def test_a_flood_of_names_takes_little_memory_and_what_has_no_room_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, limit in (("NAMES_LIMIT", 40_000), ("_LOOSE", 1_000), ("_AT_HAND", 1_000)):
        monkeypatch.setattr(privacy, name, limit)
    one, before = Privacy("pseudonym", tmp_path / "site.key"), log.counters().get("tocsin_names_not_kept_total", 0)
    tracemalloc.start()
    try:
        hidden = [one.apply(HOSTS, many(first, 1_000))["host"][0] for first in range(0, 42_000, 1_000)]
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 40 * 40_000
    assert log.counters()["tocsin_names_not_kept_total"] - before == 2_000
    assert [one.name(pseudonym) for pseudonym in hidden[39:]] == ["host-39000", *hidden[40:]]


@given(st.ip_addresses(v=4), st.ip_addresses(v=4))
def test_subnets_stay_subnets(tmp_path_factory: pytest.TempPathFactory, one: object, other: object) -> None:
    privacy = Privacy("subnet", tmp_path_factory.getbasetemp() / "subnet" / "site.key")
    hidden = [int(ip_address(privacy.pseudonym(str(address)))) for address in (one, other)]
    plain = [int(ip_address(str(address))) for address in (one, other)]
    assert (hidden[0] ^ hidden[1]).bit_length() == (plain[0] ^ plain[1]).bit_length()


def test_subnet_pseudonyms_are_addresses_and_other_names_are_still_hidden(tmp_path: Path) -> None:
    privacy = Privacy("subnet", tmp_path / "site.key")
    network = ip_network((privacy.pseudonym("10.1.2.3"), 24), strict=False)
    assert ip_address(privacy.pseudonym("10.1.2.77")) in network
    assert privacy.pseudonym("alice") not in ("alice", "")
