"""A registry in a bucket: trained on one machine, pulled by another."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from urllib.parse import unquote

from tests.storage.servers import CloudServer

from tocsin.storage import open_bucket

Run = Callable[..., CompletedProcess[str]]


def test_a_model_trained_here_serves_from_a_bucket(cloud: CloudServer, site: Path, tocsin: Run) -> None:
    url = cloud.bucket()
    config = site / "tocsin.yaml"
    config.write_text(config.read_text("utf-8") + f"registry: {{path: {url}/models}}\n", "utf-8")
    trained = tocsin("train", "--no-plots", "--json")
    assert trained.returncode == 0, trained.stderr
    version = json.loads(trained.stdout)["version"]
    assert tocsin("models", "promote", str(version)).returncode == 0
    assert not (site / "registry").exists()
    assert tocsin("models", "verify").returncode == 0
    assert json.loads(tocsin("models", "list", "--json").stdout)["channels"] == {"candidate": 1, "champion": 1}
    assert len(list((site / ".tocsin" / "index").glob("*.db"))) == 1
    assert tocsin("score", site / "data" / "rows.csv").returncode == 0
    assert (site / "alerts.jsonl").stat().st_size > 0
    mark = cloud.mark()
    assert tocsin("score", site / "data" / "rows.csv").returncode == 0
    asked = cloud.since(mark)
    assert [line for line in asked if "objects/sha256" in unquote(line)] == [], "what lies here is pulled again"
    assert len(asked) <= 10
    keys = {entry.key for entry in open_bucket(f"{url}/models").list()}
    (run,) = {key.split("/")[1] for key in keys if key.startswith("runs/")}
    assert {f"runs/{run}/report.json", f"runs/{run}/manifest.json", f"runs/{run}/model/arrays.bin"} <= keys


def test_a_limit_on_requests_ends_a_training_before_it_costs_more(site: Path, tocsin: Run, s3: CloudServer) -> None:
    config = site / "tocsin.yaml"
    text = f"registry: {{path: {s3.bucket()}}}\nlimits: {{requests: 3}}\n"
    config.write_text(config.read_text("utf-8") + text, "utf-8")
    mark = s3.mark()
    refused = tocsin("train", "--no-plots")
    assert refused.returncode == 1
    assert "limits.requests" in refused.stderr
    assert len(s3.since(mark)) == 3
