"""Whatever is done to a registry, what served on this machine goes on to serve, and says so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tocsin.model.documents import seal

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def serving(site: Path, tocsin: Run) -> Callable[[], tuple[set[str], str]]:
    """Which models ring, and what is said beside it."""

    def score() -> tuple[set[str], str]:
        alerts = site / "alerts.jsonl"
        alerts.unlink(missing_ok=True)
        done = tocsin("score", "data/rows.csv")
        assert done.returncode == 0, done.stderr
        return {json.loads(line)["model"] for line in alerts.read_text("utf-8").splitlines()}, done.stderr

    return score


def test_every_stored_file_may_be_damaged_in_turn(
    site: Path, tocsin: Run, serving: Callable[[], tuple[set[str], str]]
) -> None:
    assert tocsin("train", "--promote", "--no-plots").returncode == 0
    true, said = serving()
    assert "Last good model" not in said
    for path in sorted(path for path in (site / "registry").rglob("*") if path.is_file()):
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
        models, said = serving()
        assert models == true
        assert tocsin("models", "verify").returncode == 1, path
        path.unlink()
        path.write_bytes(data)
    assert tocsin("models", "verify").returncode == 0
    models, said = serving()
    assert (models, "Last good model" in said) == (true, False)


@pytest.mark.parametrize("fate", ["gone", "newer", "a file"])
def test_a_registry_may_be_gone_or_unreadable(
    fate: str, site: Path, tocsin: Run, serving: Callable[[], tuple[set[str], str]]
) -> None:
    assert tocsin("train", "--promote", "--no-plots").returncode == 0
    true, _ = serving()
    if fate == "newer":
        (site / "registry/registry.json").unlink()
        (site / "registry/registry.json").write_bytes(seal({"format": 3}, "registry.json"))
    else:
        shutil.rmtree(site / "registry")
    if fate == "a file":
        (site / "registry").write_text("")
    models, said = serving()
    assert (models, "Last good model goes on." in said) == (true, True)
