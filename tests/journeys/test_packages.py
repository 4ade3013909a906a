"""A version goes from one site to another, in one file, by people who hold one key each."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from tests.storage.servers import S3Server

Run = Callable[..., CompletedProcess[str]]
LOW = 'gate: {recall: ">= 0.1"}\n'


def shown(tocsin: Run, *words: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(tocsin(*words, "--json").stdout)
    return found


@pytest.fixture
def machine(site: Path) -> Callable[..., Path]:
    """The config of a machine with the site's rows and some of another one's keys."""

    def call(name: str, registry: str, *roles: str, keys: str = "owner") -> Path:
        folder = site / name
        shutil.copytree(site / "data", folder / "data")
        text = (site / "tocsin.yaml").read_text("utf-8")
        (folder / "tocsin.yaml").write_text(f"{text}{LOW}registry: {{path: '{registry}'}}\n", "utf-8")
        own = folder / ".tocsin" / "keys"
        own.mkdir(parents=True, mode=0o700)
        for role in roles:
            shutil.copy2(site / keys / ".tocsin" / "keys" / f"{role}.key", own)
        return folder / "tocsin.yaml"

    return call


def test_a_package_enters_by_the_trainer_and_goes_live_by_the_gate(
    site: Path, tocsin: Run, s3: S3Server, machine: Callable[..., Path]
) -> None:
    maker = machine("maker", "registry")
    assert tocsin("-c", maker, "train", "--promote", "--no-plots").returncode == 0
    assert tocsin("-c", maker, "models", "export", "champion", "small.zip").returncode == 0
    url = f"{s3.bucket()}/registry"
    owner = machine("owner", url)
    assert tocsin("-c", owner, "train", "--promote", "--no-plots").returncode == 0
    trainer, gate, reader = machine("trainer", url, "train"), machine("gate", url, "channel"), machine("reader", url)
    there = tocsin("-c", trainer, "models", "import", "small.zip")
    assert (there.returncode, "as version 1" in there.stderr) == (1, True), "equal rows make an equal model"
    with (site / "maker" / "tocsin.yaml").open("a", encoding="utf-8") as config:
        config.write("preparation: {scale: standard}\n")
    assert tocsin("-c", maker, "train", "--promote", "--no-plots").returncode == 0
    assert tocsin("-c", maker, "models", "export", "champion", "other.zip").returncode == 0
    for stranger in (gate, reader):
        refused = tocsin("-c", stranger, "models", "import", "other.zip")
        assert (refused.returncode, "wanted train.key" in refused.stderr) == (1, True), refused.stderr
    assert tocsin("-c", trainer, "models", "import", "other.zip").returncode == 0
    assert tocsin("-c", trainer, "models", "promote", "2").returncode == 1
    refused = tocsin("-c", gate, "models", "promote", "2")
    assert (refused.returncode, "`tocsin gate 2` judges it anew" in refused.stderr) == (1, True)
    assert "Judge it anew: tocsin gate 2" in tocsin("-c", reader, "models", "show", "2").stdout
    judged = tocsin("-c", gate, "gate", "2", "--promote")
    assert judged.returncode == 0, judged.stderr + judged.stdout
    served, made = (shown(tocsin, "-c", config, "models", "show", "champion")["version"] for config in (reader, maker))
    assert (served["version"], served["digest"]) == (2, made["digest"])
    assert tocsin("-c", reader, "models", "verify").returncode == 0


def test_a_package_leaves_a_bucket_with_nothing_but_the_right_to_read(
    site: Path, tocsin: Run, s3: S3Server, machine: Callable[..., Path]
) -> None:
    url = f"{s3.bucket()}/registry"
    assert tocsin("-c", machine("owner", url), "train", "--promote", "--no-plots").returncode == 0
    reader = machine("reader", url)
    for file in ("one.zip", "two.zip"):
        assert tocsin("-c", reader, "models", "export", "1", file).returncode == 0
    assert (site / "one.zip").read_bytes() == (site / "two.zip").read_bytes()
    home = machine("home", "registry")
    assert tocsin("-c", home, "models", "import", "one.zip").returncode == 0
    assert tocsin("-c", home, "gate", "1", "--promote").returncode == 0
    assert tocsin("-c", home, "score", "data/rows.csv").returncode == 0


def test_what_others_knew_is_kept_in_a_bucket_and_a_flipped_bit_of_it_is_noticed(
    site: Path, tocsin: Run, machine: Callable[..., Path]
) -> None:
    config = machine("here", "registry")
    versions = [{"version": "1.0.8", "model_path": "C:\\data\\gmm.joblib", "metrics": {"f1": 0.857}}, {"version": "2"}]
    (site / "theirs.json").write_text(json.dumps({"models": [{"model_name": "gmm", "versions": versions}]}), "utf-8")
    assert tocsin("-c", config, "models", "import", "theirs.json").returncode == 0
    assert tocsin("-c", config, "models", "verify").returncode == 0
    for words in (("show", "gmm"), ("show", "1"), ("promote", "1"), ("export", "1")):
        refused = tocsin("-c", config, "models", *words)
        assert (refused.returncode, "listed and never loaded: train one first" in refused.stderr) == (1, True)
    for name, change in (("000002", 40), ("000001", None)):
        document = site / "here" / "registry" / "models" / "small" / "heirlooms" / f"{name}.json"
        data = bytearray(document.read_bytes())
        document.chmod(0o600)
        document.unlink()
        if change:
            data[change] ^= 1
            document.write_bytes(data)
        noticed = tocsin("-c", config, "models", "verify")
        assert (noticed.returncode, "heirlooms" in noticed.stdout) == (1, True), noticed.stdout + noticed.stderr
