"""`tocsin cleanup` shows what may go, and lets go of nothing that somebody still needs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.storage.servers import S3Server

from tocsin.config import parse
from tocsin.storage import open_bucket
from tocsin.system import Project
from tocsin.system.cleanup import spent_models, spent_telemetry

Run = Callable[..., CompletedProcess[str]]
Configure = Callable[..., Path]
OLD = "small-20200101T000000.000-01234567"
EVERYTHING = ("cleanup", "all", "--max-age-hours", "0", "--max-age-days", "0")


def everything_in(site: Path) -> dict[str, int]:
    return {str(path): path.stat().st_size for path in site.rglob("*") if path.is_file()}


def lots(done: CompletedProcess[str]) -> dict[str, list[str]]:
    found: dict[str, Any] = json.loads(done.stdout)
    return {lot["what"]: lot["names"] for lot in found["lots"]}


def days_later(config: Path, days: float) -> Project:
    now = datetime.now(UTC) + timedelta(days=days)
    return Project(parse(config.read_text("utf-8"), config), clock=lambda: now)


def test_nothing_goes_unless_it_is_said_so(site: Path, tocsin: Run) -> None:
    assert tocsin("train", "--no-plots").returncode == 0
    (site / "runs" / OLD).mkdir()
    before = everything_in(site)
    shown = tocsin(*EVERYTHING)
    assert "Nothing has gone yet: add --yes." in shown.stdout
    assert lots(tocsin(*EVERYTHING, "--dry-run", "--json"))["runs"]
    assert everything_in(site) == before


def test_a_project_goes_on_when_all_that_may_go_is_gone(site: Path, configure: Configure, tocsin: Run) -> None:
    rolling = "derive: [{type: rolling, columns: [bytes], windows: [1h]}]"
    configure(("columns: [bytes, packets]", f"columns: [bytes, packets], {rolling}"))
    assert tocsin("train", "--promote", "--no-plots").returncode == 0
    assert tocsin("evaluate", "--no-plots").returncode == 0
    gone = lots(tocsin(*EVERYTHING, "--yes", "--json"))
    assert gone["features"]
    assert list((site / ".tocsin" / "features").iterdir()) == []
    assert (site / "data" / "rows.csv").exists()
    assert tocsin("models", "verify").returncode == 0
    assert tocsin("score", "data/rows.csv").returncode == 0
    assert "Version 2 of small" in tocsin("train", "--no-plots").stdout
    assert "Nothing is to go." in tocsin("cleanup", "all").stdout


def test_what_serves_and_what_it_would_go_back_to_stays(site: Path, configure: Configure, tocsin: Run) -> None:
    path = configure(more="registry: {keep: 1}\n")
    for number in (1, 2, 3, 4):
        assert f"Version {number} of small" in tocsin("train", "--no-plots").stdout
        if number < 3:
            assert tocsin("models", "promote", str(number)).returncode == 0
    for lot in spent_models(days_later(path, 40), timedelta(0)):
        lot.remove()
    left = {version["version"] for version in json.loads(tocsin("models", "list", "--json").stdout)["versions"]}
    assert left == {1, 2, 4}
    assert tocsin("models", "verify").returncode == 0
    assert tocsin("score", "data/rows.csv", "--model", "champion").returncode == 0
    assert tocsin("models", "rollback").returncode == 0
    assert tocsin("score", "data/rows.csv", "--model", "champion").returncode == 0


def test_runs_of_other_projects_and_young_ones_stay(site: Path, tocsin: Run) -> None:
    for _ in range(2):
        tocsin("evaluate" if (site / "registry").exists() else "train", "--no-plots")
    strange = site / "runs" / "other-20200101T000000.000-01234567"
    partial, old = site / "runs" / f".{OLD}.partial", site / "runs" / OLD
    for folder in (strange, partial, old):
        folder.mkdir()
        os.utime(folder, (0, 0))
    gone = lots(tocsin("cleanup", "models", "--yes", "--json"))
    assert [Path(name).name for name in gone["runs"]] == [old.name]
    assert [Path(name).name for name in gone["unfinished runs"]] == [partial.name]
    assert strange.exists()
    assert len(list((site / "runs").glob("small-*"))) == 2


@dataclass(frozen=True)
class Ages:
    """Hours: what a training reads, what was asked for, and when that was."""

    last: int | None
    max_age: int | None
    asked: int
    later: float

    @property
    def past_all(self) -> bool:
        window = max((hours for hours in (self.last, self.max_age) if hours), default=None)
        return window is not None and self.later > max(window, self.asked)


HOURS = st.integers(1, 400)
AGES = st.builds(Ages, st.none() | HOURS, st.none() | HOURS, HOURS, HOURS.map(lambda hours: hours + 0.5))


@given(AGES, st.booleans())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_object_goes_that_a_training_reads(s3: S3Server, configure: Configure, ages: Ages, tested: bool) -> None:
    url = s3.bucket()
    bucket = open_bucket(f"{url}/flows")
    for name in ("a.csv", "b.csv", "c.txt"):
        bucket.create(name, b"time,host,bytes,packets\n")
    age = f", max_age_hours: {ages.max_age}" if ages.max_age else ""
    source = f"{{type: object_store, url: '{url}/flows/*.csv'{age}}}"
    more = f"history: {{last: {ages.last}h}}\n" if ages.last else ""
    more += f"test: {{type: object_store, url: '{url}/flows/b.csv', max_age_hours: 100000}}\n" if tested else ""
    path = configure(('{type: csv, path: "data/*.csv"}', source), more=more)
    (objects, *_) = spent_telemetry(days_later(path, ages.later / 24), timedelta(hours=ages.asked))
    objects.remove()
    gone = {"a.csv", *(() if tested else ("b.csv",))} if ages.past_all else set()
    assert {entry.key for entry in bucket.list()} == {"a.csv", "b.csv", "c.txt"} - gone


def test_what_the_last_training_read_stays(s3: S3Server, site: Path, configure: Configure, tocsin: Run) -> None:
    url = s3.bucket()
    bucket = open_bucket(f"{url}/flows")
    bucket.create("rows.csv", (site / "data" / "rows.csv").read_bytes())
    source = f"{{type: object_store, url: '{url}/flows/*.csv', max_age_hours: 1}}"
    path = configure(('{type: csv, path: "data/*.csv"}', source))
    assert tocsin("train", "--no-plots").returncode == 0
    bucket.create("unread.csv", b"time,host,bytes,packets\n")
    (objects, *_) = spent_telemetry(days_later(path, 9), timedelta(0))
    assert [piece.name for piece in objects.pieces] == [f"{url}/flows/unread.csv"]


@pytest.mark.parametrize("words", ["cleanup", "cleanup nothing", "cleanup all --max-age-hours -1"])
def test_what_is_no_scope_or_age_is_wrong_usage(words: str, site: Path, tocsin: Run) -> None:
    assert tocsin(*words.split()).returncode == 2
