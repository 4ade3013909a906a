"""From flagged rows to alerts: one message per episode, however many rows it has, and one per incident.

Rows are taken one after the other, as they come. So any cut of a stream into batches rings the same alerts, and a
killed service that goes on from its state rings those that it would have rung.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from tocsin.alerts.controller import BudgetController
from tocsin.alerts.episodes import Episode, Episodes
from tocsin.alerts.incidents import Ring, Told
from tocsin.alerts.messages import Message, alert, alerts, identify, step
from tocsin.alerts.quieting import Restraint
from tocsin.alerts.rows import FlaggedRows
from tocsin.errors import DataError
from tocsin.observe import ringing
from tocsin.records import DAY, Alert, Quiet
from tocsin.thresholds.base import REACH

PASSING: tuple[Quiet, ...] = ("allowed", "maintenance", "silenced")
"""Why an episode is quiet, where that can end before it does."""
DAYS_COUNTED = 8
"""Days whose deliveries are counted at once; rows that come later still count with the oldest of them."""


class AlertPolicy:
    """Turns flagged rows into alerts, batch after batch, in the order in which they come.

    An alert rings at the first flagged row of an episode. What follows in the same batch is folded into it (`rows`,
    `end`, lowest p-value); what follows later is part of it and silent. Without a clock there are no episodes: every
    flagged row is an alert.

    Severity grows by one step for each factor of 4 by which the p-value lies below the one at which rows are
    flagged, and by one more if the episode has rows at 5 different times or more in its batch. An event that comes a
    thousand times at one time raises nothing.

    What does not ring is an alert all the same, with the reason in `quiet`. Where that ends while the episode goes
    on, the next row of it rings: an episode is delivered at most once, and never lost to a silence that was over.

    Parameters
    ----------
    cooldown_s
        Seconds; an entity's flagged rows closer together than this are one episode.
    model
        Name and version, as alerts show it.
    generated
        Whether the telemetry is generated, which every alert then says.
    controller
        Moves the level with slow drift; of telemetry with a clock alone. None: what the threshold flags rings.
        Batches are then taken day by day, and an alert folds what follows on its day.
    restraint
        What is not delivered of what rings.
    """

    def __init__(
        self,
        *,
        cooldown_s: float,
        model: str = "",
        generated: bool = False,
        controller: BudgetController | None = None,
        restraint: Restraint | None = None,
    ) -> None:
        self.cooldown_s = cooldown_s
        self.model = model
        self.generated = generated
        self.controller = controller
        self.restraint = restraint or Restraint()
        self._episodes = Episodes(cooldown_s)
        self._rung: dict[int, int] = {}
        """Messages by day, those beyond the limit included."""

    @property
    def loosest(self) -> float:
        """The largest multiple of the budget at which a row may ring."""
        return 1.0 if self.controller is None else REACH

    def state(self) -> dict[str, Any]:
        """All that it remembers, as JSON values."""
        return {
            "episodes": self._episodes.state(),
            "rung": list(self._rung.items()),
            "controller": self.controller.state() if self.controller else None,
            "incidents": self.restraint.incidents.state() if self.restraint.incidents else None,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave; what is none of it, or not wanted any more, begins anew."""
        self._episodes.restore(state.get("episodes", ()))
        self._rung = {int(day): int(rung) for day, rung in state.get("rung", ())}
        if self.controller and state.get("controller"):
            self.controller = BudgetController(self.controller.per_day, self.controller.together, state["controller"])
        if self.restraint.incidents and state.get("incidents") is not None:
            self.restraint.incidents.restore(state["incidents"])

    def decide(self, rows: FlaggedRows) -> tuple[Alert, ...]:
        """The alerts of these rows, in their order; those that are `quiet` are not to be delivered.

        Raises
        ------
        DataError
            If deliveries are limited by the day and the rows have no clock.
        """
        controller = self.controller
        if controller is None or rows.seen is None:
            found, _ = self._decide(rows.take(np.flatnonzero(rows.ease <= 1.0)))
            return tuple(found)
        every: list[Alert] = []
        days = controller.days(rows.seen)
        for day in np.unique(days).tolist():
            rings = (days[rows.places] == day) & (rows.ease <= controller.begin(day))
            found, rung = self._decide(rows.take(np.flatnonzero(rings)))
            controller.learn(day, rows.seen[days == day], rung)
            every.extend(found)
        return tuple(every)

    def _decide(self, rows: FlaggedRows) -> tuple[list[Alert], int]:
        """The alerts of rows that ring, and how many episodes count against the budget."""
        if not len(rows.score):
            return [], 0
        if rows.times is None and self.restraint.at_most_per_day is not None:
            hint = "leave at_most out, and let the budget be a rate"
            raise DataError("alerts", "a limit of alerts a day and rows without a clock", "event times", hint)
        batch = _Batch(rows)
        if rows.times is None:
            self._ring_each(batch)
        else:
            self._follow(batch, rows.times.tolist())
        return self._said(batch), batch.counted

    def _ring_each(self, batch: _Batch) -> None:
        """Without a clock: one message for each row."""
        rows = batch.rows
        batch.explain(list(range(len(rows.score))))
        for row, (origin, content) in enumerate(zip(rows.origins.tolist(), rows.contents, strict=True)):
            entity = batch.entity(row)
            message = Message(identify(entity, f"{origin} {content.hex()}"), row, batch.cause(row), rows=[row])
            message.quiet = self.restraint.quieting.standing(entity, partial(batch.cause, row), None)
            if message.quiet:
                batch.messages.append(message)
            else:
                self._send(batch, message, entity, None)

    def _follow(self, batch: _Batch, times: list[int]) -> None:
        """Find the episode of each row, and what rings because of it."""
        taken = [self._episodes.take(batch.entity(row), time) for row, time in enumerate(times)]
        batch.explain([row for row, (_, begins) in enumerate(taken) if begins])
        heard: dict[int, Message] = {}
        for row, (episode, begins) in enumerate(taken):
            message = heard.get(id(episode))
            if begins:
                message = self._begin(batch, row, times[row], episode)
            elif episode.quiet:
                message = self._go_on(batch, row, times[row], episode) or message
            if message:
                message.rows.append(row)
                heard[id(episode)] = message

    def _begin(self, batch: _Batch, row: int, time: int, episode: Episode) -> Message:
        """The message of a row that begins an episode."""
        entity, cause = batch.entity(row), batch.cause(row)
        message = Message(identify(entity, episode.start), row, cause)
        message.quiet = self.restraint.quieting.standing(entity, partial(batch.cause, row), time)
        if message.quiet:
            batch.messages.append(message)
        else:
            self._ring(batch, message, entity, time)
        episode.quiet = message.quiet if message.quiet in PASSING else ""
        return message

    def _go_on(self, batch: _Batch, row: int, time: int, episode: Episode) -> Message | None:
        """The message of a row that goes on with a quiet episode, if it is quiet no more."""
        entity, cause, was = batch.entity(row), partial(batch.cause, row), episode.quiet
        standing = self.restraint.quieting.standing(entity, cause, time)
        if standing or (was == "silenced" and self.restraint.quieting.for_now(entity, cause)):
            return None
        message = Message(identify(entity, episode.start, "after", was), row, cause())
        if was == "silenced":  # it counted when it began: what is silenced has no say in what else rings
            batch.messages.append(message)
        else:
            self._ring(batch, message, entity, time)
        episode.quiet = message.quiet if message.quiet in PASSING else ""
        return message

    def _ring(self, batch: _Batch, message: Message, entity: str, time: int) -> None:
        """What rings by itself, or as a part of an incident."""
        batch.counted += 1
        told = self._told(batch.rows, message, entity, time)
        if told is not None:
            message.incident = identify("incident", message.cause, told.since)
        if told is None or told.worse:
            self._send(batch, message, entity, time)
            return
        message.quiet = "incident"
        batch.messages.append(message)
        if told.rings:
            ringing.incident_began(len(told.rings))
            whole = replace(message, id=message.incident, quiet="", rings=told.rings, rows=[message.row])
            self._send(batch, whole, "", time)

    def _told(self, rows: FlaggedRows, message: Message, entity: str, time: int) -> Told | None:
        """By the first row alone: what else its batch holds has no say in what rings."""
        if self.restraint.incidents is None or rows.entities is None:
            return None
        p_value = float(rows.p_value[message.row])
        ring = Ring(entity, time, float(rows.score[message.row]), p_value, step(p_value, rows.level_p))
        return self.restraint.incidents.take(message.cause, ring)

    def _send(self, batch: _Batch, message: Message, entity: str, time: int | None) -> None:
        """Deliver, unless the day has had its number or somebody silenced it."""
        if time is not None and self.restraint.at_most_per_day is not None:
            day, number = self._count(time)
            if number > self.restraint.at_most_per_day:
                batch.folded.setdefault(day, []).append(message)
                if number == self.restraint.at_most_per_day + 1:
                    batch.full.append(day)
                return
        message.quiet = self.restraint.quieting.for_now(entity, lambda: message.cause)
        batch.messages.append(message)

    def _count(self, time: int) -> tuple[int, int]:
        """The day on which a message at this time counts, and how many it has with this one."""
        day = time // DAY
        if len(self._rung) == DAYS_COUNTED:
            day = max(day, min(self._rung))
        self._rung[day] = self._rung.get(day, 0) + 1
        if len(self._rung) > DAYS_COUNTED:
            del self._rung[min(self._rung)]
        return day, self._rung[day]

    def _said(self, batch: _Batch) -> list[Alert]:
        for folded in batch.folded.values():
            ringing.alerts_folded(len(folded))
        said = alerts(batch.rows, batch.messages, self.model, generated=self.generated)
        said += [self._digest(batch.rows, day, batch.folded[day]) for day in batch.full]
        if self.restraint.dry_run:
            said = [item if item.quiet else replace(item, quiet="dry_run") for item in said]
        for quiet, number in Counter(item.quiet for item in said if item.quiet).items():
            ringing.alerts_quieted(quiet, number)
        return said

    def _digest(self, rows: FlaggedRows, day: int, beyond: list[Message]) -> Alert:
        """One message in place of all others of a day."""
        date = np.datetime64(day, "D")
        every = [row for message in beyond for row in message.rows]
        whole = Message(identify("digest", f"day {date}"), beyond[0].row, cause="", rows=every)
        return replace(
            alert(rows, whole, self.model, generated=self.generated),
            entity="",
            origin=f"{len(beyond)} alerts beyond the first {self.restraint.at_most_per_day} on {date}: "
            "they and later ones are counted, not sent",
        )


class _Batch:
    """What becomes of the rows of one batch that ring."""

    def __init__(self, rows: FlaggedRows) -> None:
        self.rows = rows
        self.messages: list[Message] = []
        self.folded: dict[int, list[Message]] = {}
        """By day, those beyond its limit."""
        self.full: list[int] = []
        """Days that reached their limit here."""
        self.counted = 0
        """Episodes that count against the budget."""
        self._entities = [""] * len(rows.score) if rows.entities is None else rows.entities.tolist()
        self._causes: dict[int, str] = {}

    def entity(self, row: int) -> str:
        """Empty where all rows are of one."""
        return str(self._entities[row])

    def explain(self, rows: list[int]) -> None:
        """Find the causes of these rows in one go."""
        self._causes.update(zip(rows, self.rows.causes(np.array(rows, dtype=np.intp)), strict=True))

    def cause(self, row: int) -> str:
        """The cause of a row, found if it is not known."""
        if row not in self._causes:
            self.explain([row])
        return self._causes[row]
