"""Case 10: a service that is killed again and again loses nothing, rings once per alert, and comes to the same bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tests.journeys.service import Outcome, Site, events, pieces

STREAM = """\
  source: {type: jsonl, path: "live/*.jsonl", rows: 200}
  record: all
  latency: 1ms
  checkpoint: 200ms
"""
BROKEN = (b"{\n", b"[1, 2]\n", b'{"time": "2026-03-02T00:00:00+00:00", "host": "h", "bytes": -1, "packets": 0}\n')


@pytest.fixture(scope="module", params=["in order", "waiting"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site whose rows are taken as they come, or put into the order of their times first."""
    changes = [("features:\n", "features:\n  wait: 5s\n")] if request.param == "waiting" else []
    return Site.made(tmp_path_factory.mktemp("trained") / "site", np.random.default_rng(7), *changes)


@dataclass(frozen=True, slots=True)
class Case:
    """What is fed, and what becomes of it in a service that nobody kills."""

    trained: Site
    lines: list[bytes]
    whole: Outcome


@pytest.fixture
def case(trained: Site, tmp_path: Path, rng: np.random.Generator, rounds: Callable[[int, int], int]) -> Case:
    """Rows with some leaks among them, some rows that repeat earlier ones, and some that are none."""
    rows = rounds(6_000, 60_000)
    lines = events(rng, rows, leaks=rows // 300)
    for place in rng.integers(0, rows, rows // 500).tolist():
        lines.insert(place, lines[place // 2])
        lines.insert(place // 3, BROKEN[place % len(BROKEN)])
    site = trained.copied(tmp_path / "whole", STREAM)
    (site.folder / "live" / "a.jsonl").write_bytes(b"".join(lines))
    with site.serve() as service:
        service.ready()
        service.until(partial(site.has, len(lines)))
        service.stop()
    whole = site.outcome()
    assert len(whole.alerts) >= rows // 400
    assert whole.tally["quarantined"] == len(whole.letters) > 0
    assert whole.tally["duplicates"] > 0
    return Case(trained, lines, whole)


@pytest.mark.soak
def test_a_followed_file_is_read_once_however_often_its_reader_is_killed(
    case: Case,
    tmp_path: Path,
    rng: np.random.Generator,
    rounds: Callable[[int, int], int],
    request: pytest.FixtureRequest,
) -> None:
    site = case.trained.copied(tmp_path / "killed", STREAM)
    path, recoveries = site.folder / "live" / "a.jsonl", []
    for piece in pieces(rng, case.lines, rounds(3, 55)):
        with site.serve() as service, path.open("ab") as file:
            lives_s = rng.uniform(0, 0.4)
            if rng.random() < 0.8:
                recoveries.append(service.ready())
            else:
                lives_s *= 5  # it may be killed before it is ready
            for some in pieces(rng, [piece], 4):
                file.write(some)
                file.flush()
                service.pause(lives_s / 4)
            service.kill()
    with site.serve() as service:
        recoveries.append(service.ready())
        service.until(partial(site.has, len(case.lines)))
        stopped_s = service.stop()
    found = site.outcome()
    figures = f"ready within {max(recoveries):.1f} s, at most, half of the times within {np.median(recoveries):.1f} s; "
    figures += f"stopped within {stopped_s:.1f} s; {len(found.sent) - len(set(found.sent))} alerts were sent twice"
    request.node.add_report_section("call", "figures", figures)
    assert found == case.whole
    assert set(found.sent) == set(case.whole.sent) == set(found.alerts) - site.quiet
