"""Alerts on their way out of a running service: one thread per sink, so that none waits for another.

A thread never touches the journal. It takes alerts from a bounded queue, writes them until the sink has taken them,
later each time, and leaves a receipt; the stream commits the receipts and hands over what is still waiting. Alerts that
a sink refuses alone wait in the journal, however many they are, and some at a time are tried again once nothing else is
left.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from tocsin import observe
from tocsin.errors import AlertRefused, DeliveryError
from tocsin.journal import Receipt
from tocsin.observe import live
from tocsin.records import SECOND, Alert
from tocsin.sinks.base import Sink

MOST_QUEUED = 1_000
"""Alerts in the queue of a sink; what is beyond waits in the journal."""
TOGETHER = 100
"""Alerts of one write."""
RETRIED = 100
"""Refused alerts that are tried again at a time."""
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 300.0
GIVE_UP_S = 86_400.0
"""After so long nobody would still be woken; the alert stays in the journal."""

Waiting = tuple[Alert, int]
"""An alert, and when it was committed: UTC microseconds."""


class Outbox:
    """Delivers alerts to every sink.

    Parameters
    ----------
    sinks
        Not yet open, by name.
    name
        The name behind a pseudonym; told only to sinks whose alerts stay on this machine.
    now
        The time of day, UTC microseconds.
    first_wait_s
        Before the second try.
    """

    def __init__(
        self,
        sinks: Mapping[str, Sink],
        name: Callable[[str], str],
        now: Callable[[], int],
        first_wait_s: float = FIRST_WAIT_S,
    ) -> None:
        self._carriers = {key: _Carrier(key, sink, name, now, first_wait_s) for key, sink in sinks.items()}

    def start(self) -> None:
        """Begin to deliver."""
        for carrier in self._carriers.values():
            carrier.thread.start()

    def offer(self, alerts: Sequence[Alert], committed: int) -> None:
        """Alerts that were committed just now, for every sink."""
        for carrier in self._carriers.values():
            carrier.offer([(alert, committed) for alert in alerts])

    def refill(self, waiting: Callable[[str, int, str], Sequence[Waiting]]) -> None:
        """Hand over what waits in the journal to sinks that have nothing left; all receipts must be committed.

        Parameters
        ----------
        waiting
            What a sink has not taken, so many at most, behind the alert of an id: see `Stored.waiting`.
        """
        for key, carrier in self._carriers.items():
            if carrier.hungry:
                carrier.refill(waiting(key, MOST_QUEUED, carrier.last))
            elif carrier.tries_again:
                carrier.try_again(waiting(key, RETRIED, carrier.last_retried))

    def receipts(self) -> list[Receipt]:
        """What became of alerts since the last call."""
        return [receipt for carrier in self._carriers.values() for receipt in carrier.receipts()]

    @property
    def waiting(self) -> dict[str, int]:
        """Alerts in the queue of each sink."""
        return {key: carrier.queued for key, carrier in self._carriers.items()}

    def stop(self, timeout_s: float) -> None:
        """Deliver what can be delivered at once, within so long for all sinks; the rest waits in the journal."""
        until = time.monotonic() + timeout_s
        for carrier in self._carriers.values():
            carrier.stop()
        for carrier in self._carriers.values():
            carrier.thread.join(max(until - time.monotonic(), 0.0))


class _Carrier:
    """One sink, its queue and its thread."""

    def __init__(
        self, key: str, sink: Sink, name: Callable[[str], str], now: Callable[[], int], first_wait_s: float
    ) -> None:
        self._key = key
        self._sink = sink
        self._name = name
        self._now = now
        self._first_wait_s = first_wait_s
        self._wait_s = first_wait_s
        self._queue: deque[Waiting] = deque()
        self.last = self.last_retried = ""
        """Ids up to which the journal was read, for the queue and for those that are tried again."""
        self._refused = 0
        """Alerts that were refused alone: whoever comes later does not wait for them."""
        self._retries: deque[Waiting] = deque()
        """Some of these, to be tried again when the queue is empty."""
        self._again_at = 0.0
        """When the next of these are, on a clock that only grows."""
        self._retry = False
        """What is being written is one of them."""
        self._size = TOGETHER
        self._in_hand = 0
        """Alerts that are being written."""
        self._receipts: list[Receipt] = []
        self._behind = True
        """The journal may hold more than the queue."""
        self._unsettled = 0
        """Alerts whose receipt was not fetched yet."""
        self._ends = False
        self._changed = threading.Condition()
        self.thread = threading.Thread(target=self._run, name=f"sink {key}", daemon=True)

    @property
    def queued(self) -> int:
        with self._changed:
            return len(self._queue) + self._refused + (0 if self._retry else self._in_hand)

    @property
    def hungry(self) -> bool:
        with self._changed:
            return self._behind and self._idle

    @property
    def tries_again(self) -> bool:
        """Whether all that waits in the journal was refused before, and some of it is due."""
        with self._changed:
            due = self._refused > 0 and time.monotonic() >= self._again_at
            return due and not self._behind and not self._retries and self._idle

    @property
    def _idle(self) -> bool:
        return not (self._queue or self._in_hand or self._unsettled)

    def offer(self, alerts: Sequence[Waiting]) -> None:
        with self._changed:
            if self._behind or not alerts:
                return  # they come in their turn, from the journal
            taken = alerts[: max(MOST_QUEUED - len(self._queue) - self._in_hand, 0)]
            self._take(taken)
            self._behind = len(taken) < len(alerts)

    def refill(self, alerts: Sequence[Waiting]) -> None:
        with self._changed:
            self._take(alerts)
            self._behind = len(alerts) >= MOST_QUEUED

    def _take(self, alerts: Sequence[Waiting]) -> None:
        self._queue.extend(alerts)
        self.last = alerts[-1][0].id if alerts else self.last
        self._changed.notify()

    def try_again(self, alerts: Sequence[Waiting]) -> None:
        with self._changed:
            if not alerts and not self.last_retried:
                self._refused = 0  # they are kept no longer
            self._retries.extend(alerts)
            self.last_retried = alerts[-1][0].id if len(alerts) >= RETRIED else ""
            self._again_at = time.monotonic() + self._wait_s
            self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
            self._changed.notify()

    def receipts(self) -> list[Receipt]:
        with self._changed:
            found, self._receipts = self._receipts, []
            self._unsettled -= len(found)
            return found

    def stop(self) -> None:
        with self._changed:
            self._ends = True
            self._changed.notify()

    def _run(self) -> None:
        is_open = False
        while (together := self._next()) is not None:
            try:
                if not is_open:
                    self._sink.open()
                    is_open = True
                self._sink.write([self._shown(alert) for alert, _ in together])
            except AlertRefused as error:
                self._set_apart(together, error.problem.got)
            except Exception as error:  # noqa: BLE001  # whatever a sink's library raises, the alert is not delivered
                self._close()
                is_open = False
                self._put_off(together, _why(error))
            else:
                observe.alerts_sent(self._key, len(together))
                self._settle([Receipt(alert.id, self._key, "delivered") for alert, _ in together])
                self._size = min(2 * self._size, TOGETHER)
        self._close()

    def _close(self) -> None:
        with suppress(Exception):  # the thread goes on, and what was not delivered is tried once more
            self._sink.close()

    def _shown(self, alert: Alert) -> Alert:
        return alert.named(self._name) if self._sink.shows_names else alert

    def _next(self) -> list[Waiting] | None:
        """The next alerts; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._retries or self._ends)
            self._retry = not self._queue and not self._ends
            if self._retry:
                self._in_hand = 1
                return [self._retries.popleft()]
            self._in_hand = min(self._size, len(self._queue))
            return [self._queue.popleft() for _ in range(self._in_hand)] or None

    def _settle(self, receipts: list[Receipt]) -> None:
        with self._changed:
            self._in_hand = 0
            if self._retry:
                self._refused = max(self._refused - 1, 0)
            else:
                self._wait_s = self._first_wait_s
            self._unsettled += len(receipts)
            self._receipts += receipts

    def _set_apart(self, together: list[Waiting], reason: str) -> None:
        """The sink answers: find out which of several it refuses, and let that one wait behind all others."""
        if self._given_up(together):
            return
        live.delivery_put_off(self._key, len(together), self._wait_s, reason)
        with self._changed:
            self._leave(together)

    def _put_off(self, together: list[Waiting], reason: str) -> None:
        """The sink may be down: as `_set_apart`, and later each time."""
        if self._given_up(together):
            return
        live.delivery_put_off(self._key, len(together), self._wait_s, reason)
        with self._changed:
            self._leave(together)
            self._changed.wait_for(lambda: self._ends, self._wait_s)
            if self._ends:  # what nobody took waits in the journal
                self._queue.clear()
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)

    def _given_up(self, together: list[Waiting]) -> bool:
        """Whether one alone is so old that nobody wants it any more."""
        alert, committed = together[0]
        if len(together) > 1 or committed >= self._now() - round(GIVE_UP_S * SECOND):
            return False
        live.delivery_given_up(self._key, 1)
        self._settle([Receipt(alert.id, self._key, "given_up")])
        return True

    def _leave(self, together: list[Waiting]) -> None:
        self._in_hand = 0
        if len(together) > 1:
            self._queue.extendleft(reversed(together))
            self._size = 1
        elif not self._retry:
            if not self._refused:
                self._again_at = time.monotonic() + self._wait_s
            self._refused += 1  # it lies in the journal


def _why(error: Exception) -> str:
    return error.problem.got if isinstance(error, DeliveryError) else f"{type(error).__name__}: {error}"
