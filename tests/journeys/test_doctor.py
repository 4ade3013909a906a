"""Whether this machine is fit to work on, in a page."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tocsin.kernel import build

Run = Callable[..., CompletedProcess[str]]


def verdicts(done: CompletedProcess[str]) -> dict[str, str]:
    return {finding["what"]: finding["verdict"] for finding in json.loads(done.stdout)["findings"]}


def test_a_project_in_order_is_in_order(site: Path, tocsin: Run) -> None:
    done = tocsin("doctor", "--json")
    found = verdicts(done)
    assert (done.returncode, "broken" in found.values()) == (0, False)
    assert {"python", "packages", "kernel", "arithmetic", "trees", "time zones", "config", "folder", "disk"} <= set(
        found
    )
    assert found["config"] == "ok"
    plain = tocsin("doctor")
    assert plain.stdout.endswith("Nothing is broken.\n")
    assert plain.stdout.count("✓") == list(found.values()).count("ok")


def test_it_leaves_no_trace(site: Path, tocsin: Run) -> None:
    before = sorted(site.rglob("*"))
    tocsin("doctor")
    assert sorted(site.rglob("*")) == before


def test_without_a_config_it_says_how_to_begin(tmp_path: Path, tocsin: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = tocsin("doctor")
    assert done.returncode == 0
    assert "! config: no tocsin.yaml\n  Hint: tocsin init" in done.stdout


def test_what_is_broken_is_named_and_ends_with_1(configure: Callable[..., Path], tocsin: Run) -> None:
    configure(("[bytes, packets]", "[bites]"), ("1%", "often"))
    done = tocsin("doctor")
    assert done.returncode == 1
    assert "✗ config: tocsin.yaml has 1 problem\n  Hint: tocsin check -c tocsin.yaml" in done.stdout
    assert done.stdout.endswith("Broken: 1\n")


def test_a_folder_that_cannot_be_written_is_named(site: Path, tocsin: Run) -> None:
    done = tocsin("doctor", "-c", "data/rows.csv/tocsin.yaml")
    assert done.returncode == 1
    assert "rows.csv cannot be written (Not a directory)" in done.stdout


def test_an_interpreted_kernel_is_told_with_what_to_do(site: Path, in_child: Run) -> None:
    done = in_child("doctor", TOCSIN_KERNEL="interpreted")
    assert done.returncode == 0
    assert f"! kernel: TOCSIN_KERNEL is set: the kernel runs interpreted, about {build.SLOWDOWN} times" in done.stdout
    assert "Hint: unset TOCSIN_KERNEL" in done.stdout
