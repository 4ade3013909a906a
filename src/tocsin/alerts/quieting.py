"""What does not ring although it was found: allowed, under maintenance, or silenced for a while.

Nothing of it is dropped. A quiet alert goes into the journal with the word that says why, and is counted by that word.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tocsin.alerts.incidents import Incidents
from tocsin.alerts.silences import Silences
from tocsin.records import Quiet

Cause = Callable[[], str]
"""The cause of a row: found out only if a rule asks for it."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a rule is about; an empty word stands for all."""

    entity: str = ""
    """As rows name it: a pseudonym."""
    cause: str = ""

    def covers(self, entity: str, cause: Cause) -> bool:
        """Whether an alert of this entity and cause is meant."""
        return self.entity in ("", entity) and (not self.cause or self.cause == cause())


@dataclass(frozen=True, slots=True)
class Maintenance:
    """From `start` until before `end`, UTC microseconds of event time."""

    scope: Scope
    start: int
    end: int


class Quieting:
    """The rules of one project.

    Parameters
    ----------
    allow
        What never rings.
    maintenance
        When nothing rings, by the times of the rows.
    silences
        What was silenced for a while, by the time of day; None where there is no such file.
    """

    def __init__(
        self,
        allow: Sequence[Scope] = (),
        maintenance: Sequence[Maintenance] = (),
        silences: Silences | None = None,
    ) -> None:
        self._allow = allow
        self._maintenance = maintenance
        self._silences = silences

    def standing(self, entity: str, cause: Cause, time: int | None) -> Quiet:
        """What the config says of a row; the same however often and whenever it is asked."""
        if any(scope.covers(entity, cause) for scope in self._allow):
            return "allowed"
        under = time is not None and any(
            window.start <= time < window.end and window.scope.covers(entity, cause) for window in self._maintenance
        )
        return "maintenance" if under else ""

    def for_now(self, entity: str, cause: Cause) -> Quiet:
        """Whether somebody has silenced it, and the silence lasts."""
        standing = self._silences.standing() if self._silences else ()
        return "silenced" if any(Scope(item.entity, item.cause).covers(entity, cause) for item in standing) else ""


@dataclass(frozen=True, slots=True)
class Restraint:
    """What is not delivered of what rings. By default all is."""

    at_most_per_day: int | None = None
    """Alerts delivered per UTC day of event time. The first beyond it gives way to a digest, which says so; the rest of
    the day is counted in `tocsin_alerts_folded_total` and not sent."""
    incidents: Incidents | None = None
    """Makes one message of the alerts of several entities; None: each rings by itself."""
    quieting: Quieting = field(default_factory=Quieting)
    dry_run: bool = False
    """Nothing is."""
