"""Which flagged row begins an episode, one row after the other: any cut of a stream into batches finds the same.

For rows in order of time this is what `tocsin.calibration.episodes` counts, and so what the threshold promises.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tocsin import observe
from tocsin.records import SECOND, Quiet

OPEN_EPISODES = 50_000
"""Entities whose last episodes are remembered; the one that was flagged longest ago is given up first."""
KEPT = 4
"""Episodes of one entity: live rows and those of one that catches up must not ring in turns."""


@dataclass(slots=True)
class Episode:
    """Flagged rows of an entity that ring once; times are UTC microseconds."""

    start: int
    """Of the row that began it: with the entity, the alert's identity."""
    first: int
    last: int
    """Of the earliest and the latest row."""
    quiet: Quiet = ""
    """Why its alert was not delivered, if that may end before the episode does."""


class Episodes:
    """The episodes that a further row may belong to.

    A row belongs to an episode of its entity if it lies within it, or less than the cool-down before or behind it.
    One that is older than all `KEPT` episodes belongs to the oldest: it cannot be told from a repeat.

    Parameters
    ----------
    cooldown_s
        Seconds; 0 makes every row an episode.
    """

    def __init__(self, cooldown_s: float) -> None:
        self._cooldown = round(cooldown_s * SECOND)
        self._open: OrderedDict[str, list[Episode]] = OrderedDict()

    def take(self, entity: str, time: int) -> tuple[Episode, bool]:
        """The episode of the next flagged row, and whether the row begins it."""
        known = self._open.setdefault(entity, [])
        self._open.move_to_end(entity)
        for episode in reversed(known):
            if episode.first - self._cooldown < time < episode.last + self._cooldown:
                return _extended(episode, time), False
        if len(known) == KEPT and time < known[0].first:
            return _extended(known[0], time), False
        begun = Episode(time, time, time)
        known.append(begun)
        known.sort(key=lambda episode: episode.last)
        del known[:-KEPT]
        self._bound(time)
        return begun, True

    def _bound(self, time: int) -> None:
        if len(self._open) > OPEN_EPISODES:
            _, given_up = self._open.popitem(last=False)
            if given_up[-1].last > time - self._cooldown:
                observe.entities_evicted("open_episodes")

    def state(self) -> list[Any]:
        """JSON values, the entity flagged last at the end."""
        return [
            [as_text(entity), [[item.start, item.first, item.last, item.quiet] for item in known]]
            for entity, known in self._open.items()
        ]

    def restore(self, state: Iterable[Any]) -> None:
        """Go on from what `state` gave."""
        self._open = OrderedDict((as_name(entity), [Episode(*item) for item in known]) for entity, known in state)


def _extended(episode: Episode, time: int) -> Episode:
    episode.first, episode.last = min(episode.first, time), max(episode.last, time)
    return episode


def as_text(name: str) -> str:
    """Half of a surrogate pair can come from any log, and JSON has no place for it."""
    return name if name.isascii() else name.encode("utf-8", "surrogatepass").decode("latin-1")


def as_name(text: str) -> str:
    """What `as_text` was given."""
    return text if text.isascii() else text.encode("latin-1").decode("utf-8", "surrogatepass")
