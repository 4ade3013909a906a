"""Alerts on their way out of a running service: one thread per sink, so that none waits for another.

A thread never touches the journal. It takes alerts from a bounded queue, writes them until the sink has taken them,
later each time, and leaves a receipt; the stream commits the receipts and hands over what is still waiting.
"""

from __future__ import annotations

import threading
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
        """Deliver what can be delivered at once, then end; the rest waits in the journal."""
        for carrier in self._carriers.values():
            carrier.stop()
        for carrier in self._carriers.values():
            carrier.thread.join(timeout_s)


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
            return len(self._queue)

    @property
    def hungry(self) -> bool:
        with self._changed:
            return self._behind and not self._queue and not self._unsettled

    def offer(self, alerts: Sequence[Waiting]) -> None:
        with self._changed:
            if self._behind:
                return  # they come in their turn, from the journal
            room = MOST_QUEUED - len(self._queue)
            self._queue.extend(alerts[:room])
            self._behind = len(alerts) > room
            self._changed.notify()

    def refill(self, alerts: Sequence[Waiting]) -> None:
        with self._changed:
            self._queue.extend(alerts)
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
                with suppress(DeliveryError):
                    self._sink.close()
                is_open = False
                self._put_off(together, _why(error))
            else:
                observe.alerts_sent(self._key, len(together))
                self._settle([Receipt(alert.id, self._key, "delivered") for alert, _ in together])
                self._wait_s = self._first_wait_s
        self._sink.close()

    def _shown(self, alert: Alert) -> Alert:
        return alert.named(self._name) if self._sink.shows_names else alert

    def _next(self) -> list[Waiting] | None:
        """The next alerts, left in the queue until they are settled; None at the end."""
        with self._changed:
            while not self._queue and not self._ends:
                self._changed.wait()
            return [self._queue[place] for place in range(min(TOGETHER, len(self._queue)))] or None

    def _settle(self, receipts: list[Receipt]) -> None:
        with self._changed:
            for _ in receipts:
                self._queue.popleft()
            self._unsettled += len(receipts)
            self._receipts += receipts

    def _put_off(self, together: list[Waiting], reason: str) -> None:
        oldest = self._now() - round(GIVE_UP_S * SECOND)
        given_up = [Receipt(alert.id, self._key, "given_up") for alert, committed in together if committed < oldest]
        if given_up:  # those that wait longest stand first
            live.delivery_given_up(self._key, len(given_up))
            self._settle(given_up)
            return
        live.delivery_put_off(self._key, len(together), self._wait_s, reason)
        with self._changed:
            if self._ends:
                self._queue.clear()
                return
            self._changed.wait_for(lambda: self._ends, self._wait_s)
            if self._ends:
                self._queue.clear()
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)


def _why(error: Exception) -> str:
    return error.problem.got if isinstance(error, DeliveryError) else f"{type(error).__name__}: {error}"
