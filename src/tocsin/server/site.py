"""What the server knows of the service beside it: everything it does there goes through here."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from tocsin.component import snake_case
from tocsin.journal.stored import Kept, Stored
from tocsin.scoring.work import Serving
from tocsin.system.project import Project
from tocsin.system.service import Service

Answer = TypeVar("Answer")


class Ask(Protocol):
    """Has a function called by the thread that owns stream and journal; see `Requests.ask`."""

    def __call__(self, do: Callable[[], Answer], timeout_s: float = ...) -> Answer:
        """What it gives; raises LimitExceeded if no answer came in time."""


class Log(Protocol):
    """Where events are put for the stream to read."""

    def append(self, events: Sequence[bytes], timeout_s: float = ...) -> int:
        """Keep these for good, and return how many were new; raises LimitExceeded where there is no room."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """The time of day, and seconds that only grow."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    elapsed: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True)
class Site:
    """A project at work.

    Parameters
    ----------
    project
        Its config, privacy and registry.
    serving
        What scores at this moment; every answer is of one of them alone.
    ask
        Reaches the scoring thread.
    status
        How the stream stands, in JSON values; called by the scoring thread.
    alerts
        As `Stored.alerts`; read beside the scoring thread, which a page of them would hold up.
    log
        None where no events are taken.
    ready
        Whether the stream stands where an earlier process was; called by the scoring thread.
    """

    project: Project
    serving: Callable[[], Serving]
    ask: Ask
    status: Callable[[], dict[str, Any]]
    alerts: Callable[[int, int, str | None, tuple[int, str]], list[Kept]]
    log: Log | None = None
    ready: Callable[[], bool] = lambda: True

    @classmethod
    def of(cls, service: Service, log: Log | None = None) -> Site:
        """What a running service offers."""
        stream, config = service.stream, service.project.config

        def status() -> dict[str, Any]:
            return {
                "source": snake_case(type(stream.source).__name__),
                "commits": service.journal.sequence,
                "rows": stream.intake.tally.to_json(),
                "entities": len(service.scorer.state),
                "waiting": service.outbox.waiting,
            }

        return cls(
            project=service.project,
            serving=lambda: stream.serving,
            ask=service.requests.ask,
            status=status,
            alerts=Stored.beside(config.resolve(config.stream.journal)).alerts,
            log=log,
            ready=lambda: stream.ready,
        )
