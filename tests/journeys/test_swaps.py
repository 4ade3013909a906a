"""Case 16: models follow each other under load, broken ones among them, and nothing is lost, mixed or left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from tests.journeys.service import Service, Site, events

from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.design import Design
from tocsin.records import Batch, Judgement, Verdict
from tocsin.system import Project

STREAM = """\
  source: {type: jsonl, path: "live/*.jsonl", rows: 200}
  record: all
  latency: 1ms
  checkpoint: 1s
  follow: 100ms
  watch: 3s
"""
PER_S = 2_000
PASSED = Verdict(passed=True, judgements=(Judgement("recall", ">= 0.9", 0.95, passed=True, reason=""),))
REPORT = {"figures": {}, "rows": {"all": 10, "unlabelled": 0}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Without a key: what is remembered of keys grows for 100,000 rows, and hides what a swap leaves behind."""
    return Site.made(tmp_path_factory.mktemp("trained") / "site", np.random.default_rng(7), ("  key: [number]\n", ""))


class Publisher:
    """Makes versions of one history, each with another budget."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._project = Project.load(site.folder / "tocsin.yaml")
        self._rows = Batch.concatenate(self._project.rows())
        self._made = 0
        self.digests = [self._project.registry.load("served", "champion")[1].digest]

    def publish(self, *, broken: bool = False) -> str:
        """The digest of the next champion."""
        self._made += 1
        rows, design = self._rows, Design.of(self._project.config)
        last = rows.rows - self._made
        model = AnomalyModel(design).fit(rows.take(slice(4_000)), rows.take(slice(4_000, last)))
        version = self._project.registry.add("served", model.bundle({}), REPORT, PASSED)
        if broken:
            (path,) = (self._site.folder / "registry").rglob(version.manifest)
            data = path.read_bytes()
            path.unlink()
            path.write_bytes(data[: len(data) // 2])
        self._project.promote(version.version)
        if not broken:
            self.digests.append(version.digest)
        return version.digest


class Load:
    """Rows at a steady pace, from the beginning of a block to its end."""

    def __init__(self, site: Site, rng: np.random.Generator) -> None:
        self._path = site.folder / "live" / "a.jsonl"
        self._rng = rng
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.written = 0

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def _run(self) -> None:
        each = PER_S // 20
        with self._path.open("ab") as file:
            while not self._ends.wait(0.05):
                file.write(b"".join(events(self._rng, each, first=self.written)))
                file.flush()
                self.written += each


def resident(service: Service) -> int:
    """Bytes that it has in memory now."""
    status = Path(f"/proc/{service.process.pid}/status").read_text("ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1_024


def serves(site: Site, digest: str) -> bool:
    return site.stored.progress().model == digest


def is_kept(site: Site) -> bool:
    """Whether the last version to take over was watched for its time, and the one before let go."""
    said = (site.folder / "service.log").read_text("utf-8")
    return said.rfind("Model kept.") > said.rfind("Model swapped.")


def in_turn(site: Site) -> Iterator[str]:
    """The models of all rows, in the order of these, each once for as long as it served."""
    said = site.query("SELECT model FROM verdicts ORDER BY time, origin")
    yield from (model for (model,), _ in groupby(said))


@pytest.mark.soak
def test_models_follow_each_other_under_load(
    trained: Site,
    tmp_path: Path,
    rng: np.random.Generator,
    rounds: Callable[[int, int], int],
    record_property: Callable[[str, object], None],
) -> None:
    swaps, before = rounds(6, 100), 0
    site = trained.copied(tmp_path / "site", STREAM)
    publisher = Publisher(site)
    with site.serve() as service:
        service.ready()
        with Load(site, rng) as load:
            began = time.monotonic()
            for number in range(swaps):
                service.until(partial(site.has, load.written + 1))  # each has rows of its own
                if number % 3 == 1:
                    publisher.publish(broken=True)
                service.until(partial(serves, site, publisher.publish()))
                before = before or (number == 1) * resident(service)
            record_property("rows_per_s", round(load.written / (time.monotonic() - began)))
        service.until(partial(site.has, load.written))
        service.until(partial(is_kept, site))
        after = resident(service)
        service.stop()
    said = site.query("SELECT origin FROM verdicts")
    assert len(said) == len(set(said)) == load.written
    assert site.query("SELECT committed FROM verdicts GROUP BY committed HAVING count(DISTINCT model) > 1") == []
    assert list(in_turn(site)) == publisher.digests
    record_property("resident", (before, after))
    assert after <= 1.1 * before


@pytest.mark.soak
def test_a_service_that_is_killed_around_swaps_has_the_old_model_or_the_new(
    trained: Site, tmp_path: Path, rng: np.random.Generator, rounds: Callable[[int, int], int]
) -> None:
    kills = rounds(3, 50)
    lines = events(rng, 500 * kills)
    whole, site = trained.copied(tmp_path / "whole", STREAM), trained.copied(tmp_path / "killed", STREAM)
    (whole.folder / "live" / "a.jsonl").write_bytes(b"".join(lines))
    with whole.serve() as service:
        service.ready()
        service.until(partial(whole.has, len(lines)))
        service.stop()
    publisher, path = Publisher(site), site.folder / "live" / "a.jsonl"
    for number in range(kills):
        digest = publisher.publish()
        with site.serve() as service, path.open("ab") as file:
            service.ready()
            for start in range(500 * number, 500 * (number + 1), 100):
                file.write(b"".join(lines[start : start + 100]))
                file.flush()
                service.pause(rng.uniform(0, 0.6))
    with site.serve() as service:
        service.ready()
        service.until(partial(site.has, len(lines)))
        service.until(partial(serves_or_will, site, digest))
        service.stop()
    said = site.query("SELECT origin FROM verdicts")
    assert len(said) == len(set(said)) == len(lines)
    order = [publisher.digests.index(model) for model in in_turn(site)]
    assert order == sorted(set(order)), "no model comes back once another one has served"
    killed, kept = site.outcome(), whole.outcome()
    assert (killed.tally, killed.keys, killed.state) == (kept.tally, kept.keys, kept.state)


def serves_or_will(site: Site, digest: str) -> bool:
    """Whether the last checkpoint is of this model."""
    return digest.encode() in (site.folder / ".tocsin" / "stream" / "stream.checkpoint").read_bytes()
