"""From flagged rows to alerts: one message per episode, however many rows it has.

What an episode is, `tocsin.calibration.episodes` alone says; the threshold counts with it what is sent here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tocsin import observe
from tocsin.calibration import episodes, first_rows
from tocsin.errors import DataError
from tocsin.kernel.run import FeatureMatrix
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.records import DAY, SECOND, Alert, Batch, Column, Reason, Scores, Severity, Times, Vector, origins
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

GAIN = 0.15
"""How far a day that rings twice its budget moves the budget multiple, as a logarithm."""
STEADY_ALERTS = 5.0
"""A smaller budget a day moves it as little for each alert as this one: single alerts tell little."""
SURGE = 3.0
"""A day that rings this many standard deviations and two clumps more than its budget is an incident, not drift."""
SURGE_COUNTS = 2.0
"""Times its budget that such a day counts, however much it rang."""


@dataclass(frozen=True, slots=True, eq=False)
class FlaggedRows:
    """The rows of a batch that may ring, those that are warming up left out; arrays have shape (n,)."""

    times: Times | None
    """None without a clock."""
    entities: Column | None
    """None: one entity."""
    score: Vector
    p_value: Vector
    state: Column
    """`RowState` as text."""
    origins: Column
    """Where each row was read, as `file:row`."""
    contents: Sequence[bytes]
    """What each row says; without a clock it tells alerts apart, together with the origin."""
    level_p: float
    """The p-value from which rows are flagged."""
    reasons: Callable[[NDArray[np.intp]], Sequence[tuple[Reason, ...]]]
    """Explains the rows at these indices; asked for rows that are sent, and no others."""
    confidence: Callable[[NDArray[np.intp]], Sequence[float | None]]
    """How far a blend agrees on the rows at these indices, see `Alert.confidence`; asked for as reasons are."""
    ease: Vector
    """How many times the budget must be for a row to ring, see `Threshold.ease`; flagged rows have at most 1."""
    seen: Times | None = None
    """The times of all rows of the batch, whether they may ring or not; None without a clock."""

    def take(self, rows: NDArray[np.intp]) -> FlaggedRows:
        """Some of these rows, of the same batch."""
        return replace(
            self,
            times=None if self.times is None else self.times[rows],
            entities=None if self.entities is None else self.entities[rows],
            score=self.score[rows],
            p_value=self.p_value[rows],
            state=self.state[rows],
            origins=self.origins[rows],
            contents=[self.contents[row] for row in rows.tolist()],
            reasons=lambda chosen: self.reasons(rows[chosen]),
            confidence=lambda chosen: self.confidence(rows[chosen]),
            ease=self.ease[rows],
        )


def flagged_rows(
    model: AnomalyModel, batch: Batch, matrix: FeatureMatrix, scores: Scores, loosest: float = 1.0
) -> FlaggedRows:
    """The rows of a scored batch that a policy decides on: those flagged at `loosest` times the budget."""
    schema, entities = model.design.schema, model.entities(batch)
    ease = np.ones(len(scores.score))
    may_ring = scores.flagged
    if loosest > 1.0:
        ease = model.threshold.ease(scores.score, entities)
        may_ring = (ease <= loosest) & matrix.warm
    rows = np.flatnonzero(may_ring & (scores.state != "warming_up"))
    return FlaggedRows(
        times=batch[schema.time][rows] if schema.time else None,
        entities=None if entities is None else entities[rows],
        score=scores.score[rows],
        p_value=scores.p_value[rows],
        state=scores.state[rows],
        origins=origins(batch.take(rows)),
        contents=[values.tobytes() for values in matrix.values[rows]],
        level_p=float(model.threshold.promise()["level_p"]),
        reasons=lambda chosen: model.reasons(matrix.values[rows[chosen]]),
        confidence=lambda chosen: model.confidence(matrix.values[rows[chosen]]),
        ease=ease[rows],
        seen=batch[schema.time] if schema.time else None,
    )


class BudgetController:
    """Keeps the alerts of many weeks at the budget while telemetry slowly drifts; p-values never move.

    It moves the multiple of the budget at which rows ring, once a day of event time, between a quarter and four
    times. A day moves the logarithm of the multiple by `GAIN` x (expected - rung) / expected, so that over any time
    in which no end is reached and nothing surges, alerts rung and alerts budgeted differ by at most
    log(4) / `GAIN` = 9 days' worth, or 46 alerts where the budget is below five a day (adaptive conformal inference:
    Gibbs and Candes, arXiv 2106.00170).

    An attack cannot raise its own level. What a day rang counts from the day after next, so that nothing shorter
    than a day meets a level it had a part in. A day that rings far more than its budget (`SURGE`) is an incident:
    while it lasts the level stands still, and afterwards all its days together count as one that rang twice its
    budget. A lasting jump beyond that is an incident until somebody trains again.

    Time passes with the rows that are seen: gaps of more than a day are left out.

    Parameters
    ----------
    per_day
        The budget, in alerts a day.
    together
        How many alerts come at a time: variance over mean of their number, at least 1.
    state
        What `state` gave, to go on from there. A new model begins without.
    """

    def __init__(self, per_day: float, together: float = 1.0, state: Mapping[str, Any] | None = None) -> None:
        self.per_day = per_day
        self.together = together
        known = state or {}
        self.multiple = float(known.get("multiple", 1.0))
        self._day: int | None = known.get("day")
        self._last: int | None = known.get("last")
        self._days: dict[int, tuple[float, int]] = {
            int(day): (float(budgeted), int(rung)) for day, budgeted, rung in known.get("days", ())
        }
        """Alerts budgeted and rung on days that have not counted yet."""

    @classmethod
    def of(cls, promise: Mapping[str, Any]) -> BudgetController | None:
        """For the budget of a model, see `Threshold.promise`; None if that is no budget a day."""
        if promise["unit"] != "alerts/day":
            return None
        return cls(promise["served"], promise["together"])

    def state(self) -> dict[str, Any]:
        """JSON values, a few numbers however long it runs."""
        days = [[day, *counts] for day, counts in self._days.items()]
        return {"multiple": self.multiple, "day": self._day, "last": self._last, "days": days}

    def days(self, times: Times) -> Times:
        """The day of each row, (n,); a late row belongs to the day that is on."""
        return times // DAY if self._day is None else np.maximum(times // DAY, self._day)

    def begin(self, day: int) -> float:
        """The budget multiple of a day, on which some rows were seen."""
        if self._day is not None and day > self._day:
            self._turn(day)
        self._day = day
        return self.multiple

    def learn(self, day: int, seen: Times, rung: int) -> None:
        """Rows of a day were seen, (n,), and this many alerts rang."""
        last = int(seen.min()) if self._last is None else self._last
        times = np.maximum(np.sort(seen), last)
        gaps = np.diff(times, prepend=last)
        watched = int(gaps[gaps <= DAY].sum())
        self._last = int(times[-1])
        budgeted, before = self._days.get(day, (0.0, 0))
        self._days[day] = budgeted + self.per_day * watched / DAY, before + rung

    def _turn(self, day: int) -> None:
        if self._surges(day - 1):
            if self._surges(day - 2):
                del self._days[day - 2]
            return
        for earlier in sorted(earlier for earlier in self._days if earlier < day - 1):
            budgeted, rung = self._days.pop(earlier)
            over = (SURGE_COUNTS * budgeted if rung > self._most(budgeted) else rung) - budgeted
            step = GAIN * over / max(self.per_day, STEADY_ALERTS)
            self.multiple = min(max(self.multiple * exp(-step), 1.0 / REACH), REACH)

    def _surges(self, day: int) -> bool:
        budgeted, rung = self._days.get(day, (0.0, 0))
        return rung > self._most(budgeted)

    def _most(self, budgeted: float) -> float:
        return budgeted + SURGE * sqrt(budgeted * self.together) + 2.0 * self.together


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
