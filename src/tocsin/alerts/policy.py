"""From flagged rows to alerts: one message per episode, however many rows it has.

What an episode is, `tocsin.calibration.episodes` alone says; the threshold counts with it what is sent here.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from math import log

import numpy as np
from numpy.typing import NDArray

from tocsin import observe
from tocsin.alerts.controller import BudgetController
from tocsin.alerts.rows import FlaggedRows
from tocsin.calibration import episodes, first_rows
from tocsin.errors import DataError
from tocsin.records import DAY, SECOND, Alert, Column, Severity, Times
from tocsin.thresholds.base import REACH

POLICY = "episode-1"
"""Enters every alert id: another rule of grouping makes other alerts."""
OPEN_EPISODES = 50_000
"""Entities whose last flagged row is remembered; the longest silent one is given up first."""
DAYS_COUNTED = 8
"""Days whose deliveries are counted at once; rows may come late by as much."""

SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high", "critical")
SEVERITY_STEP = 4.0
"""Each severity is this many times as unlikely as the one below."""
PERSISTENT_ROWS = 5
"""As many flagged rows of one batch raise the severity by one."""


class AlertPolicy:
    """Turns flagged rows into alerts, batch after batch in time order.

    An alert is sent at the first flagged row of an episode. What follows in the same batch is folded into it
    (`rows`, `end`, lowest p-value); what follows later is part of it and silent. Without a clock there are no
    episodes: every flagged row is an alert.

    Severity grows by one step for each factor of 4 by which the p-value lies below the one at which rows are
    flagged, and by one more if the episode has 5 rows or more in its batch.

    Parameters
    ----------
    cooldown_s
        Seconds; an entity's flagged rows closer together than this are one episode.
    at_most_per_day
        Alerts sent per UTC day of event time. The first beyond it is replaced by a digest, which says so; the rest
        of the day is counted in `tocsin_alerts_folded_total` and not sent.
    model
        Name and version, as alerts show it.
    generated
        Whether the telemetry is generated, which every alert then says.
    controller
        Moves the level with slow drift; of telemetry with a clock alone. None: what the threshold flags rings.
        Batches are then taken day by day, and an alert folds what follows on its day.
    """

    def __init__(
        self,
        *,
        cooldown_s: float,
        at_most_per_day: int | None = None,
        model: str = "",
        generated: bool = False,
        controller: BudgetController | None = None,
    ) -> None:
        self.cooldown_s = cooldown_s
        self.at_most_per_day = at_most_per_day
        self.model = model
        self.generated = generated
        self.controller = controller
        self._last: dict[str, int] = {}
        """Time of the last flagged row by entity, the entity flagged last at the end."""
        self._rung: dict[int, int] = {}
        """Episodes by day, those beyond the limit included."""

    @property
    def loosest(self) -> float:
        """The largest multiple of the budget at which a row may ring."""
        return 1.0 if self.controller is None else REACH

    def decide(self, rows: FlaggedRows) -> tuple[Alert, ...]:
        """The alerts that ring because of these rows, in order of time.

        Raises
        ------
        DataError
            If deliveries are limited by the day and the rows have no clock.
        """
        controller = self.controller
        if controller is None or rows.times is None or rows.seen is None:
            return self._decide(rows.take(np.flatnonzero(rows.ease <= 1.0)))[0]
        alerts: list[Alert] = []
        days, seen = controller.days(rows.times), controller.days(rows.seen)
        for day in np.unique(seen).tolist():
            rings = (days == day) & (rows.ease <= controller.begin(day))
            found, rung = self._decide(rows.take(np.flatnonzero(rings)))
            controller.learn(day, rows.seen[seen == day], rung)
            alerts.extend(found)
        return tuple(alerts)

    def _decide(self, rows: FlaggedRows) -> tuple[tuple[Alert, ...], int]:
        """The alerts of rows that ring, and how many rang before a limit."""
        if not len(rows.score):
            return (), 0
        limit = self.at_most_per_day
        if rows.times is None and limit is not None:
            hint = "leave at_most out, and let the budget be a rate"
            raise DataError("alerts", "a limit of alerts a day and rows without a clock", "event times", hint)
        if rows.times is None:
            return tuple(self._alerts(rows, list(np.arange(len(rows.score))[:, None]))), len(rows.score)
        found = self._episodes(rows, rows.times)
        if limit is None:
            return tuple(self._alerts(rows, found)), len(found)
        return tuple(self._within_limit(rows, rows.times, limit, found)), len(found)

    def _episodes(self, rows: FlaggedRows, times: Times) -> list[NDArray[np.intp]]:
        """The rows of each episode that begins here, in order of time; remembers where all of them end."""
        names = np.full(len(times), "", dtype=object) if rows.entities is None else rows.entities
        # An episode left open takes part as a row of its own, ahead of the others, that does not ring again.
        known = [name for name in dict.fromkeys(names.tolist()) if name in self._last]
        before = np.array([self._last[name] for name in known], dtype=np.int64)
        all_times = np.concatenate([before, times])
        numbers = episodes(all_times, np.concatenate([np.array(known, dtype=object), names]), self.cooldown_s)
        firsts = first_rows(numbers, all_times)
        order = np.lexsort((all_times, numbers))
        members = np.split(order, np.cumsum(np.bincount(numbers))[:-1])
        silent = set(numbers[: len(known)].tolist())
        self._remember(names, times)
        ringing = [number for number in range(len(members)) if number not in silent]
        ringing.sort(key=lambda number: (all_times[firsts[number]], firsts[number]))
        return [members[number] - len(known) for number in ringing]

    def _remember(self, names: Column, times: Times) -> None:
        for row in np.argsort(times, kind="stable").tolist():
            name = names[row]
            self._last[name] = max(self._last.pop(name, int(times[row])), int(times[row]))
        if len(self._last) <= OPEN_EPISODES:
            return
        over = int(times.max()) - round(self.cooldown_s * SECOND)
        self._last = {name: time for name, time in self._last.items() if time > over}
        excess = max(len(self._last) - OPEN_EPISODES, 0)
        for name in list(self._last)[:excess]:
            del self._last[name]
        if excess:
            observe.entities_evicted("open_episodes", excess)

    def _within_limit(self, rows: FlaggedRows, times: Times, limit: int, found: list[NDArray[np.intp]]) -> list[Alert]:
        sent: list[NDArray[np.intp]] = []
        digests: list[Alert] = []
        folded: dict[int, list[NDArray[np.intp]]] = {}
        for episode in found:
            day = int(times[episode[0]]) // DAY
            self._rung[day] = self._rung.get(day, 0) + 1
            if self._rung[day] <= limit:
                sent.append(episode)
            else:
                folded.setdefault(day, []).append(episode)
        for day, beyond in folded.items():
            observe.alerts_folded(len(beyond))
            if self._rung[day] - len(beyond) <= limit:
                digests.append(self._digest(rows, day, limit, beyond))
        for day in sorted(self._rung)[:-DAYS_COUNTED]:
            del self._rung[day]
        return [*self._alerts(rows, sent), *digests]

    def _digest(self, rows: FlaggedRows, day: int, limit: int, beyond: list[NDArray[np.intp]]) -> Alert:
        """One message in place of all others of a day."""
        date = np.datetime64(day, "D")
        return replace(
            self._alert(rows, np.concatenate(beyond)),
            id=_identify("digest", f"day {date}"),
            entity="",
            origin=f"{len(beyond)} alerts beyond the first {limit} on {date}: "
            "they and later ones are counted, not sent",
        )

    def _alerts(self, rows: FlaggedRows, sent: list[NDArray[np.intp]]) -> list[Alert]:
        """One alert per episode; all are explained in one go."""
        firsts = np.array([episode[0] for episode in sent], dtype=np.intp)
        said = zip(sent, rows.reasons(firsts), rows.confidence(firsts), strict=True)
        return [replace(self._alert(rows, episode), reasons=why, confidence=agreed) for episode, why, agreed in said]

    def _alert(self, rows: FlaggedRows, episode: NDArray[np.intp]) -> Alert:
        first = int(episode[0])
        entity = "" if rows.entities is None else str(rows.entities[first])
        origin = str(rows.origins[first])
        start, end = _window(rows, episode)
        p_value = float(rows.p_value[episode].min())
        return Alert(
            id=_identify(entity, f"{origin} {rows.contents[first].hex()}" if start is None else start),
            entity=entity,
            start=start,
            end=end,
            rows=len(episode),
            score=float(rows.score[episode].max()),
            p_value=p_value,
            severity=severity(p_value, rows.level_p, len(episode)),
            state=rows.state[first],
            model=self.model,
            reasons=(),
            origin=origin,
            generated=self.generated,
        )


def severity(p_value: float, level_p: float, rows: int) -> Severity:
    """How urgent an episode is, by how far its p-value lies below the flagging one and by its rows."""
    steps = int(log(max(level_p / p_value, 1.0), SEVERITY_STEP) + 1e-9) + (rows >= PERSISTENT_ROWS)
    return SEVERITIES[min(steps, len(SEVERITIES) - 1)]


def _window(rows: FlaggedRows, episode: NDArray[np.intp]) -> tuple[int | None, int | None]:
    if rows.times is None:
        return None, None
    return int(rows.times[episode].min()), int(rows.times[episode].max())


def _identify(entity: str, start: int | str) -> str:
    """Equal for the same entity and beginning, whatever model or batch they came through."""
    return hashlib.sha256("\x1f".join((POLICY, entity, str(start))).encode()).hexdigest()[:32]
