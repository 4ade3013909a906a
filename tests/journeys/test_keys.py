"""Keys are made without a word, handed out, rotated; and another machine is told whom to trust."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

Run = Callable[..., CompletedProcess[str]]
Configure = Callable[..., Path]

PI = "registry: {keys: pi/keys}\n"


@pytest.fixture
def learnt(site: Path, tocsin: Run) -> dict[str, Any]:
    """A first version, champion."""
    document: dict[str, Any] = json.loads(tocsin("train", "--promote", "--no-plots", "--json").stdout)
    return document


def shown(tocsin: Run) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(tocsin("keys", "show", "--json").stdout)
    return document


def test_before_there_is_a_registry_there_is_nothing_to_show(site: Path, tocsin: Run) -> None:
    asked = tocsin("keys", "show")
    assert (asked.returncode, "Hint: train a model: the first one begins it" in asked.stderr) == (1, True)
    assert not (site / "registry").exists()


@pytest.mark.usefixtures("learnt")
def test_a_first_training_makes_all_three_keys_and_no_private_half_is_ever_shown(site: Path, tocsin: Run) -> None:
    found = shown(tocsin)
    assert (found["root"], found["audience"], found["keys"]) == (1, "", str(Path(".tocsin/keys")))
    assert {role: list(keys.values()) for role, keys in found["roles"].items()} == {
        "root": [True], "train": [True], "channel": [True]
    }  # fmt: skip
    assert found["channels"].keys() == {"candidate", "champion"}
    for_people = tocsin("keys", "show").stdout
    for role, keys in found["roles"].items():
        private = (site / f".tocsin/keys/{role}.key").read_text("utf-8").splitlines()[1]
        assert private not in for_people + json.dumps(found)
        assert all(key in for_people for key in keys)


@pytest.mark.usefixtures("learnt")
def test_without_the_channel_key_a_trainer_trains_and_deploys_nothing(site: Path, tocsin: Run) -> None:
    (site / ".tocsin/keys/channel.key").rename(site / "channel.key")
    (site / ".tocsin/keys/root.key").unlink()
    assert tocsin("train", "--no-plots").returncode == 0
    refused = tocsin("models", "promote", "2")
    assert refused.returncode == 1
    assert "got no key that may sign this, wanted channel.key" in refused.stderr
    in_vain = tocsin("train", "--promote", "--no-plots")
    assert (in_vain.returncode, in_vain.stderr) == (1, refused.stderr), "it is said before the training"
    assert len(list((site / "runs").iterdir())) == 2
    assert [list(keys.values()) for keys in shown(tocsin)["roles"].values()] == [[False], [True], [False]]
    (site / "channel.key").rename(site / ".tocsin/keys/channel.key")
    assert tocsin("models", "promote", "2").returncode == 0


@pytest.mark.usefixtures("learnt")
def test_a_rotated_key_is_another_one_and_everything_goes_on(site: Path, tocsin: Run) -> None:
    before = shown(tocsin)
    for number, role in enumerate(("train", "channel", "root"), start=2):
        rotated = json.loads(tocsin("keys", "rotate", role, "--json").stdout)
        assert (rotated["role"], rotated["root"]) == (role, number)
        assert list(shown(tocsin)["roles"][role]) == [rotated["key"]] != list(before["roles"][role])
    assert tocsin("models", "verify").returncode == 0
    assert tocsin("score", "data/rows.csv").returncode == 0
    assert json.loads(tocsin("train", "--promote", "--no-plots", "--json").stdout)["version"] == 2
    assert json.loads(tocsin("models", "rollback", "--json").stdout) == {"champion": 1}


@pytest.mark.usefixtures("learnt")
def test_two_holders_of_the_root_change_it_together(site: Path, tocsin: Run) -> None:
    assert tocsin("keys", "threshold", "2").returncode == 1
    assert tocsin("keys", "new", "--role", "root", "--to", "stick").returncode == 0
    agreed = tocsin("keys", "threshold", "2", "--with", "stick")
    assert agreed.stdout.startswith("2 of 2 root keys must sign from now on: "), agreed.stderr
    assert shown(tocsin)["threshold"] == "2 of 2"
    alone = tocsin("keys", "rotate", "train")
    assert (alone.returncode, "got 1 root key of this registry, wanted 2 of them" in alone.stderr) == (1, True)
    assert "--with FOLDER" in alone.stderr
    assert tocsin("keys", "rotate", "train", "--with", "stick").returncode == 0
    assert shown(tocsin)["root"] == 3
    assert tocsin("models", "verify").returncode == 0


def test_keys_are_made_elsewhere_before_a_registry_begins(site: Path, tocsin: Run) -> None:
    made = json.loads(tocsin("keys", "new", "--to", "stick", "--json").stdout)
    assert made["keys"].keys() == {"root", "train", "channel"}
    again = json.loads(tocsin("keys", "new", "--role", "train", "--to", "stick", "--json").stdout)
    assert again["keys"] == {"train": made["keys"]["train"]}
    shutil.copytree("stick", ".tocsin/keys")
    assert tocsin("train", "--no-plots").returncode == 0
    assert {role: [key] for role, key in made["keys"].items()} == {
        role: list(keys) for role, keys in shown(tocsin)["roles"].items()
    }


@pytest.mark.usefixtures("learnt")
def test_another_machine_is_told_whom_to_trust(site: Path, configure: Configure, tocsin: Run) -> None:
    trusted = tocsin("keys", "trust", "--export", "trusted.json")
    assert (trusted.returncode, "with root 1 is trusted" in trusted.stdout) == (0, True)
    shutil.move(".tocsin", "owner")
    shutil.move("registry", "true")
    configure(more=PI)
    assert tocsin("keys", "trust", "trusted.json").returncode == 1, "there is nothing in its place"
    configure(more="registry: {keys: stranger/keys}\n")
    shutil.rmtree(".tocsin/trust")
    assert tocsin("train", "--promote", "--no-plots").returncode == 0
    configure(more=PI)
    refused = tocsin("keys", "trust", "trusted.json")
    assert refused.returncode == 1
    assert "make sure that it is the one you want" in refused.stderr
    shutil.rmtree("registry")
    shutil.move("true", "registry")
    assert tocsin("keys", "trust", "trusted.json").returncode == 0
    assert tocsin("score", "data/rows.csv").returncode == 0


@pytest.mark.usefixtures("learnt")
def test_a_channel_of_ones_own_goes_its_own_way(site: Path, tocsin: Run) -> None:
    assert tocsin("train", "--no-plots").returncode == 0
    for version in ("2", "1"):
        assert tocsin("models", "promote", version, "--channel", "north").returncode == 0
    assert "Version 2 of small is the north again." in tocsin("models", "rollback", "--channel", "north").stdout
    assert json.loads(tocsin("models", "list", "--json").stdout)["channels"] == {
        "candidate": 2,
        "champion": 1,
        "north": 2,
    }
