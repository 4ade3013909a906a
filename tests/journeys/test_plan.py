"""What a model will take, asked before there is any telemetry."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

Run = Callable[..., CompletedProcess[str]]
WINDOWS = ("columns: [bytes, packets]", "derive: [{type: rolling, columns: [bytes], windows: [1h]}]")


def test_a_plan_needs_no_data_and_leaves_no_trace(site: Path, configure: Callable[..., Path], tocsin: Run) -> None:
    configure(WINDOWS, ('path: "data/*.csv"', 'path: "nowhere/*.csv"'))
    before = sorted(site.rglob("*"))
    done = tocsin("plan")
    assert (done.returncode, done.stderr) == (0, "")
    assert "bytes_mean_1h" in done.stdout
    assert "for 20,000 entities" in done.stdout
    assert sorted(site.rglob("*")) == before


def test_a_plan_tells_the_features_that_a_training_then_has(
    site: Path, configure: Callable[..., Path], tocsin: Run
) -> None:
    configure(WINDOWS)
    planned = json.loads(tocsin("plan", "--json").stdout)
    assert tocsin("train", "--no-plots").returncode == 0
    from tocsin import load

    model, _ = load("tocsin.yaml").model()
    assert planned["fingerprint"] == model.program.fingerprint
    assert planned["bytes_per_entity"] == model.kernel.bytes_per_entity
    assert [name for share in planned["shares"] for name in share["columns"]] == list(model.program.outputs)


def test_more_than_the_limit_is_told_before_it_is_reached(configure: Callable[..., Path], tocsin: Run) -> None:
    configure(WINDOWS, more="limits: {memory: 5MB, entities: 1000000}\n")
    done = tocsin("plan")
    assert done.returncode == 1
    planned = json.loads(tocsin("plan", "--json").stdout)
    assert (planned["fits"], planned["limit_bytes"]) == (False, 5_000_000)
    fitting = planned["limit_bytes"] // planned["bytes_per_entity"]
    assert f"More than limits.memory, 5 MB: {fitting:,} entities would fit" in done.stdout
    assert tocsin("plan", "--entities", str(fitting)).returncode == 0
    assert tocsin("plan", "--entities", str(fitting + 1)).returncode == 1


def test_where_nothing_is_remembered_it_says_so(site: Path, tocsin: Run) -> None:
    assert "Nothing is remembered from row to row." in tocsin("plan").stdout


def test_a_config_that_does_not_fit_has_no_plan(configure: Callable[..., Path], tocsin: Run) -> None:
    configure(("[bytes, packets]", "[bites]"))
    done = tocsin("plan")
    assert (done.returncode, done.stdout) == (2, "")
    assert "bites" in done.stderr
    assert tocsin("plan", "--entities", "0").returncode == 2
