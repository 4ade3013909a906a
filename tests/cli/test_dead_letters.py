"""What a service refused is told with its reason, and given to it once more when somebody asks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from tests.journeys.service import START, Site, event, events

from tocsin.errors import DataError
from tocsin.journal.stored import Stored
from tocsin.records import Rejected
from tocsin.schema.record_text import MAX_RECORD, is_cut
from tocsin.system.replaying import REQUEST, Request, ask, read_request, rows_of

Tocsin = Callable[..., CompletedProcess[str]]
ROWS = 60
BAD = 5


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site.made(tmp_path_factory.mktemp("trained") / "site", np.random.default_rng(20261128))


@pytest.fixture
def site(trained: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> Site:
    """A site whose schema allows less than what comes: some rows are refused, and a line that is none."""
    made = trained.copied(tmp_path / "site", '  source: {type: jsonl, path: "live/*.jsonl"}\n')
    lines = events(rng, ROWS, first=10_000)
    lines[10:15] = [event(10_010 + place, "host-1", -5.0, START) for place in range(BAD)]
    (made.folder / "live" / "a.jsonl").write_bytes(b"".join([*lines, b"\x1b[31mno json\n"]))
    monkeypatch.chdir(made.folder)
    return made


def served_once(site: Site) -> None:
    with site.serve("--once") as service:
        service.process.wait(90)


def letters(site: Site) -> dict[str, int]:
    return Stored.beside(site.folder / ".tocsin" / "stream").letters_by_reason()


def test_what_was_refused_is_told_by_reason_and_one_by_one(site: Site, tocsin: Tocsin) -> None:
    served_once(site)
    shown = tocsin("dead-letters", "list")
    assert shown.returncode == 0
    assert "out_of_range" in shown.stdout
    assert "not_json" in shown.stdout
    assert "\x1b" not in shown.stdout
    told = json.loads(tocsin("dead-letters", "list", "--json", "--reason", "out_of_range").stdout)
    assert told["reasons"] == {"not_json": 1, "out_of_range": BAD}
    assert [json.loads(letter["raw"])["number"] for letter in told["letters"]] == [
        10_014,
        10_013,
        10_012,
        10_011,
        10_010,
    ]


def test_rows_that_fit_now_are_passed_on_and_their_letters_go(site: Site, tocsin: Tocsin) -> None:
    served_once(site)
    config = site.folder / "tocsin.yaml"
    config.write_text(config.read_text().replace("minimum: 0}", "minimum: -10}"))
    with site.serve() as service:
        service.ready()
        done = tocsin("dead-letters", "replay", "--reason", "out_of_range", "--wait", "60s", "--json")
        service.stop()
    answer = json.loads(done.stdout)["answer"]
    assert (answer["replayed"], answer["passed_on"], done.returncode) == (BAD, BAD, 0)
    assert letters(site) == {"not_json": 1}


def test_rows_that_are_refused_again_stay_letters(site: Site, tocsin: Tocsin) -> None:
    served_once(site)
    with site.serve() as service:
        service.ready()
        done = tocsin("dead-letters", "replay", "--wait", "60s")
        service.stop()
    assert (done.returncode, done.stdout) == (0, f"Rows given once more: {BAD}. Passed on: 0. Refused again: {BAD}.\n")
    assert letters(site) == {"not_json": 1, "out_of_range": BAD}


def test_a_request_waits_for_the_next_service_and_a_second_one_is_refused(site: Site, tocsin: Tocsin) -> None:
    served_once(site)
    waits = tocsin("dead-letters", "replay", "--wait", "300ms")
    assert (waits.returncode, "the next that starts" in waits.stdout) == (1, True)
    assert tocsin("dead-letters", "replay").returncode == 1
    with site.serve() as service:
        service.until(lambda: not (site.folder / ".tocsin" / "stream" / REQUEST).exists())
        service.stop()
    assert letters(site)["out_of_range"] == BAD


def test_a_request_that_is_no_request_harms_nobody(site: Site) -> None:
    served_once(site)
    (site.folder / ".tocsin" / "stream" / REQUEST).write_bytes(b"\xff" * 100_000)
    with site.serve() as service:
        service.ready()
        service.pause(1.0)
        service.stop()


@pytest.mark.parametrize("text", ["[]", '{"id": 1}', '{"id": "1", "reason": ["not_json"]}'])
def test_what_is_no_request_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / REQUEST).write_text(text, "utf-8")
    with pytest.raises(DataError, match="wanted what"):
        read_request(tmp_path)


def test_records_come_again_as_the_source_gave_them() -> None:
    kept = [Rejected("a", 7, "x", "", '{"m.n":2,"s":"t"}'), Rejected("a", 3, "x", "", '{"m.n":1,"s":"r"}')]
    (batch,) = rows_of(kept)
    assert (batch["m.n"].tolist(), batch["s"].tolist(), batch["_row"].tolist()) == ([1, 2], ["r", "t"], [3, 7])
    assert set(batch["_file"]) == {"a"}


def test_a_record_that_was_cut_is_known_as_one() -> None:
    assert is_cut("x" * MAX_RECORD)
    assert not is_cut("x" * (MAX_RECORD - 1))


def test_requests_are_for_their_owner_alone(tmp_path: Path) -> None:
    ask(tmp_path, Request("1", "out_of_range"))
    assert (tmp_path / REQUEST).stat().st_mode & 0o777 == 0o600


def test_where_no_service_has_run_nothing_was_refused(folder: Path, tocsin: Tocsin) -> None:
    (folder / "tocsin.yaml").write_text("version: 1\nname: x\npreset: flows\nsource: {type: csv, path: a.csv}\n")
    shown = tocsin("dead-letters", "list")
    assert (shown.returncode, shown.stdout) == (0, f"No service has run in {Path('.tocsin/stream')} yet.\n")
    told = tocsin("dead-letters", "list", "--json")
    assert (told.returncode, json.loads(told.stdout)) == (0, {"reasons": {}, "letters": []})
