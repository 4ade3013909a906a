"""Alerts on their way out of a running service: one thread per sink, so that none waits for another.

A thread never touches the journal. It takes alerts from a bounded queue, writes them until the sink has taken them,
later each time, and leaves a receipt; the stream commits the receipts and hands over what is still waiting.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from tocsin import observe
from tocsin.errors import DeliveryError
from tocsin.journal import Receipt
from tocsin.observe import live
from tocsin.records import SECOND, Alert
from tocsin.sinks.base import Sink

MOST_QUEUED = 1_000
"""Alerts in the queue of a sink; what is beyond waits in the journal."""
TOGETHER = 100
"""Alerts of one write."""
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

    def refill(self, waiting: Callable[[str, int], Sequence[Waiting]]) -> None:
        """Hand over what waits in the journal to sinks that have nothing left; all receipts must be committed."""
        for key, carrier in self._carriers.items():
            if carrier.hungry:
                carrier.refill(waiting(key, MOST_QUEUED))

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
        self._refused: deque[Waiting] = deque()
        """Those that were refused alone: whoever comes later does not wait for them."""
        self._again_at = 0.0
        """When the first of these is tried again, on a clock that only grows."""
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
            return len(self._queue) + len(self._refused) + self._in_hand

    @property
    def hungry(self) -> bool:
        with self._changed:
            return self._behind and not (self._queue or self._in_hand or self._unsettled)

    def offer(self, alerts: Sequence[Waiting]) -> None:
        with self._changed:
            if self._behind:
                return  # they come in their turn, from the journal
            room = max(MOST_QUEUED - len(self._queue) - len(self._refused) - self._in_hand, 0)
            self._queue.extend(alerts[:room])
            self._behind = len(alerts) > room
            self._changed.notify()

    def refill(self, alerts: Sequence[Waiting]) -> None:
        with self._changed:
            held = {alert.id for alert, _ in self._refused}
            self._queue.extend(item for item in alerts if item[0].id not in held)
            self._behind = len(alerts) >= MOST_QUEUED
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
            except Exception as error:  # noqa: BLE001  # whatever a sink's library raises, the alert is not delivered
                self._close()
                is_open = False
                self._put_off(together, _why(error))
            else:
                observe.alerts_sent(self._key, len(together))
                self._settle([Receipt(alert.id, self._key, "delivered") for alert, _ in together])
                self._wait_s, self._size = self._first_wait_s, min(2 * self._size, TOGETHER)
        self._close()

    def _close(self) -> None:
        with suppress(Exception):  # the thread goes on, and what was not delivered is tried once more
            self._sink.close()

    def _shown(self, alert: Alert) -> Alert:
        return alert.named(self._name) if self._sink.shows_names else alert

    def _next(self) -> list[Waiting] | None:
        """The next alerts; None at the end."""
        with self._changed:
            while not self._queue and not self._ends:
                wait_s = self._again_at - time.monotonic() if self._refused else None
                if wait_s is not None and wait_s <= 0.0:
                    self._in_hand = 1
                    return [self._refused.popleft()]
                self._changed.wait(wait_s)
            self._in_hand = min(self._size, len(self._queue))
            return [self._queue.popleft() for _ in range(self._in_hand)] or None

    def _settle(self, receipts: list[Receipt]) -> None:
        with self._changed:
            self._in_hand = 0
            self._unsettled += len(receipts)
            self._receipts += receipts

    def _put_off(self, together: list[Waiting], reason: str) -> None:
        """Find out which of several is refused; let one that is refused alone wait behind all others."""
        alone = len(together) == 1
        if alone and together[0][1] < self._now() - round(GIVE_UP_S * SECOND):
            live.delivery_given_up(self._key, 1)
            self._settle([Receipt(together[0][0].id, self._key, "given_up")])
            return
        live.delivery_put_off(self._key, len(together), self._wait_s, reason)
        with self._changed:
            self._in_hand = 0
            if alone:
                self._refused.extend(together)
                self._again_at = time.monotonic() + self._wait_s
            else:
                self._queue.extendleft(reversed(together))
                self._size = 1
            self._changed.wait_for(lambda: self._ends, self._wait_s)
            if self._ends:  # what nobody took waits in the journal
                self._queue.clear()
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)


def _why(error: Exception) -> str:
    return error.problem.got if isinstance(error, DeliveryError) else f"{type(error).__name__}: {error}"
