"""Alerts of several entities that have one cause are one incident: whoever is woken by it is woken once.

What is counted are different entities. One that rings a thousand times is one of them, and raises nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from tocsin.alerts.episodes import as_name, as_text
from tocsin.records import SECOND

LONGEST_US = 3_600 * SECOND
"""After so long an incident that goes on is told again, if as many entities still ring."""


@dataclass(frozen=True, slots=True)
class Ring:
    """The beginning of an episode, by its first row alone."""

    entity: str
    time: int
    score: float
    p_value: float
    step: int
    """Its severity as a number."""


@dataclass(slots=True)
class _Of:
    """What is known of one cause."""

    rings: list[Ring] = field(default_factory=list)
    """The last ones of different entities, while they make no incident."""
    since: int | None = None
    """Time of the row that made it an incident; None while it is none."""
    last: int = 0
    step: int = 0
    """The highest severity that was told since then."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a ring is to the incident of its cause."""

    since: int
    """When the incident began: with its cause, its identity."""
    rings: tuple[Ring, ...] = ()
    """Those that make it an incident at this moment; empty if it was one before."""
    worse: bool = False
    """Whether the ring is of a severity that the incident had not had."""


class Incidents:
    """The open incident of each cause.

    So many different entities that ring for one cause within the window open one. It ends when nothing rang for a
    window, or after an hour. Causes are columns of a schema, so there are few.

    Parameters
    ----------
    entities, window_s
        How many, and within how many seconds.
    """

    def __init__(self, entities: int, window_s: float) -> None:
        self._entities = entities
        self._window = round(window_s * SECOND)
        self._known: dict[str, _Of] = {}

    def take(self, cause: str, ring: Ring) -> Told | None:
        """What the next ring is to the incident of its cause; None if there is none."""
        known = self._known.setdefault(cause, _Of())
        if known.since is not None:
            if ring.time <= known.since - self._window:
                return None  # of another time, by an entity that catches up
            if ring.time < min(known.last + self._window, known.since + LONGEST_US):
                return self._goes_on(known, known.since, ring)
            known = self._known[cause] = _Of()
        rings = [*(other for other in known.rings if other.entity != ring.entity), ring]
        near = [other for other in rings if abs(other.time - ring.time) < self._window]
        if len(near) < self._entities:
            known.rings = rings[-2 * self._entities :]  # more than are needed: one wrong clock hides no incident
            return None
        newest = max(other.time for other in near)
        self._known[cause] = _Of([], ring.time, newest, max(other.step for other in near))
        return Told(ring.time, tuple(near))

    def _goes_on(self, known: _Of, since: int, ring: Ring) -> Told:
        worse = ring.step > known.step
        known.last, known.step = max(known.last, ring.time), max(known.step, ring.step)
        return Told(since, worse=worse)

    def state(self) -> list[Any]:
        """JSON values."""
        return [
            [cause, [[as_text(ring.entity), *list(asdict(ring).values())[1:]] for ring in known.rings],
             known.since, known.last, known.step]
            for cause, known in self._known.items()
        ]  # fmt: skip

    def restore(self, state: Iterable[Any]) -> None:
        """Go on from what `state` gave."""
        self._known = {
            cause: _Of([Ring(as_name(entity), *rest) for entity, *rest in rings], since, last, step)
            for cause, rings, since, last, step in state
        }
