"""Polling agents in rounds: rows as they come, held until they are acknowledged."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import ClassVar

import numpy as np

from tocsin.errors import DataError, LimitExceeded, SourceLost
from tocsin.records import FILE, ROW, SECOND, Batch, Position, Rejected
from tocsin.sources.base import Source
from tocsin.sources.base_polls import MAX_HELD
from tocsin.sources.base_snmp_polls import Access, Moment, Patience, Result, Round, Unanswered, poll
from tocsin.sources.base_snmp_rows import Device, columns_of

_SHOWN = 5
"""Agents in a message."""
_GLANCE_S = 1.0


class SnmpAgents(Source):
    """One row, or one `Rejected`, per agent and round; `_file` is `snmp <agent>`, `_row` the number of the round.

    A round begins when it is due and the one before is over; rounds that were missed are left out, not made up for.

    Parameters
    ----------
    agents
        `host` or `host:port` of each.
    interval_s
        From one round to the next.
    polls
        Rounds after which it ends; None for never.
    patience
        How long to wait for an agent.
    access
        Gives who asks; called on every open.
    """

    replayable: ClassVar[bool] = False

    _now: Callable[[], float] = staticmethod(time.time)
    """The time of day, which rows bear."""
    _elapsed: Callable[[], float] = staticmethod(time.monotonic)
    """Seconds that only grow, by which the pace is kept and uptimes are compared."""
    _sleep: Callable[[float], None] = staticmethod(time.sleep)

    def __init__(
        self,
        *,
        agents: tuple[str, ...],
        interval_s: float,
        polls: int | None,
        patience: Patience,
        access: Callable[[], Access],
    ) -> None:
        self.agents = agents
        self.interval_s = interval_s
        self.polls = polls
        self.patience = patience
        self.access = access
        self._devices: dict[str, Device] = {}
        self._held: deque[Batch] = deque()
        self._given = 0
        """How many of those held were handed out since `open`."""
        self._offsets: dict[str, int] = {}
        self._number = 0
        self._due = 0.0
        self._access = Access()
        self._round: Round | None = None
        self._is_open = False

    def open(self, resume: Position | None = None) -> None:
        """Give again what is held; if that is nothing, poll, and wait for the first agent that answers."""
        self.close()
        self._access = self.access()
        self._offsets = dict(resume.offsets) if resume else {}
        self._held = deque(batch for batch in self._held if _place(batch)[1] > self._offsets.get(_place(batch)[0], 0))
        self._given = 0
        for agent in self.agents:
            self._devices.setdefault(agent, Device(agent, resumed=resume is not None))
        self._number = max([*self._offsets.values(), *(_place(batch)[1] for batch in self._held)], default=0)
        self._due = self._elapsed()
        self._is_open = True
        if not self._held and not self.ended:
            self._first_answer()

    def read(self, timeout_s: float) -> Batch | None:
        """One row, or one poll without an answer."""
        if not self._is_open:
            raise DataError("snmp", "read of a closed source", hint="call open first")
        if self._given == len(self._held) and (self.ended or not self._polled(timeout_s)):
            return None
        self._given += 1
        return self._held[self._given - 1]

    @property
    def ended(self) -> bool:
        """Whether all polls were read; never, if their number is not limited."""
        left = self._round.left if self._round else 0
        return self._given == len(self._held) and not left and self.polls is not None and self._number >= self.polls

    def acknowledge(self, batch: Batch) -> Position:
        """Hold what was given no longer."""
        for _ in range(self._given):
            file, row = _place(self._held.popleft())
            self._offsets[file] = row
        self._given = 0
        return Position("snmp", dict(self._offsets))

    def close(self) -> None:
        """Poll no more; what is held stays held, what was not given yet is given up."""
        if self._round:
            self._round.close()
        self._round, self._is_open = None, False

    def _first_answer(self) -> None:
        """Begin, and wait until one agent answers."""
        round_ = self._begun()
        failed: list[Result] = []
        while round_.left:
            if not (result := round_.next(_GLANCE_S)):
                continue
            self._hold(result)
            if not isinstance(result.values, Unanswered):
                return
            failed.append(result)
        self._held.clear()
        self.close()
        shown = "; ".join(f"{result.agent}: {result.values}" for result in failed[:_SHOWN])
        raise SourceLost(
            "snmp",
            f"no agent that answers: {shown}{'; ...' if failed[_SHOWN:] else ''}",
            "an answer to the first poll from one of them",
            "try snmpget: who asks with a wrong community gets no answer either",
        )

    def _polled(self, timeout_s: float) -> bool:
        """Whether a result came in time; it is the last one held then."""
        if len(self._held) >= MAX_HELD:
            hint = "acknowledge rows when they are safe"
            raise LimitExceeded("snmp", f"{len(self._held):,} rows unacknowledged", f"at most {MAX_HELD:,}", hint)
        round_ = self._round
        if round_ is None or not round_.left:
            wait = self._due - self._elapsed()
            self._sleep(max(0.0, min(wait, timeout_s)))
            if wait > timeout_s:
                return False
            round_ = self._begun()
        result = round_.next(timeout_s)
        if result:
            self._hold(result)
        return result is not None

    def _begun(self) -> Round:
        if self._round:
            self._round.close()
        self._number += 1
        self._due = max(self._due + self.interval_s, self._elapsed())
        self._round = Round(self.agents, self._ask)
        return self._round

    async def _ask(self, agent: str) -> Result:
        return await poll(agent, self._access, self.patience, self._moment)

    def _moment(self) -> Moment:
        return Moment(round(self._now() * SECOND), self._elapsed())

    def _hold(self, result: Result) -> None:
        file = f"snmp {result.agent}"
        if isinstance(result.values, Unanswered):
            at = datetime.fromtimestamp(result.moment.time_us / SECOND, UTC).isoformat(timespec="seconds")
            detail = f"{at}: {result.values.detail}"
            rejected = [Rejected(file, self._number, result.values.reason, detail)]
            self._held.append(Batch(_marks(file, ()), rejected))
            return
        row = self._devices[result.agent].row(result.values, *result.moment)
        self._held.append(Batch({**columns_of([row]), **_marks(file, (self._number,))}))


def _marks(file: str, rows: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {FILE: np.full(len(rows), file, dtype=object), ROW: np.array(rows, dtype=np.int64)}


def _place(batch: Batch) -> tuple[str, int]:
    """File and row of a batch of one row or of one `Rejected`."""
    return (str(batch[FILE][0]), int(batch[ROW][0])) if batch.rows else (batch.rejected[0].file, batch.rejected[0].row)
