"""Cases 12 to 15: poison, clocks that are wrong, floods of names, and more rows than can be scored at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tests.journeys.service import START, Outcome, Site, event, events

from tocsin import log
from tocsin.records import Batch
from tocsin.scoring import checkpoint as checkpoints
from tocsin.scoring.stream import CHECKPOINT
from tocsin.scoring.work import Clocks
from tocsin.system import Project
from tocsin.system.service import Service

STREAM = """\
  source: {type: jsonl, path: "live/*.jsonl", rows: 1_000}
  record: all
"""
LATER_S = 30_000_000
"""From the history to the live rows: behind the training, as this machine's clock has it."""
WAIT_S = 30
GOOD = {"time": "2026-03-02T00:00:00Z", "host": "h", "number": 10**9, "bytes": 5.0, "packets": 1}


def spoilt(**changes: object) -> bytes:
    """A row in which something is wrong."""
    return json.dumps(GOOD | changes).encode()


POISON = [
    (b"{", "not_json"),
    (b'{"time": "2026-03', "not_json"),
    (b"nonsense", "not_json"),
    (b"[1, 2, 3]", "not_an_object"),
    (b"17", "not_an_object"),
    (b"null", "not_an_object"),
    (b"\xff\xfe\x00\x01", "nul_byte"),
    (b'{"a":' * 1_000 + b"1" + b"}" * 1_000, "too_deep"),
    (spoilt(bytes=float("nan")), "not_json"),
    (spoilt(bytes=float("inf")), "not_json"),
    (spoilt().replace(b"5.0", b"1e400"), "not_json"),
    (spoilt().replace(b"5.0", b"9" * 400), "not_json"),
    (spoilt(host="\ud800"), "not_json"),
    (spoilt(bytes=-1), "out_of_range"),
    (spoilt(time=0), "out_of_range"),
    (spoilt(time="soon"), "not_a_time"),
    (spoilt(time="99999-01-01T00:00:00Z"), "not_a_time"),
    (spoilt(time="2126-01-01T00:00:00Z"), "in_the_future"),
    (spoilt(packets="many"), "not_a_number"),
    (spoilt(packets=1.5), "not_whole"),
    (spoilt(packets=None), "missing"),
    (spoilt(host={"name": "h"}), "missing"),
    (spoilt(host="h" * 100_000), "too_long"),
    (b"{}", "missing"),
]
"""More than twenty kinds, and the reason that stands beside each."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Takes rows in the order of their times, for which it waits."""
    changes = ("features:\n", f"features:\n  wait: {WAIT_S}s\n")
    return Site.made(tmp_path_factory.mktemp("trained") / "site", np.random.default_rng(7), changes)


def served(site: Site, lines: list[bytes], moment: datetime | None = None) -> Outcome:
    """What becomes of lines that are all there when the service begins, by the clock of this machine or another."""
    (site.folder / "live" / "a.jsonl").write_bytes(b"".join(lines))
    clocks = Clocks(now=lambda: round(moment.timestamp() * 1e6)) if moment else Clocks()
    Service(Project.load(site.folder / "tocsin.yaml"), once=True, clocks=clocks).run()
    return site.outcome()


