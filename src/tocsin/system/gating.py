"""A candidate before its judges: it and the champion are tried on the same rows, in the same run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tocsin.config import Config
from tocsin.errors import DataError, SchemaError, TocsinError
from tocsin.evaluation import beside
from tocsin.evaluation.gates.base import Case
from tocsin.evaluation.gates.leak import telling_column
from tocsin.evaluation.judge import judge
from tocsin.evaluation.pins import Pins, pin
from tocsin.evaluation.report import Report
from tocsin.evaluation.subject import Share, Subject, fresh_anomalies, tried_on
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.bundle import Bundle, pack, unpack
from tocsin.model.feature_cache import FeatureCache, FeaturePass
from tocsin.model.fitted import named_by
from tocsin.model.profile import described
from tocsin.records import Batch, Scores, Vector, Verdict
from tocsin.registry import CHAMPION, Registry
from tocsin.system.loading import admitted

COMPARED = 4_000
"""Test rows by which ranks are compared."""
PACED = 60
"""Single rows by which models are timed in turns."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What a candidate learnt from and was judged on, in time order where there is a clock."""

    test: Batch
    before: Sequence[Batch] = ()
    """Rows that went before the test rows; the first of them are those that it learnt from, if `learnt`."""
    learnt: bool = True
    follows: bool = True
    """Whether the test rows follow those before them; they come from elsewhere otherwise."""

    def last(self, time: str | None) -> int | None:
        """The latest time of all; None without a clock."""
        return max(int(rows[time].max()) for rows in (*self.before, self.test) if rows.rows) if time else None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that was tried on its test rows."""

    model: AnomalyModel
    bundle: Bundle
    report: Report
    scores: Scores
    """Of the test rows."""
    rows: Rows
    memory_bytes: int
    """The most that its training held."""


@dataclass
class Court:
    """Where the candidates of a name are judged.

    Parameters
    ----------
    config, registry, cache
        What is asked, where champion and pinned rows are, and where features lie that were computed before.
    now
        The time of day.
    """

    config: Config
    registry: Registry
    cache: FeatureCache
    now: datetime
    pins: Pins | None = field(default=None, init=False)
    """Rows that were pinned for this candidate and are to be kept if it passes; None if there were some before."""
    _lost: dict[str, str] = field(default_factory=dict, init=False)

    def judge(self, candidate: Candidate, *, anew: bool = False) -> Verdict:
        """Hold a candidate against every gate of the config.

        Parameters
        ----------
        candidate
            What was tried.
        anew
            Pin other rows, with this candidate as their anchor.
        """
        champion = self._champion
        model, replayed = self._rebuilt(candidate)
        pins = self._pinned(model if anew or champion is None else champion.model, candidate.rows.test, anew=anew)
        ring = _Ring(candidate.rows, pins, int(candidate.bundle.digest[:8], 16))
        paces, opponent, learnt = [0.0], None, None
        if champion is not None:
            try:
                learnt, scores = ring.scored(champion.model, self.cache)
                paces = _paces([model, champion.model], candidate.rows.test)
                opponent = replace(ring.subject(champion.model, scores, paces[1], champion.memory), leak=champion.leak)
            except SchemaError as error:
                self._lost["champion"] = f"it reads rows of another form ({error.problem.where})"
        report = candidate.report.to_json()
        if champion is not None and champion.labelled and not _labelled(report):
            self._lost["labels"] = "the champion was judged on labelled rows, and none of these is labelled"
        case = Case(
            report=report,
            candidate=ring.subject(model, candidate.scores.score[ring.places], paces[0], candidate.memory_bytes),
            now=self.now,
            size_bytes=sum(map(len, pack(candidate.bundle).values())),
            max_size_bytes=self.config.registry.max_size,
            last=candidate.rows.last(model.design.schema.time),
            replayed=replayed,
            champion=opponent,
            lost=self._lost,
            learnt=learnt,
            pins=pins,
            kinds=ring.kinds,
            beside=self._beside(candidate.bundle.digest),
        )
        return judge(case, self.config.gate)

    def keep(self) -> None:
        """Keep what was pinned for the candidate; nothing if there were pins before."""
        if self.pins is not None:
            self.registry.pinboard(self.config.name).keep(self.pins.bundle(), self.pins.anchor)

    def _beside(self, digest: str) -> beside.Beside | None:
        """How a running service of this config found the candidate to do, where the champion served."""
        kept = beside.Beside.read(self.config.resolve(self.config.stream.journal) / beside.FILE)
        return kept if kept and (kept.serving, kept.beside) == (self.parent, digest) else None

    @property
    def parent(self) -> str | None:
        """Digest of the champion, which a candidate is to replace."""
        return self._champion.digest if self._champion else None

    @cached_property
    def _champion(self) -> _Champion | None:
        name = self.config.name
        try:
            if name not in self.registry.names() or CHAMPION not in self.registry.channels(name):
                return None
            bundle, entry = self.registry.load(name, CHAMPION)
            model = admitted(bundle, self.config)
            memory = int(entry.summary.get("peak_memory_bytes", 0))
            report = self.registry.report(name, CHAMPION)
            return _Champion(model, entry.digest, memory, telling_column(report), _labelled(report))
        except TocsinError as error:
            self._lost["champion"] = f"{error.problem.where}, {error.problem.got}"
            return None

    def _rebuilt(self, candidate: Candidate) -> tuple[AnomalyModel, str]:
        """The model as a machine will have it that loads its files; as it is, with the reason, if that fails."""
        try:
            return AnomalyModel.from_bundle(unpack(pack(candidate.bundle)), outside=named_by(self.config)), ""
        except TocsinError as error:
            return candidate.model, f"{error.problem.where}, {error.problem.got}"

    def _pinned(self, anchor: AnomalyModel, test: Batch, *, anew: bool) -> Pins | None:
        """The rows that are pinned, or that were pinned now."""
        try:
            kept = None if anew else self.registry.pinboard(self.config.name).load()
            if kept is not None:
                return Pins.from_bundle(kept)
        except TocsinError as error:
            self._lost["pins"] = f"{error.problem.where}, {error.problem.got}"
            return None
        try:
            self.pins = pin(anchor, test)
        except DataError:  # nothing varies, so nothing can be disturbed
            return None
        if self._champion and not anew:
            self._lost["pins"] = "there is a champion, and the rows that it was tried on are gone"
        return self.pins


@dataclass(frozen=True, slots=True)
class _Champion:
    model: AnomalyModel
    digest: str
    memory: int
    leak: str
    labelled: bool


def _labelled(report: Mapping[str, Any]) -> bool:
    """Whether any row that a report is of carries a label."""
    return bool(report["rows"]["all"] > report["rows"]["unlabelled"])


class _Ring:
    """The rows on which all models are tried."""

    def __init__(self, rows: Rows, pins: Pins | None, seed: int) -> None:
        count = rows.test.rows
        self.places = np.unique(np.linspace(0, count - 1, min(count, COMPARED)).astype(np.intp))
        self._rows = rows
        self._pins = pins
        self._fresh = () if pins is None else fresh_anomalies(pins, seed)

    @property
    def kinds(self) -> NDArray[np.str_]:
        """What was done in each fresh anomaly."""
        return np.array([kind for copy in self._fresh for kind in copy.kinds])

    def subject(self, model: AnomalyModel, scores: Vector, latency_ms: float, memory_bytes: int) -> Subject:
        """What gates know of a model."""
        return Subject(
            training=model.training,
            profile=model.profile,
            fields=described(model.design.schema),
            scores=scores,
            rang_before=Share(*model.profile.rang.tolist()),
            on_pins=None if self._pins is None else tried_on(model, self._pins, self._fresh),
            latency_ms=latency_ms,
            memory_bytes=memory_bytes,
        )

    def scored(self, model: AnomalyModel, cache: FeatureCache) -> tuple[Share | None, Vector]:
        """How many of the rows that the candidate learnt from another model rings for; its scores of the test rows."""
        rows, learnt = self._rows, None
        features = FeaturePass(cache).begin(model.kernel)
        for place, batch in enumerate(rows.before):
            matrix = features.run(batch)
            if rows.learnt and place == 0:
                learnt = Share(*model.rung(matrix, batch))
        if not rows.follows:
            features.begin(model.kernel)
        values = features.run(rows.test).values[self.places]
        return learnt, model.detector.score(model.prepared(values))


def _paces(models: Sequence[AnomalyModel], rows: Batch) -> list[float]:
    """Milliseconds that half of the single rows take at most, by model: what else the machine does meets all alike."""
    states = [model.start() for model in models]
    taken: list[list[float]] = [[] for _ in models]
    for row in range(min(rows.rows, PACED)):
        one = rows.take(slice(row, row + 1))
        for model, state, times in zip(models, states, taken, strict=True):
            start = perf_counter()
            model.score(one, state)
            times.append((perf_counter() - start) * 1e3)
    return [float(np.median(times)) for times in taken]
