"""A model scored beside the one that serves: on the same rows, in a thread of its own, and it never rings.

A candidate is compared so before it is promoted, the version before the last swap after it, and a version with other
features fills its windows so before it serves.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from tocsin.alerts.episodes import Episodes
from tocsin.evaluation.beside import Beside
from tocsin.evaluation.gates.ranks import spearman
from tocsin.kernel.entities import TOO_LATE
from tocsin.kernel.run import FeatureMatrix
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.observe import swapping
from tocsin.records import SECOND, Batch, Scores, Vector
from tocsin.scoring.scorer import Scored, Scorer, features_of
from tocsin.scoring.swap import same_features

MOST_WAITING = 200_000
"""Rows in the queue; what comes beyond is left out and counted, since the stream waits for nobody."""
SAMPLED, PAIRS = 64, 4_096
"""Rows of a batch whose scores are compared, and how many of the last ones are."""
PACED, PACES, PACE_S = 8, 2_000, 1.0
"""Single rows that are timed at once, how many of the last times count, and how often that is done."""


class Shadow:
    """Scores what a stream hands it, and keeps count beside the model that serves.

    Parameters
    ----------
    scorer
        Of the model beside; its policy is left alone.
    serving
        Of the model whose rows it gets.
    digests
        Of the two, the one that serves first.
    elapsed
        Seconds that only grow.
    """

    def __init__(
        self,
        scorer: Scorer,
        serving: Scorer,
        digests: tuple[str, str],
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self.scorer = scorer
        self._serving = serving
        self._digests = digests
        self._elapsed = elapsed
        self._shares = same_features(scorer.model, serving.model)
        self._queue: deque[Scored] = deque()
        self._waiting = 0
        self._ends = False
        self._changed = threading.Condition()
        self._turn = threading.Lock()
        """Held by whoever scores the batch that has waited longest."""
        self._began = elapsed()
        self._rows = 0
        self._tallies = (_Tally(serving.model), _Tally(scorer.model))
        self._pairs: deque[tuple[float, float, float, float]] = deque(maxlen=PAIRS)
        self._paces: deque[tuple[float, float]] = deque(maxlen=PACES)
        self._paced_at = self._began - PACE_S
        self._since: int | None = None
        self._seen_us = 0
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._thread.start()

    def offer(self, item: Scored) -> None:
        """A batch that was scored; never waits."""
        with self._changed:
            if self._waiting + item.batch.rows > MOST_WAITING or self._ends:
                self._since, self._seen_us = None, 0  # its windows begin to fill anew
                swapping.shadow_left_out(item.batch.rows)
                return
            self._waiting += item.batch.rows
            self._queue.append(item)
            self._changed.notify_all()

    def settle(self, limit_s: float) -> bool:
        """Score what waits in the caller's own thread; whether all is scored.

        So much of the processor is spent at most, and so long waited for a batch that is on: on a busy machine a thread
        of its own might not get its turn meanwhile.
        """
        until = time.thread_time() + limit_s
        while self._queue:
            if time.thread_time() > until or not self._turn.acquire(timeout=limit_s):
                return False
            try:
                self._take()
            finally:
                self._turn.release()
        return True

    def stop(self, timeout_s: float = 5.0) -> None:
        """Score nothing more; the batch that is on may take as long as it does."""
        with self._changed:
            self._ends = True
            self._changed.notify_all()
        self._thread.join(timeout_s)

    @property
    def seen_us(self) -> int:
        """Microseconds of event time that its features have seen without a gap."""
        with self._changed:
            return self._seen_us

    def compared(self) -> Beside:
        """How the two did so far."""
        with self._changed:
            pairs, paces = np.array(self._pairs).reshape(-1, 4), np.array(self._paces).reshape(-1, 2)
            serving, beside = self._tallies
            rows, alerts, errors = self._rows, (serving.alerts, beside.alerts), (serving.errors, beside.errors)
        slowest = np.quantile(paces, 0.99, axis=0).tolist() if len(paces) else [0.0, 0.0]
        return Beside(
            *self._digests,
            rows=rows,
            seconds=self._elapsed() - self._began,
            alerts=alerts,
            errors=errors,
            agreement=spearman(pairs[:, 0], pairs[:, 1]),
            shift=_distance(pairs[:, 2], pairs[:, 3]),
            latency_p99_ms=(slowest[0], slowest[1]),
            paced=len(paces),
        )

    def _run(self) -> None:
        while self._goes_on():
            with self._turn:
                self._take()

    def _goes_on(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._ends)
            if self._ends:
                self._queue.clear()
            return not self._ends

    def _take(self) -> None:
        """Score the batch that has waited longest, if any does; within a turn."""
        with self._changed:
            item = self._queue[0] if self._queue else None
        if item is None:
            return
        try:
            scores = self._scores(item)
        except Exception:  # noqa: BLE001  # whatever a model raises is counted against it
            scores = None
        with suppress(Exception):  # a model that fails is blamed for it above; the one that serves, where it serves
            self._pace(item.batch)
        with self._changed:
            self._count(item, scores)
            if self._queue:  # nothing is left of it once it stops
                self._waiting -= self._queue.popleft().batch.rows

    def _scores(self, item: Scored) -> Scores:
        model, batch = self.scorer.model, item.batch
        return model.judge(item.matrix if self._shares else self._features(item), model.entities(batch))

    def _features(self, item: Scored) -> FeatureMatrix:
        late = (item.matrix.marks & TOO_LATE) != 0
        if self._serving.order is None:
            late[:] = False
        return features_of(self.scorer.model, self.scorer.state, item.batch, late)

    def _count(self, item: Scored, scores: Scores | None) -> None:
        self._rows += item.batch.rows
        serving, beside = self._tallies
        serving.take(item.batch, item.scores)
        serving.errors += item.failed + (item.batch.rows if item.spared else 0)
        beside.take(item.batch, scores)
        if scores is not None:
            columns = (item.scores.score, scores.score, item.scores.p_value, scores.p_value)
            rows = np.unique(np.linspace(0, item.batch.rows - 1, min(item.batch.rows, SAMPLED)).astype(np.intp))
            sample = np.column_stack([column[rows] for column in columns])
            self._pairs.extend(map(tuple, sample[np.isfinite(sample).all(axis=1)].tolist()))
        time = self.scorer.model.design.schema.time
        if time is not None:
            latest = int(item.batch[time].max())
            self._since = int(item.batch[time].min()) if self._since is None else self._since
            self._seen_us = max(self._seen_us, latest - self._since)

    def _pace(self, batch: Batch) -> None:
        """Let both take turns at single rows; what else the processor does meets both alike."""
        if self._elapsed() - self._paced_at < PACE_S:
            return
        self._paced_at = self._elapsed()
        for row in range(min(batch.rows, PACED)):
            one = batch.take(slice(row, row + 1))
            taken = (_milliseconds(self._serving, one), _milliseconds(self.scorer, one))
            with self._changed:
                self._paces.append(taken)


class _Tally:
    """What a model found."""

    def __init__(self, model: AnomalyModel) -> None:
        self.alerts = 0
        self.errors = 0
        self._model = model
        self._episodes = Episodes(model.design.budget.cooldown_s)

    def take(self, batch: Batch, scores: Scores | None) -> None:
        """Count the episodes that begin, and rows without a score; None if the model failed on all of them."""
        if scores is None:
            self.errors += batch.rows
            return
        self.errors += int(np.count_nonzero(~np.isfinite(scores.score)))
        flagged = batch.take(scores.flagged & (scores.state != "warming_up"))
        time, entities = self._model.design.schema.time, self._model.entities(flagged)
        if time is None:
            self.alerts += flagged.rows
            return
        names = [""] * flagged.rows if entities is None else entities.tolist()
        taken = [self._episodes.take(str(who), when) for who, when in zip(names, flagged[time].tolist(), strict=True)]
        self.alerts += sum(begins for _, begins in taken)


def _milliseconds(scorer: Scorer, row: Batch) -> float:
    began = time.thread_time()
    matrix = scorer.model.kernel.peek(row, scorer.state)
    scorer.model.judge(matrix, scorer.model.entities(row))
    return (time.thread_time() - began) * 1e3


def _distance(one: Vector, other: Vector) -> float:
    """The largest distance of two empirical distributions."""
    if not len(one):
        return 0.0
    every = np.concatenate([one, other])
    ranks = [np.searchsorted(np.sort(values), every, side="right") / len(values) for values in (one, other)]
    return float(np.abs(ranks[0] - ranks[1]).max())


def remembers_s(model: AnomalyModel) -> float:
    """How long an entity's row has an effect on its features, in seconds of event time."""
    return model.kernel.plan.horizon / SECOND
