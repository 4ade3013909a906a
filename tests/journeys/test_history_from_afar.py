"""From objects in a bucket to a version in another one, within what a plan said before."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import boto3
import pytest
from tests.sources.realtime_database import RealtimeDatabase
from tests.storage.servers import GcsServer, S3Server

from tocsin import load
from tocsin.storage import open_bucket

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def flows(s3: S3Server, lines: list[str]) -> str:
    """The URL of a bucket with four objects of the site's rows."""
    url = s3.bucket()
    for part in range(4):
        text = "\n".join([lines[0], *lines[1 + 300 * part : 301 + 300 * part], ""])
        boto3.client("s3").put_object(Bucket=url[5:], Key=f"flows/{part}.csv", Body=text.encode())
    return url


@pytest.fixture
def database() -> Iterator[RealtimeDatabase]:
    with RealtimeDatabase() as running:
        yield running


def source(url: str) -> tuple[str, str]:
    return 'source: {type: csv, path: "data/*.csv"}', f'source: {{type: object_store, url: "{url}/flows/*.csv"}}'


def test_a_training_on_a_bucket_takes_what_was_planned(
    configure: Callable[..., Path], tocsin: Run, s3: S3Server, flows: str
) -> None:
    registry = s3.bucket()
    configure(source(flows), more=f"registry: {{path: '{registry}'}}\n")
    for _ in range(7):
        planned = json.loads(tocsin("plan", "--connect", "--json").stdout)["budget"]
        (reading,) = planned["readings"]
        assert (reading["pieces"], reading["requests"]) == (4, 5)
        project = load("tocsin.yaml")
        outcome = project.train(promote=True)
        assert outcome.rows.passed_on == 1_200
        assert sum(project.meter.requests.values()) <= planned["requests"]
    assert set(outcome.rows.digests) == {f"{flows}/flows/{part}.csv" for part in range(4)}
    shown = tocsin("plan", "--connect")
    assert "source, object_store: 4 listed, 5 requests" in shown.stdout
    assert "gives for nothing" not in shown.stdout
    assert "With --connect" in tocsin("plan").stdout


@pytest.mark.parametrize("limit", ["requests: 3", "transfer: 30kB"])
def test_a_training_that_would_take_more_publishes_nothing(
    configure: Callable[..., Path], tocsin: Run, s3: S3Server, flows: str, limit: str
) -> None:
    registry = s3.bucket()
    configure(source(flows), more=f"registry: {{path: '{registry}'}}\nlimits: {{{limit}}}\n")
    assert tocsin("plan", "--connect").returncode == 1
    done = tocsin("train", "--no-plots")
    assert done.returncode == 1
    assert f"limits.{limit.partition(':')[0]}" in done.stderr
    assert list(open_bucket(registry).list()) == []


def test_a_plan_knows_what_firebase_storage_gives_for_nothing(
    configure: Callable[..., Path], tocsin: Run, gcs: GcsServer, lines: list[str]
) -> None:
    url = gcs.bucket()
    open_bucket(url).write("flows/0.csv", "\n".join(lines).encode())
    configure(source(url))
    planned = json.loads(tocsin("plan", "--connect", "--json").stdout)["budget"]
    assert planned["share_of_free"] == {"requests": 2 / 50_000, "bytes": len("\n".join(lines)) / 1e9}
    assert "of the bytes that Firebase Storage gives for nothing" in tocsin("plan", "--connect").stdout


def test_what_a_bucket_holds_is_listed_and_validated(configure: Callable[..., Path], tocsin: Run, flows: str) -> None:
    configure(source(flows))
    found = json.loads(tocsin("data", "list", "--recent", "--json").stdout)["files"]
    assert sorted(found) == [f"{flows}/flows/{part}.csv" for part in range(4)]
    assert all(item["bytes"] > 1_000 and item["modified"] for item in found.values())
    assert "4 files" in tocsin("data", "list", "--max-age-hours", "1").stdout
    validated = tocsin("data", "validate", "--start", "2026-03-02T10:00:00", "--end", "2026-03-02")
    assert "1,200 rows received: 600 used, 0 quarantined, 0 duplicates, 600 left out" in validated.stdout
    assert list(Path(".tocsin/spool").iterdir()) == []


def test_the_period_of_a_training_is_told(configure: Callable[..., Path], tocsin: Run) -> None:
    configure()
    done = tocsin("train", "--no-plots", "--start", "2026-03-02T02:00:00")
    assert "1,200 rows received: 1,080 used, 0 quarantined, 0 duplicates, 120 left out" in done.stdout
    empty = tocsin("train", "--no-plots", "--since", "7d")
    assert empty.returncode == 1
    assert "rows from 2026-03-02 00:00:00 to 2026-03-02 19:59:00" in empty.stderr
    assert tocsin("train", "--since", "soon").returncode == 2
    assert tocsin("train", "--since", "7d", "--max-age-hours", "3").returncode == 2


def test_a_database_is_trained_on(
    configure: Callable[..., Path], tocsin: Run, lines: list[str], database: RealtimeDatabase
) -> None:
    names = lines[0].split(",")
    records: dict[str, Any] = {
        f"flow-{at:05d}": dict(zip(names, line.split(","), strict=True)) for at, line in enumerate(lines[1:])
    }
    database.put("flows", records)
    line = f'source: {{type: firebase, url: "{database.url}/flows", page: 500}}'
    configure(('source: {type: csv, path: "data/*.csv"}', line))
    assert json.loads(tocsin("train", "--no-plots", "--json").stdout)["rows"]["passed_on"] == 1_200
    assert len(database.asked) == 3
    planned = json.loads(tocsin("plan", "--connect", "--json").stdout)["budget"]
    assert (planned["readings"][0]["pieces"], planned["readings"][0]["requests"]) == (1_200, 4)
    assert "1,200 files" in tocsin("data", "list").stdout


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("s3://telemetry/flows/**/*.csv", "object_store"),
        ("gs://telemetry/flows/", "object_store"),
        ("https://project.firebaseio.com/flows", "firebase"),
    ],
)
def test_a_first_config_reads_from_afar(folder: Path, tocsin: Run, path: str, kind: str) -> None:
    assert tocsin("init", "--path", path).returncode == 0
    assert tocsin("check").returncode == 0
    read = load("tocsin.yaml").config.source
    assert read is not None
    assert (read.type, read.parameters["url"]) == (kind, path)
