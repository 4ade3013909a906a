"""A step of a service is kept together or not at all, and an alert enters but once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import isnan
from pathlib import Path

import numpy as np
import pytest

from tocsin import log
from tocsin.checks.sink import example_alert
from tocsin.config import KeepConfig
from tocsin.errors import ConflictError, NotStored
from tocsin.journal import Journal, Progress, Receipt, RowVerdict, Step
from tocsin.journal import journal as journals
from tocsin.journal.stored import Stored
from tocsin.records import DAY, Batch, Position, Rejected

NOW = 1_790_000_000_000_000
SINKS = ("jsonl", "webhook")
Open = Callable[..., Journal]


class Clock:
    """The time of day, as a test sets it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(tmp_path: Path, clock: Clock) -> Iterator[Journal]:
    with Journal(tmp_path, SINKS, KeepConfig(), clock) as journal:
        yield journal


def test_a_new_journal_has_come_nowhere(opened: Journal) -> None:
    assert opened.stored.progress() == Progress()
    assert opened.sequence == 0


def test_all_of_a_step_is_told_afterwards(opened: Journal, tmp_path: Path) -> None:
    position = Position("csv", {"a.csv": 7})
    verdict = RowVerdict(5, "e", "a.csv:7", 3.5, 0.25, True, "ready")
    refused = Rejected("a.csv", 6, "out_of_range", "bytes: got -1", "-1")
    alert = example_alert()
    step = Step(position, {"received": 2}, "digest", (), (alert,), (refused,), (verdict,))
    assert opened.commit(step) == (alert,)
    for stored in (opened.stored, Stored.beside(tmp_path)):
        assert stored.progress() == Progress(1, position, {"received": 2}, "digest", NOW)
        (kept,) = stored.alerts()
        assert kept.outcomes == {"jsonl": "", "webhook": ""}
        assert isnan(kept.alert.reasons[1].value)
        assert replace(kept.alert, reasons=alert.reasons) == alert
        assert kept.alert.reasons[0] == alert.reasons[0]
        assert stored.letters() == [refused]
        assert stored.letters_by_reason() == {"out_of_range": 1}
        assert stored.letters("not_json") == []
        (row,) = stored.verdicts()
        assert (row["origin"], row["p_value"], row["model"]) == ("a.csv:7", 0.25, "digest")


def test_what_comes_again_enters_once(opened: Journal) -> None:
    refused = Rejected("a.csv", 6, "out_of_range", "bytes: got -1", "-1")
    verdicts = [RowVerdict(time, "e", f"a.csv:{row}", 3.5, 0.25, True, "ready") for row, time in ((7, 5), (8, None))]
    step = Step(alerts=(example_alert(),), refused=(refused,), verdicts=verdicts)
    assert len(opened.commit(step)) == 1
    assert opened.commit(step) == ()
    assert len(opened.stored.alerts()) == len(opened.stored.letters()) == 1
    assert len(opened.stored.verdicts()) == 2


def test_a_quiet_alert_is_kept_and_waits_for_no_sink(opened: Journal) -> None:
    assert opened.commit(Step(alerts=(replace(example_alert(), quiet="silenced"),))) == ()
    (kept,) = opened.stored.alerts()
    assert kept.outcomes == {}
    assert opened.stored.waiting("jsonl", 10) == []
    assert opened.stored.quiet() == {"silenced": 1}


def test_an_alert_that_was_silenced_before_a_kill_rings_when_its_silence_is_over(opened: Journal) -> None:
    alert = example_alert()
    assert opened.commit(Step(alerts=(replace(alert, quiet="silenced"),))) == ()
    assert opened.commit(Step(alerts=(replace(alert, quiet="silenced"),))) == ()
    assert opened.commit(Step(alerts=(alert,))) == (alert,)
    assert opened.commit(Step(alerts=(alert,))) == ()
    assert [item.id for item, _ in opened.stored.waiting("jsonl", 10)] == [alert.id]


