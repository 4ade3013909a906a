"""Learn, score, judge: every contender on the same rows, figures that rank and need no threshold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from tocsin import log
from tocsin.bench.cases import Case
from tocsin.bench.peers import scores_of_peers
from tocsin.calibration import codes_of
from tocsin.config import Config
from tocsin.errors import DataError, TocsinError
from tocsin.evaluation.doubts import OPPOSITE_AUC
from tocsin.evaluation.leaks import TELLING_AUC, find_leaks
from tocsin.evaluation.measures import Ranking, average_precision, roc_auc
from tocsin.evaluation.volume import volume_figure
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.design import Design
from tocsin.model.training_rows import presumed_normal
from tocsin.records import CLASS, GENERATED, LABEL, Batch, Mask, Matrix, Vector
from tocsin.system import Project
from tocsin.training.history import source_of
from tocsin.training.limits import Limits
from tocsin.training.split import split

OURS = "Tocsin"
MOST_RARE = 0.5
"""Share of anomalies beyond which they are the rule."""


@dataclass(frozen=True, slots=True)
class Result:
    """One contender on one case."""

    roc_auc: float
    average_precision: float
    vus_pr: float | None
    """Volume under the precision-recall surface; None for rows without a clock."""
    seconds: float
    """Of learning and scoring together; for Tocsin with its features."""


@dataclass(frozen=True, slots=True)
class Judged:
    """All contenders on one case, or why there are none."""

    set: str
    name: str
    rows: int = 0
    anomalies: int = 0
    detector: str = ""
    """Tocsin's, as the config or the preset has it."""
    generated: bool = False
    results: Mapping[str, Result] = field(default_factory=dict)
    reason: str = ""
    doubts: tuple[str, ...] = ()
    """What makes the figures of all contenders worth little."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """Both parts of a case: what Tocsin makes of them, and how they are prepared for the others."""

    scores: Vector
    train: Matrix
    test: Matrix
    series: NDArray[np.intp] | None
    """The entity of each test row as a number, (n,); None without a clock."""


def judge(cases: Iterable[Case], seed: int = 0, progress: Callable[[str], None] = lambda _: None) -> Iterator[Judged]:
    """Each case in turn; one that cannot be read or learnt from stops none of the others."""
    for case in cases:
        with TemporaryDirectory() as folder:
            try:
                yield _judge(case, Path(folder), seed, progress)
            except TocsinError as error:
                yield Judged(case.set, case.name, reason=f"{error.problem.got}, wanted {error.problem.wanted}")


def _judge(case: Case, folder: Path, seed: int, progress: Callable[[str], None]) -> Judged:
    progress(f"{case.name}: {OURS}")
    project = Project(case.config(folder))
    config = project.met(source_of(project.config))
    train, test, warm = rows_of(project, config)
    if LABEL not in test:
        raise DataError(case.name, "rows without labels", "`labels` in the config")
    generated = GENERATED in test and bool(test[GENERATED].any())
    known = test[LABEL] >= 0
    truth = test[LABEL][known] == 1
    if truth.all() or not truth.any():
        kind = "anomalies" if truth.any() else "normal rows"
        return Judged(case.set, case.name, test.rows, int(truth.sum()), reason=f"{kind} alone: nothing to tell apart")
    start = perf_counter()
    rows = _ours(config, train if case.normal_only else untold(train), test, warm=warm)
    series = None if rows.series is None else rows.series[known]
    results = {OURS: _result(truth, rows.scores[known], series, perf_counter() - start)}
    doubts = list(_doubts(test.take(np.flatnonzero(known)), config.schema_.time, truth, results[OURS].roc_auc))
    for name, peer in scores_of_peers(rows.train, rows.test, rows.series, seed):
        progress(f"{case.name}: {name}")
        start = perf_counter()
        try:
            scores, taken = peer()[known], perf_counter() - start
        except Exception as error:  # noqa: BLE001  # of another package, and stops nobody else
            doubts.append(f"{name} failed ({str(error) or type(error).__name__:.200})")
            continue
        results[name] = _result(truth, scores, series, taken)
    detector = str(config.detector)
    return Judged(case.set, case.name, test.rows, int(truth.sum()), detector, generated, results, doubts=tuple(doubts))


def _doubts(test: Batch, clock: str | None, truth: Mask, area: float) -> Iterator[str]:
    if truth.mean() > MOST_RARE:
        yield f"{truth.mean():.0%} of the labelled rows are anomalies, and so high is the precision of chance"
    if area < OPPOSITE_AUC:
        yield f"normal rows score higher than anomalies (ROC-AUC {area:.2f}): the labels may mean the opposite"
    told = {name: column for name, column in test.items() if not name.startswith("_") and name != clock}
    leaks = find_leaks(told, truth)
    if (single := leaks.single) and single.roc_auc > TELLING_AUC:
        yield f"the column {single.column} ({single.by}) alone reaches a ROC-AUC of {single.roc_auc:.4f}"


def rows_of(project: Project, config: Config) -> tuple[Batch, Batch, bool]:
    """Rows to learn from and rows to judge; the last says whether these follow those."""
    limits = Limits(config.limits)
    history = project.reader.read(source_of(config), config.labels, limits).batch
    if config.test is not None:
        return history, project.reader.read(config.test, config.test_labels or config.labels, limits).batch, False
    parts = split(history, config.schema_, config.split, test_elsewhere=False)
    return Batch.concatenate([parts.train, parts.calibration]), parts.test, config.schema_.time is not None


def untold(rows: Batch) -> Batch:
    """The rows without what is known of them."""
    return Batch({name: column for name, column in rows.items() if name not in (LABEL, CLASS)})


def _ours(config: Config, train: Batch, test: Batch, *, warm: bool) -> _Rows:
    """No figure here needs a threshold, so that all rows are learnt from and none is held back for one."""
    with log.quiet():  # what is said of a threshold here is said of none
        model = AnomalyModel(Design.of(config)).fit(train, train)
    state = model.start()
    before = model.features(train, state).values
    after = model.features(test, state if warm else model.start()).values
    schema = config.schema_
    return _Rows(
        scores=model.detector.score(model.prepared(after)),
        train=model.preparation.apply(model.latest(before)[presumed_normal(train)]),
        test=model.preparation.apply(model.latest(after)),
        series=codes_of(test[schema.entity] if schema.entity else None, test.rows) if schema.time else None,
    )


def _result(truth: Mask, scores: Vector, series: NDArray[np.intp] | None, seconds: float) -> Result:
    ranking = Ranking.of(truth, scores)
    area = float(roc_auc(ranking.anomalies, ranking.normals))
    volume = None if series is None else volume_figure(truth, scores, series, seed=0).value
    return Result(area, float(average_precision(ranking.anomalies, ranking.normals)), volume, seconds)
