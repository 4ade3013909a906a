"""Alerts reach every sink that works; names stay on the machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tocsin import log
from tocsin.errors import DeliveryError
from tocsin.records import Alert
from tocsin.scoring.delivery import Delivery
from tocsin.sinks.base import Sink


class Kept(Sink):
    """Remembers what it was given, or fails."""

    def __init__(self, *, stays: bool = True, fails: bool = False) -> None:
        self.stays, self.fails = stays, fails
        self.got: list[str] = []
        self.life: list[str] = []

    @property
    def stays_here(self) -> bool:  # type: ignore[override]  # a sink of either kind
        return self.stays

    def open(self) -> None:
        self.life.append("open")

    def write(self, alerts: Sequence[Alert]) -> None:
        if self.fails:
            raise DeliveryError("kept", "no", "yes")
        self.got += [alert.entity for alert in alerts]

    def close(self) -> None:
        self.life.append("close")


ALERT = Alert("a", "pseudonym", 1, 2, 1, 1.0, 0.1, "low", "ready", "m", ())


def named(pseudonym: str) -> str:
    return f"the name of {pseudonym}"


def send(sinks: Sequence[Sink], then: Callable[[], object] = lambda: None) -> None:
    with Delivery(sinks, named) as delivery:
        delivery.send([ALERT])
        delivery.send([ALERT])
        then()


def test_names_go_only_where_they_stay_on_this_machine() -> None:
    here, away = Kept(), Kept(stays=False)
    with Delivery([here, away], named) as delivery:
        delivery.send([ALERT])
    assert (here.got, away.got) == (["the name of pseudonym"], ["pseudonym"])


def test_a_sink_that_fails_stops_no_other_and_is_told_at_once_and_at_the_end() -> None:
    broken, working = Kept(fails=True), Kept()
    before = log.counters().get('tocsin_sinks_failed_total{sink="Kept"}', 0)
    with pytest.raises(DeliveryError):
        send([broken, working])
    assert log.counters()['tocsin_sinks_failed_total{sink="Kept"}'] == before + 1
    assert len(working.got) == 2
    assert broken.life == working.life == ["open", "close"]


def test_another_error_is_not_hidden_by_a_delivery_that_failed() -> None:
    broken = Kept(fails=True)
    with pytest.raises(ZeroDivisionError):
        send([broken], lambda: 1 / 0)
    assert broken.life == ["open", "close"]


def test_nothing_is_sent_where_nothing_rings() -> None:
    sink = Kept(fails=True)
    with Delivery([sink], named) as delivery:
        delivery.send([])
    assert sink.life == ["open", "close"]