def test_an_alert_waits_until_each_sink_has_taken_it(opened: Journal, clock: Clock) -> None:
    for number in range(3):
        clock.now += 1
        opened.commit(Step(alerts=(example_alert(number),)))
    first, second, third = (example_alert(number).id for number in range(3))
    receipts = (Receipt(first, "jsonl", "delivered"), Receipt(second, "jsonl", "given_up"))
    opened.commit(Step(receipts=receipts))
    assert [alert.id for alert, _ in opened.stored.waiting("jsonl", 10)] == [third]
    assert [alert.id for alert, _ in opened.stored.waiting("webhook", 2)] == [first, second]
    assert opened.stored.deliveries() == {
        "jsonl": {"waiting": 1, "delivered": 1, "given_up": 1},
        "webhook": {"waiting": 3},
    }


@pytest.mark.parametrize(
    ("before", "after", "goes_to"),
    [
        (("webhook", "webhook-2"), ("webhook:a", "webhook:b"), ("webhook:a", "webhook:b")),  # keys had no addresses
        (("webhook:a", "webhook:b"), ("webhook:b", "webhook:a"), ("webhook:a", "webhook:b")),
        (
            ("webhook:a", "webhook:b"),
            ("webhook:c", "webhook:b"),
            ("webhook:c", "webhook:b"),
        ),  # a wrong address is mended
        (("webhook:a", "jsonl:b"), ("jsonl:b", "jsonl:c"), ("webhook:a", "jsonl:b")),
        (("webhook-2:a",), ("webhook:a",), ("webhook-2:a",)),  # a part of somebody else may be called so
    ],
)
def test_what_waits_follows_its_sink(
    tmp_path: Path, clock: Clock, before: tuple[str, ...], after: tuple[str, ...], goes_to: tuple[str, ...]
) -> None:
    ids = [example_alert(number).id for number in range(len(before))]
    with Journal(tmp_path, before, KeepConfig(), clock) as journal:
        for number, id in enumerate(ids):
            journal.commit(Step(alerts=(example_alert(number),)))
            taken = [Receipt(id, sink, "delivered") for sink in before if sink != before[number]]
            journal.commit(Step(receipts=taken))
    with Journal(tmp_path, after, KeepConfig(), clock) as journal:
        for sink, id in zip(goes_to, ids, strict=True):
            assert [alert.id for alert, _ in journal.stored.waiting(sink, 10)] == [id]


def test_alerts_of_one_step_wait_in_the_order_in_which_they_rang(opened: Journal) -> None:
    rang = [replace(example_alert(), id=id) for id in ("c", "a", "b")]
    opened.commit(Step(alerts=rang))
    assert [alert.id for alert, _ in opened.stored.waiting("jsonl", 10)] == ["c", "a", "b"]


def test_an_alert_that_waits_for_a_sink_that_is_gone_is_kept_no_longer_than_others(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "_TIDY_EVERY", 1)
    with Journal(tmp_path, SINKS, KeepConfig(), clock) as journal:
        journal.commit(Step(alerts=(example_alert(),)))
        journal.commit(Step(receipts=(Receipt(example_alert().id, "jsonl", "delivered"),)))
    clock.now += 365 * DAY
    with Journal(tmp_path, ("jsonl",), KeepConfig(), clock) as journal:
        journal.commit(Step())
        assert journal.stored.alerts() == []


def test_accepted_rows_are_replayed_in_order_until_a_checkpoint_holds_them(opened: Journal) -> None:
    batches = [Batch({"value": np.arange(number, dtype=np.float64)}) for number in range(1, 30)]
    for number in range(0, len(batches), 2):
        opened.commit(Step(Position("nats", {"s": number}), {"received": 1}, accepted=batches[number : number + 2]))
    assert [batch.rows for batch in opened.accepted(0)] == list(range(1, 30))
    assert [batch.rows for batch in opened.accepted(3)] == list(range(7, 30))
    opened.forget_accepted(3)
    assert [batch.rows for batch in opened.accepted(0)] == list(range(7, 30))


