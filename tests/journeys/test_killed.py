"""Case 10: a service that is killed again and again loses nothing, rings once per alert, and comes to the same bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from tests.journeys.service import Outcome, Site, events, pieces

from tocsin.sources.base_event_log import EventLog

Kind = Literal["file", "files", "log"]
STREAM = """\
  source: {source}
  record: all
  latency: 1ms
  checkpoint: 200ms
"""
SOURCES: dict[Kind, str] = {
    "file": "{type: jsonl, path: live/a.jsonl, rows: 200}",
    "files": '{type: jsonl, path: "live/*.jsonl", rows: 200}',
    "log": "{type: sqlite_wal, message: event, path: live/events.db, rows: 200}",
}
"""A file gives the same rows again; of several, and of the log that is pruned, rows are journalled."""
NO_JSON = (b"{\n", b"[1, 2]\n")
NO_ROWS = (
    b'{"time": "2026-03-02T00:00:00+00:00", "host": "h", "number": -1, "bytes": 1, "packets": 0}\n',
    b'{"time": "soon", "host": "h", "number": 1, "bytes": 1, "packets": 0}\n',
)
ENVELOPE = 100
"""Events of one append."""
Feeds = list[Callable[[], object]]


@dataclass(frozen=True, slots=True)
class Case:
    """What is fed, and what becomes of it in a service that nobody kills."""

    kind: Kind
    trained: Site
    lines: list[bytes]
    whole: Outcome

    def site(self, folder: Path) -> Site:
        """One of its kind that has got nothing yet."""
        return self.trained.copied(folder, STREAM.replace("{source}", SOURCES[self.kind]))


def feeds(kind: Kind, site: Site, lines: Sequence[bytes], rng: np.random.Generator, most: int) -> Feeds:
    """Steps that give a site all lines; a file grows by pieces that end anywhere, in the middle of a line, too."""
    if kind != "log":
        return [partial(grow, site.folder / "live" / "a.jsonl", piece) for piece in pieces(rng, lines, most)]
    log = site.folder / "live" / "events.db"
    return [partial(append, log, lines[first : first + ENVELOPE]) for first in range(0, len(lines), ENVELOPE)]


def grow(path: Path, piece: bytes) -> None:
    with path.open("ab") as file:
        file.write(piece)


def append(path: Path, some: Sequence[bytes]) -> None:
    with EventLog(path) as log:
        log.append([line.strip() for line in some])


@pytest.fixture(
    scope="module",
    params=[("file", "waiting"), ("files", "in order"), ("log", "waiting")],
    ids=" ".join,
)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Kind, Site]:
    """Sites that read a file or the embedded log, and take rows as they come or in the order of their times."""
    kind, order = request.param
    changes = [("features:\n", "features:\n  wait: 5s\n")] if order == "waiting" else []
    return kind, Site.made(tmp_path_factory.mktemp("trained") / "site", np.random.default_rng(7), *changes)


@pytest.fixture
def case(
    trained: tuple[Kind, Site], tmp_path: Path, rng: np.random.Generator, rounds: Callable[[int, int], int]
) -> Case:
    """Rows with some leaks among them, some rows that repeat earlier ones, and some that are none."""
    (kind, site), rows = trained, rounds(6_000, 60_000)
    lines = events(rng, rows, leaks=rows // 300)
    broken = [*NO_ROWS, *(NO_JSON if kind != "log" else ())]
    for place in rng.integers(0, rows, rows // 500).tolist():
        lines.insert(place, lines[place // 2])
        lines.insert(place // 3, broken[place % len(broken)])
    quiet = site.copied(tmp_path / "whole", STREAM.replace("{source}", SOURCES[kind]))
    for feed in feeds(kind, quiet, lines, rng, 1):
        feed()
    with quiet.serve() as service:
        service.ready()
        service.until(partial(quiet.has, len(lines)))
        service.stop()
    whole = quiet.outcome()
    assert len(whole.alerts) >= rows // 400
    assert whole.tally["quarantined"] == len(whole.letters) > 0
    assert whole.tally["duplicates"] > 0
    return Case(kind, site, lines, whole)


@pytest.mark.soak
def test_all_is_read_once_however_often_its_reader_is_killed(
    case: Case,
    tmp_path: Path,
    rng: np.random.Generator,
    rounds: Callable[[int, int], int],
    request: pytest.FixtureRequest,
) -> None:
    kills, site, recoveries = rounds(3, 55), case.site(tmp_path / "killed"), []
    steps = feeds(case.kind, site, case.lines, rng, 4 * kills)
    for share in np.array_split(np.arange(len(steps)), kills):
        with site.serve() as service:
            lives_s = rng.uniform(0, 0.4)
            if rng.random() < 0.8:
                recoveries.append(service.ready())
            else:
                lives_s *= 5  # it may be killed before it is ready
            for step in share.tolist():
                steps[step]()
                service.pause(lives_s / len(share))
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
