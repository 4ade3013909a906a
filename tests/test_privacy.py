"""Identities are replaced before anything is computed, and lead back only on this machine."""

from __future__ import annotations

import stat
from ipaddress import ip_address, ip_network
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.errors import IntegrityError
from tocsin.privacy import KEY_BYTES, Mode, Privacy
from tocsin.records import Batch
from tocsin.schema import Field, Schema

SCHEMA = Schema(fields={"host": Field(dtype="address", identity=True), "load": Field()})
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