def test_a_step_that_cannot_be_written_leaves_nothing(opened: Journal) -> None:
    wrong = Batch({"value": np.array([{1, 2}], dtype=object)})
    opened.commit(Step(Position("csv", {"a.csv": 1}), {"received": 1}))
    with pytest.raises(TypeError):
        opened.commit(Step(Position("csv", {"a.csv": 2}), {"received": 2}, "", (wrong,), (example_alert(),)))
    assert opened.stored.alerts() == []
    assert opened.stored.progress().position == Position("csv", {"a.csv": 1})


def test_what_is_kept_no_longer_goes_but_never_an_alert_that_waits(
    opened: Journal, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "_TIDY_EVERY", 2)
    refused = Rejected("a.csv", 6, "out_of_range", "", "")
    verdict = RowVerdict(5, "e", "a.csv:7", 3.5, 0.25, True, "ready")
    opened.commit(Step(alerts=(example_alert(1), example_alert(2)), refused=(refused,), verdicts=(verdict,)))
    taken = tuple(Receipt(example_alert(1).id, sink, "delivered") for sink in SINKS)
    opened.commit(Step(receipts=taken))
    clock.now += 8 * DAY
    opened.commit(Step(alerts=(example_alert(3),)))
    opened.commit(Step())
    assert (opened.stored.letters(), opened.stored.verdicts()) == ([], [])
    assert len(opened.stored.alerts()) == 3
    clock.now += 180 * DAY
    opened.commit(Step())
    opened.commit(Step())
    assert {kept.alert.id for kept in opened.stored.alerts()} == {example_alert(2).id, example_alert(3).id}


def test_refused_rows_are_bounded(opened: Journal, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "_TIDY_EVERY", 1)
    monkeypatch.setattr(journals, "MOST_LETTERS", 3)
    before = log.counters().get("tocsin_letters_given_up_total", 0)
    for row in range(1, 10):
        clock.now += 1
        opened.commit(Step(refused=(Rejected("a.csv", row, "not_json", "", "{"),)))
    assert [item.row for item in opened.stored.letters()] == [9, 8, 7, 6]
    assert log.counters()["tocsin_letters_given_up_total"] == before + 5


@pytest.mark.parametrize(("commits", "rows"), [(1, 1_000), (1_000, 2)])
def test_verdicts_are_bounded(
    opened: Journal, clock: Clock, monkeypatch: pytest.MonkeyPatch, commits: int, rows: int
) -> None:
    monkeypatch.setattr(journals, "_TIDY_EVERY", commits)
    monkeypatch.setattr(journals, "_TIDY_ROWS", rows)
    monkeypatch.setattr(journals, "MOST_VERDICTS", 3)
    before = log.counters().get("tocsin_verdicts_given_up_total", 0)
    for row in range(1, 11):
        clock.now += 1
        opened.commit(Step(verdicts=(RowVerdict(row, "e", f"a.csv:{row}", 3.5, 0.25, True, "ready"),)))
    assert [item["time"] for item in opened.stored.verdicts()] == [10, 9, 8, 7]
    assert log.counters()["tocsin_verdicts_given_up_total"] == before + 6


def test_names_that_are_no_text_are_kept_as_escapes(opened: Journal) -> None:
    alert = replace(example_alert(), entity="half \ud800", origin="\udcff:1")
    opened.commit(Step(alerts=(alert,), refused=(Rejected("\udcff", 1, "x", "\ud800", "\ud800"),)))
    (kept,) = opened.stored.alerts()
    assert kept.alert.entity == "half \\ud800"
    assert opened.stored.letters()[0].file == "\\udcff"


def test_a_second_service_is_refused_while_the_first_one_works(opened: Journal, tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(ConflictError):
        Journal(tmp_path, SINKS, KeepConfig(), clock)


def test_looking_where_no_service_ever_worked_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotStored):
        Stored.beside(tmp_path).progress()
