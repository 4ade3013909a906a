"""Alerts leave through one thread per sink: none waits for another, and none is dropped in silence."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from tocsin import log
from tocsin.checks.sink import example_alert
from tocsin.errors import AlertRefused, DeliveryError
from tocsin.journal import Receipt
from tocsin.records import DAY, Alert
from tocsin.scoring import outbox as outboxes
from tocsin.scoring.outbox import Outbox
from tocsin.sinks.base import Sink

NOW = 1_790_000_000_000_000


class Moody(Sink):
    """Fails as often as it is told, then takes everything; may be held up."""

    def __init__(self, *, fails: int = 0, stays: bool = False, broken: bool = False, never: str = "") -> None:
        self.fails, self.stays, self.broken, self.never = fails, stays, broken, never
        self.got: list[str] = []
        self.entities: list[str] = []
        self.goes = threading.Event()
        self.goes.set()

    @property
    def stays_here(self) -> bool:  # type: ignore[override]  # a sink of either kind
        return self.stays

    def write(self, alerts: Sequence[Alert]) -> None:
        self.goes.wait(10.0)
        if self.fails:
            self.fails -= 1
            if self.broken:
                raise RuntimeError("a fault in a library")
            raise DeliveryError("moody", "status 503", "status 200")
        if self.never in [alert.id for alert in alerts]:
            raise DeliveryError("moody", "status 400", "status 200")
        self.got += [alert.id for alert in alerts]
        self.entities += [alert.entity for alert in alerts]


def alerts(number: int) -> list[Alert]:
    return [example_alert(item) for item in range(number)]


def settled(outbox: Outbox, number: int, journal: Sequence[Alert] = ()) -> list[Receipt]:
    """Receipts, once there are so many; meanwhile what waits in a journal is handed over."""
    found: list[Receipt] = []
    until = time.monotonic() + 10.0
    while len(found) < number and time.monotonic() < until:
        found += outbox.receipts()
        done = {receipt.alert for receipt in found}
        left = [(alert, NOW) for alert in journal if alert.id not in done]
        outbox.refill(lambda _sink, _limit, _behind, left=left: left)  # type: ignore[misc]  # a default binds it here
        time.sleep(0.001)
    return found


@pytest.fixture
def begin() -> Callable[..., Outbox]:
    """Start an outbox that has nothing to catch up with."""

    def start(now: Callable[[], int] = lambda: NOW, **sinks: Sink) -> Outbox:
        outbox = Outbox(sinks, lambda pseudonym: f"name of {pseudonym}", now, first_wait_s=0.001)
        outbox.start()
        outbox.refill(lambda _sink, _limit, _behind: [])
        return outbox

    return start


def test_every_sink_gets_every_alert_once_and_in_order(begin: Callable[..., Outbox]) -> None:
    one, other = Moody(stays=True), Moody()
    outbox = begin(one=one, other=other)
    outbox.offer(alerts(250), NOW)
    receipts = settled(outbox, 500)
    outbox.stop(5.0)
    assert one.got == other.got == [alert.id for alert in alerts(250)]
    assert {receipt.outcome for receipt in receipts} == {"delivered"}
    assert one.entities[0] == "name of host 0"
    assert other.entities[0] == "host 0"


@pytest.mark.parametrize("broken", [False, True])
def test_what_a_sink_refuses_is_tried_until_it_is_taken(begin: Callable[..., Outbox], broken: bool) -> None:
    sink = Moody(fails=5, broken=broken)
    before = log.counters().get('tocsin_deliveries_put_off_total{sink="sink"}', 0)
    outbox = begin(sink=sink)
    outbox.offer(alerts(3), NOW)
    assert len(settled(outbox, 3, alerts(3))) == 3
    outbox.stop(5.0)
    assert sorted(sink.got) == [alert.id for alert in alerts(3)]
    assert log.counters()['tocsin_deliveries_put_off_total{sink="sink"}'] == before + 5


class Stuck(Moody):
    """Cannot even be closed: a disk that is gone says so once more then."""

    def close(self) -> None:
        raise OSError("input/output error")


def test_a_sink_that_cannot_be_closed_is_tried_on(begin: Callable[..., Outbox]) -> None:
    sink = Stuck(fails=2)
    outbox = begin(sink=sink)
    outbox.offer(alerts(1), NOW)
    assert len(settled(outbox, 1, alerts(1))) == 1
    outbox.stop(5.0)
    assert sink.got == [alert.id for alert in alerts(1)]


def test_a_sink_that_hangs_holds_up_no_other(begin: Callable[..., Outbox]) -> None:
    hangs, works = Moody(), Moody()
    hangs.goes.clear()
    outbox = begin(hangs=hangs, works=works)
    outbox.offer(alerts(2), NOW)
    assert [receipt.sink for receipt in settled(outbox, 2)] == ["works", "works"]
    assert outbox.waiting == {"hangs": 2, "works": 0}
    hangs.goes.set()
    outbox.stop(5.0)
    assert hangs.got == works.got


def test_what_finds_no_room_comes_from_the_journal_in_its_turn(
    begin: Callable[..., Outbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outboxes, "MOST_QUEUED", 10)
    sink = Moody()
    sink.goes.clear()
    outbox = begin(sink=sink)
    journal = {alert.id: alert for alert in alerts(35)}

    def waiting(_sink: str, limit: int, _behind: str) -> list[tuple[Alert, int]]:
        return [(alert, NOW) for alert in journal.values()][:limit]

    outbox.offer(alerts(25), NOW)
    outbox.offer(alerts(35)[25:], NOW)
    assert outbox.waiting == {"sink": 10}
    sink.goes.set()
    until = time.monotonic() + 10.0
    while journal and time.monotonic() < until:
        for receipt in outbox.receipts():
            del journal[receipt.alert]
        outbox.refill(waiting)
    outbox.stop(5.0)
    assert sink.got == [alert.id for alert in alerts(35)]


def test_after_a_day_an_alert_is_given_up_and_the_next_one_is_tried(begin: Callable[..., Outbox]) -> None:
    sink = Moody(fails=2)
    outbox = begin(lambda: NOW + 2 * DAY, sink=sink)
    old, new = alerts(2)
    sink.goes.clear()
    outbox.offer([old], NOW)
    outbox.offer([new], NOW + 2 * DAY)
    sink.goes.set()
    receipts = settled(outbox, 2)
    outbox.stop(5.0)
    assert receipts == [Receipt(old.id, "sink", "given_up"), Receipt(new.id, "sink", "delivered")]


def test_an_alert_that_is_always_refused_holds_up_no_other(begin: Callable[..., Outbox]) -> None:
    poison, *others = alerts(60)
    sink = Moody(never=poison.id)
    outbox = begin(sink=sink)
    outbox.offer([poison, *others[:40]], NOW)
    assert len(settled(outbox, 40, [poison])) == 40
    outbox.offer(others[40:], NOW)
    assert len(settled(outbox, 19, [poison])) == 19
    assert outbox.waiting == {"sink": 1}
    outbox.stop(5.0)
    assert sink.got == [alert.id for alert in others]


class Picky(Sink):
    """Answers, and will not have some alerts; that can change."""

    def __init__(self, refused: set[str]) -> None:
        self.refused, self.got = refused, list[str]()

    def write(self, alerts: Sequence[Alert]) -> None:
        fresh = [alert.id for alert in alerts if alert.id not in self.got]
        self.got += [id for id in fresh if id not in self.refused]
        if not self.refused.isdisjoint(fresh):
            raise AlertRefused("picky", "status 400", "status 200")


def test_thousands_of_refused_alerts_hold_up_no_other_and_come_once_they_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (("MOST_QUEUED", 20), ("RETRIED", 7), ("LONGEST_WAIT_S", 0.002)):
        monkeypatch.setattr(outboxes, name, value)
    every = [alert.id for alert in alerts(130)]
    bad, journal = set(every[:100]), {alert.id: alert for alert in alerts(130)}
    sink = Picky(set(bad))
    outbox = Outbox({"sink": sink}, str, lambda: NOW, first_wait_s=0.001)
    outbox.start()

    def waiting(_sink: str, limit: int, behind: str) -> list[tuple[Alert, int]]:
        first = every.index(behind) + 1 if behind else 0
        return [(journal[id], NOW) for id in every[first:] if id in journal][:limit]

    def deliver(until: Callable[[], bool]) -> None:
        end = time.monotonic() + 20.0
        while not until() and time.monotonic() < end:
            for receipt in outbox.receipts():
                del journal[receipt.alert]
            outbox.refill(waiting)

    deliver(lambda: set(journal) == bad)
    assert sink.got == every[100:]
    deliver(lambda: outbox.waiting == {"sink": 100})
    assert outbox.waiting == {"sink": 100}
    new = replace(example_alert(), id="new")
    journal["new"] = new
    every.append("new")
    outbox.offer([new], NOW)
    deliver(lambda: "new" not in journal)
    assert sink.got == every[100:]
    sink.refused.clear()
    deliver(lambda: not journal)
    outbox.stop(5.0)
    assert sorted(sink.got) == sorted(every)
    assert outbox.waiting == {"sink": 0}


def test_a_service_that_stops_does_not_wait_for_a_sink_that_refuses(begin: Callable[..., Outbox]) -> None:
    sink = Moody(fails=10**9)
    outbox = begin(sink=sink)
    outbox.offer(alerts(3), NOW)
    outbox.stop(5.0)
    assert sink.got == []
    assert outbox.receipts() == []


def test_a_quiet_outbox_asks_the_journal_once(begin: Callable[..., Outbox]) -> None:
    outbox = begin(sink=Moody())
    asked: list[str] = []
    outbox.refill(lambda sink, _limit, _behind: asked.append(sink) or [])  # type: ignore[func-returns-value]  # append gives None
    outbox.stop(5.0)
    assert asked == []


def test_the_journal_is_asked_at_the_start() -> None:
    sink = Moody()
    outbox = Outbox({"sink": sink}, str, lambda: NOW, 0.001)
    outbox.start()
    left = [replace(example_alert(), id="left by a killed service")]
    outbox.refill(lambda _sink, _limit, _behind: [(alert, NOW) for alert in left])
    assert len(settled(outbox, 1)) == 1
    outbox.stop(5.0)
    assert sink.got == ["left by a killed service"]
