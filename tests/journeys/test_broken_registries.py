"""What is stored and no longer as it was is refused by name; what is whole goes on serving."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tocsin.model.documents import seal

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def versions(site: Path, configure: Callable[..., Path], tocsin: Run) -> list[dict[str, Any]]:
    """Two versions of different models, the first one of them champion."""
    learnt = [json.loads(tocsin("train", "--promote", "--no-plots", "--json").stdout)]
    configure(("robust_zscore", "isolation_forest, trees: 10"))
    learnt.append(json.loads(tocsin("train", "--no-plots", "--json").stdout))
    return learnt


def stored(site: Path, version: int) -> dict[str, Path]:
    """The files of a version by name."""
    document = json.loads((site / f"registry/models/small/versions/{version:06d}.json").read_bytes())
    hashes = {name: item["sha256"] for name, item in document["document"]["objects"].items()}
    return {name: site / "registry/objects/sha256" / hash[:2] / hash for name, hash in hashes.items()}


def rewrite(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


@pytest.mark.parametrize("file", ["arrays.bin", "manifest.json"])
def test_one_flipped_bit_is_refused_by_name_and_the_other_version_serves(
    file: str, versions: list[dict[str, Any]], site: Path, tocsin: Run
) -> None:
    path = stored(site, 2)[file]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    rewrite(path, bytes(content))

    refused = tocsin("score", site / "data" / "rows.csv", "--model", "2")
    assert refused.returncode == 1
    assert f"✗ small version 2 {file}\n  got bytes with the hash " in refused.stderr
    verified = tocsin("models", "verify")
    assert verified.returncode == 1
    assert f"small version 2 {file}" in verified.stdout
    assert tocsin("models", "promote", "1").returncode == 0

    served = tocsin("score", site / "data" / "rows.csv")
    assert served.returncode == 0
    models = {json.loads(line)["model"] for line in (site / "alerts.jsonl").read_text("utf-8").splitlines()}
    assert models == {f"small 1 ({versions[0]['model'][:12]})"}


def test_a_file_that_is_gone_is_named(versions: list[dict[str, Any]], site: Path, tocsin: Run) -> None:
    stored(site, 1)["arrays.bin"].unlink()
    refused = tocsin("score", site / "data" / "rows.csv", "--model", "1")
    assert refused.returncode == 1
    assert "✗ small version 1 arrays.bin\n  got nothing stored" in refused.stderr


@pytest.mark.parametrize("words", ["train --no-plots", "models list", "models verify", "status"])
def test_a_registry_of_a_newer_tocsin_is_left_alone(
    words: str, versions: list[dict[str, Any]], site: Path, tocsin: Run
) -> None:
    rewrite(site / "registry/registry.json", seal({"format": 3}, "registry.json"))
    before = {path: path.read_bytes() for path in (site / "registry").rglob("*") if path.is_file()}
    refused = tocsin(*words.split())
    assert refused.returncode == 1
    assert "✗ registry.json\n  got format 3, wanted at most 2" in refused.stderr
    assert "Hint: a newer Tocsin wrote this: upgrade, or read it there" in refused.stderr
    assert {path: path.read_bytes() for path in (site / "registry").rglob("*") if path.is_file()} == before


FULL_DISK = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, 4_096))
"""
"""No file may grow beyond 4 kB: what the system says then is what it says of a full disk."""


def test_a_full_disk_publishes_nothing_and_the_old_version_serves(
    versions: list[dict[str, Any]], site: Path, tocsin: Run, in_child: Run
) -> None:
    refused = in_child("train", "--promote", "--no-plots", before=FULL_DISK)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert "got no room to write it (File too large), wanted free space" in refused.stderr
    assert "nothing was published and all that was stored before still holds" in refused.stderr
    listed = json.loads(tocsin("models", "list", "--json").stdout)
    assert [version["digest"] for version in listed["versions"]] == [learnt["model"] for learnt in versions]
    assert listed["channels"] == {"candidate": 2, "champion": 1}
    assert tocsin("models", "verify").returncode == 0
    assert tocsin("score", site / "data" / "rows.csv").returncode == 0
    assert list((site / "registry").rglob(".unfinished-*")) == []
    assert len(list((site / "runs").iterdir())) == len(versions)
