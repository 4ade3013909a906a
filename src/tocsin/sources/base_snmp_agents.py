"""Polling agents in rounds: rows as they come, held until they are acknowledged."""

from __future__ import annotations

from abc import abstractmethod
from datetime import UTC, datetime

from tocsin.errors import DataError, SourceLost
from tocsin.records import SECOND, Batch, Position, Rejected
from tocsin.sources.base_files import BrokenFile
from tocsin.sources.base_polls import Held, Samples, TimedSource, no_row, one_row
from tocsin.sources.base_snmp_polls import Access, Moment, Patience, Result, Round, Unanswered, poll, told
from tocsin.sources.base_snmp_rows import Device, columns_of
from tocsin.sources.base_snmp_walks import last_walk

RECORDED = "file:///"
"""What an agent begins with in whose place a recorded walk answers."""
_SHOWN = 5
"""Agents in a message."""
_GLANCE_S = 1.0


class SnmpAgents(TimedSource):
    """One row, or one `Rejected`, per agent and round; `_file` is `snmp <agent>`, `_row` the number of the round.

    A round begins when it is due and the one before is over; rounds that were missed are left out, not made up for.

    Subclasses write `_who_asks`.

    Parameters
    ----------
    agents
        `host` or `host:port` of each, or a walk as `file:///path`.
    interval_s
        From one round to the next.
    samples
        Rounds after which it ends; None for never.
    patience
        How long to wait for an agent.
    """

    replayable = False

    def __init__(self, *, agents: tuple[str, ...], interval_s: float, samples: Samples, patience: Patience) -> None:
        self.agents = agents
        self.samples = samples
        self._interval_s = interval_s
        self._patience = patience
        self._devices: dict[str, Device] = {}
        self._held = Held("snmp")
        self._number = 0
        """Of the last round that began."""
        self._due = 0.0
        self._access = Access()
        self._round: Round | None = None
        self._is_open = False

    @abstractmethod
    def _who_asks(self) -> Access:
        """Called on every open."""

    def open(self, resume: Position | None = None) -> None:
        """Give again what is held; if that is nothing, poll, and wait for the first agent that answers."""
        self.close()
        self._access = self._who_asks()
        self._number = self._held.reopen(resume)
        for agent in self.agents:
            self._devices.setdefault(agent, Device(agent, resumed=resume is not None))
        self._due = self._elapsed()
        self._is_open = True
        if not self._held.waiting and not self.ended:
            self._first_answer()

    def read(self, timeout_s: float) -> Batch | None:
        """One row, or one poll without an answer."""
        if not self._is_open:
            raise DataError("snmp", "read of a closed source", hint="call open first")
        if not self._held.waiting and (self.ended or not self._polled(timeout_s)):
            return None
        return self._held.give()

    @property
    def endless(self) -> bool:
        """Whether no number of samples was asked for."""
        return self.samples is None

    @property
    def ended(self) -> bool:
        """Whether all samples were read; never, if their number is not limited."""
        left = self._held.waiting or (self._round and self._round.left)
        return not left and self.samples is not None and self._number >= self.samples

    def acknowledge(self, batch: Batch) -> Position:
        """Hold what was given no longer."""
        return self._held.release()

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
        """Whether a result came in time; it is held then."""
        self._held.find_room()
        deadline = self._elapsed() + timeout_s
        round_ = self._round
        if round_ is None or not round_.left:
            wait = self._due - self._elapsed()
            self._sleep(max(0.0, min(wait, timeout_s)))
            if wait > timeout_s:
                return False
            round_ = self._begun()
        result = round_.next(max(0.0, deadline - self._elapsed()))
        if result:
            self._hold(result)
        return result is not None

    def _begun(self) -> Round:
        if self._round:
            self._round.close()
        self._number += 1
        self._due = max(self._due + self._interval_s, self._elapsed())
        self._round = Round(self.agents, self._ask)
        return self._round

    async def _ask(self, agent: str) -> Result:
        if not agent.startswith(RECORDED):
            return await poll(agent, self._access, self._patience, self._moment)
        try:
            return told(agent, self._moment(), last_walk(agent.removeprefix("file://")))
        except (OSError, ValueError, BrokenFile) as error:
            return Result(agent, self._moment(), Unanswered("no_answer", str(error)))

    def _moment(self) -> Moment:
        return Moment(round(self._now() * SECOND), self._elapsed())

    def _hold(self, result: Result) -> None:
        file = f"snmp {result.agent}"
        if isinstance(result.values, Unanswered):
            at = datetime.fromtimestamp(result.moment.time_us / SECOND, UTC).isoformat(timespec="seconds")
            detail = f"{at}: {result.values.detail}"
            self._held.take(no_row(Rejected(file, self._number, result.values.reason, detail)))
        else:
            row = self._devices[result.agent].row(result.values, *result.moment)
            self._held.take(one_row(file, self._number, columns_of([row])))