def test_poison_is_kept_with_its_reason_and_nothing_good_is_lost(
    trained: Site, tmp_path: Path, rng: np.random.Generator, rounds: Callable[[int, int], int]
) -> None:
    rows = rounds(4_000, 100_000)
    lines = events(rng, rows, leaks=20)
    clean = served(trained.copied(tmp_path / "clean", STREAM), lines)
    mixed: list[bytes] = []
    wanted: list[tuple[int, str]] = []
    for place, line in enumerate(lines):
        if place % (rows // max(rows // 1_000, len(POISON))) == 0:
            poison, reason = POISON[len(wanted) % len(POISON)]
            mixed.append(poison + b"\n")
            wanted.append((len(mixed), reason))
        mixed.append(line)
    found = served(trained.copied(tmp_path / "mixed", STREAM), mixed)
    assert [(row, reason) for _, row, reason in found.letters] == wanted
    assert {reason for _, reason in wanted} == {reason for _, reason in POISON}
    assert (found.alerts, found.verdicts, found.state) == (clean.alerts, clean.verdicts, clean.state)
    assert clean.alerts
    assert found.tally["received"] == rows + len(wanted)


def test_rows_late_by_no_more_than_the_wait_and_wrong_clocks_change_nothing(
    trained: Site, tmp_path: Path, rng: np.random.Generator, rounds: Callable[[int, int], int]
) -> None:
    rows = rounds(4_000, 100_000)
    lines = events(rng, rows, leaks=20, first=LATER_S)
    now = START + timedelta(seconds=LATER_S + rows)
    in_order = served(trained.copied(tmp_path / "sorted", STREAM), lines, now)
    assert in_order.alerts

    # Each comes after all that are half a wait newer, and one in ten comes twice.
    order = np.argsort(np.arange(rows) + rng.uniform(0, WAIT_S - 1, rows), kind="stable")
    mixed = [lines[place] for place in order for _ in range(2 if place % 10 == 0 else 1)]
    wrong = {
        "ahead": [
            event(10**9 + place, "host-1", 1e6, now + timedelta(days=3_650, seconds=place)) for place in range(40)
        ],
        "behind": [
            event(2 * 10**9 + place, "host-1", 1_000.0, START + timedelta(seconds=LATER_S - 86_400))
            for place in range(40)
        ],
        "unset": [event(3 * 10**9 + place, "host-1", 1e6, datetime.fromtimestamp(place, UTC)) for place in range(40)],
    }
    for number, line in enumerate(line for group in zip(*wrong.values(), strict=True) for line in group):
        mixed.insert((number + 1) * len(mixed) // 121, line)
    before = log.counters().get('tocsin_rows_marked_total{mark="too_late"}', 0)
    found = served(trained.copied(tmp_path / "mixed", STREAM), mixed, now)
    assert found.alerts == in_order.alerts
    assert found.state == in_order.state
    assert found.order["watermark"] == in_order.order["watermark"]
    assert set(in_order.verdicts) <= set(found.verdicts)
    assert found.tally["reasons"] == {"in_the_future": 40, "out_of_range": 40}
    assert found.tally["duplicates"] == len(range(0, rows, 10))
    assert log.counters()['tocsin_rows_marked_total{mark="too_late"}'] - before == 40
    assert len(found.verdicts) == rows + 40


def named(place: int, real: int, rng: np.random.Generator) -> bytes:
    """One row in ten is of a host that comes again, the others of one that never does."""
    host = f"random-{rng.integers(2**62)}" if place % 10 else f"host-{place // 10 % real}"
    return event(place, host, 1_000.0, START + timedelta(milliseconds=4 * place))


@pytest.mark.soak
def test_a_flood_of_names_takes_no_room_from_those_that_come_again(
    trained: Site, tmp_path: Path, rng: np.random.Generator, rounds: Callable[[int, int], int]
) -> None:
    flood, real = rounds(40_000, 5_000_000), 1_000
    site = trained.copied(
        tmp_path / "site", STREAM.replace("record: all", "record: flagged").replace("1_000", "10_000")
    )
    path = site.folder / "live" / "a.jsonl"
    with site.serve() as service:
        service.ready()
        for first in range(0, flood, 10_000):
            lines = [named(place, real, rng) for place in range(first, first + 10_000)]
            with path.open("ab") as file:
                file.write(b"".join(lines))
            service.until(partial(site.has, first + 10_000))
        memory = service.memory
        service.stop()
    assert memory < 256 * 2**20
    project = Project.load(site.folder / "tocsin.yaml")
    names = np.array([f"host-{number}" for number in range(real)], dtype=object)
    hidden = project.privacy.apply(project.config.schema_, Batch({"host": names}))["host"]
    again = Service(project, once=True)
    again.journal.close()
    assert checkpoints.recover(site.folder / ".tocsin" / "stream" / CHECKPOINT, again.scorer, "") is not None
    held = set(again.scorer.state.entities.names)
    assert len(again.scorer.state) == again.scorer.state.entities.limit, "the flood filled every place"
    assert len(held & set(hidden.tolist())) >= 0.99 * real


def test_more_rows_than_can_be_scored_wait_in_their_file_and_add_up(
    trained: Site, tmp_path: Path, rng: np.random.Generator, rounds: Callable[[int, int], int]
) -> None:
    rows = rounds(40_000, 1_000_000)
    site = trained.copied(tmp_path / "site", STREAM)
    path = site.folder / "live" / "a.jsonl"
    with site.serve() as service:
        service.ready()
        for first in range(0, rows, 5_000):
            with path.open("ab") as file:
                file.write(b"".join(events(rng, 5_000, first=first)) + b"broken\n")
            tally = site.stored.progress().tally
            if tally:
                assert (
                    tally["received"] == tally["passed_on"] + tally["quarantined"] <= first + 5_000 + first // 5_000 + 1
                )
        service.until(lambda: site.received == rows + rows // 5_000)
        assert service.memory < 256 * 2**20
        service.stop()
    outcome = site.outcome()
    assert (outcome.tally["passed_on"], len(outcome.letters)) == (rows, rows // 5_000)
    assert len(outcome.verdicts) + outcome.waiting == rows
