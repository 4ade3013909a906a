"""A search over parameters of the config, on the rows that a training learns from, and whether it gained anything.

    train ── folds ── trials ──> the best ──┐
      └──────────────────────── learn ──────┴──> config and best on the calibration rows ──> gain, or none

Trials see the training part alone, divided again into rows to learn from and later rows to judge on (`folds.py`).
What came out best there is then learnt from the whole training part, as the config itself is, and both are judged on
the calibration part, which no trial saw. The test part is no argument of anything here: it stays untouched for the
model that is trained in the end.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from tocsin import log, observe
from tocsin.config import Config
from tocsin.config.places import with_values, written
from tocsin.config.search import Range, TuneConfig
from tocsin.errors import ConfigError, DataError, Problem, TocsinError
from tocsin.model.design import Design, check_design, problems_in
from tocsin.model.feature_cache import FeatureCache
from tocsin.records import LABEL, Batch
from tocsin.training.folds import Fold, folds
from tocsin.training.history import Progress
from tocsin.training.judging import Judging, can_rank
from tocsin.training.objective import PRECISION, RECALL, Gain, gain
from tocsin.training.workers import spread_over

if TYPE_CHECKING:
    from tocsin.training.study import Point

STUDY = ".tocsin/tune.db"
TOGETHER = 4
"""Trials of `tpe` that are asked for at once, on any number of cores, so that what it finds does not hang on them."""
MOST_SAID = 300
"""Characters of why a trial was refused."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What a search found."""

    objective: str
    trials: int
    refused: int
    """Trials whose values do not go together."""
    before: float
    """The config's own objective, mean over the folds that trials are judged on."""
    after: float
    """That of the best trial."""
    values: Mapping[str, Any]
    """Of the best trial, by place."""
    gain: Gain | None
    """On rows that no trial saw; None where no trial was better than the config."""
    config: Mapping[str, Any]
    """The values as a config holds them."""
    study: Path
    generated: bool
    """Found on generated rows."""

    @property
    def gained(self) -> bool:
        """Whether the best is surely better than the config on rows that no trial saw."""
        return self.gain is not None and self.gain.sure


@dataclass(frozen=True, slots=True)
class SearchMeans:
    """What a search works with.

    Parameters
    ----------
    progress
        Told the stage, how many trials are done and of how many.
    cache
        Of features.
    workers
        Processes; by default as many as there are cores.
    anew
        Put an earlier study aside.
    generated
        The rows are no real telemetry.
    """

    progress: Progress = lambda _stage, _done, _total=0: None
    cache: FeatureCache | None = None
    workers: int | None = None
    anew: bool = False
    generated: bool = False


def tune(config: Config, rows: Fold, means: SearchMeans) -> Tuning:
    """Search, then compare the best with the config; goes on with a study that was cut off.

    Parameters
    ----------
    config
        With `tune`; checked, its columns found.
    rows
        The training part, which trials divide among themselves, and the calibration part, which no trial sees.
    means
        What to work with.

    Raises
    ------
    ConfigError
        If the config names nothing to search.
    DataError
        If there are too few rows, or every trial was refused.
    IntegrityError
        If the study on the disk is another one's.
    ConflictError
        If another process is at it.
    MissingExtraError
        If Optuna is not installed.
    """
    from tocsin.training.study import open_study

    search = search_of(config)
    file = config.resolve(STUDY)
    if means.anew and file.exists():
        file.replace(file.with_suffix(".db.aside"))
    means.progress("features", 0)
    within = list(folds(rows.learn, config.schema_, config.split, search.folds))
    judging = Judging(within, can_rank([*within, rows]), search.seed, means.cache)
    trial = _Trial(config, judging)
    before = trial.value({})  # and with it the features that all trials share
    with open_study(file, config.name, search, _identity(config, search, rows)) as study:
        workers = min(means.workers or os.cpu_count() or 1, study.total)
        together = 4 * workers if search.every else TOGETHER
        with spread_over(min(workers, together), trial) as spread:
            while points := study.next(together):
                for point, (value, reason) in spread(points):
                    study.finish(point, value, reason)
                    observe.trial_finished(point.number, value, reason)
                    means.progress("trials", len(study.finished), study.total)
        finished = study.finished
    valued = [(found.value, found.point.values) for found in finished if found.value is not None]
    if not valued:
        raise DataError("tune", f"{len(finished)} trials, all refused: {finished[0].reason}", "values that fit")
    after, values = max(valued, key=lambda found: found[0])  # of equals the first
    means.progress("comparing", 0)
    compared = _compare(config, values, Judging([rows], judging.ranked, search.seed + 1, means.cache))
    return Tuning(
        objective=PRECISION if judging.ranked else RECALL,
        trials=len(finished),
        refused=len(finished) - len(valued),
        before=before,
        after=after,
        values=values,
        gain=compared if after > before else None,
        config=written(with_values(config, values), values),
        study=file,
        generated=means.generated,
    )


def _compare(config: Config, values: Mapping[str, Any], judging: Judging) -> Gain:
    before, after = (judging.answers(Design.of(item), 0) for item in (config, with_values(config, values)))
    return gain(before, after, judging.seed)


@dataclass
class _Trial:
    """A combination of values, judged on all folds."""

    config: Config
    judging: Judging

    def __call__(self, point: Point) -> tuple[float | None, str]:
        """The objective, or None and why these values do not go together."""
        try:
            return self.value(point.values), ""
        except TocsinError as error:
            return None, str(error.problem)[:MOST_SAID]

    def value(self, values: Mapping[str, Any]) -> float:
        """The mean of the objective over the folds."""
        design = Design.of(with_values(self.config, values))
        with log.quiet():
            found = [self.judging.answers(design, number).value() for number in range(len(self.judging.folds))]
        return float(np.mean(found))


def search_of(config: Config) -> TuneConfig:
    """What a config searches; raises ConfigError if it says nothing of it."""
    if config.tune is None:
        hint = "for example tune: {search: {detector.trees: [50, 100, 200]}}"
        raise ConfigError([Problem("$.tune", "nothing", "what to search", hint)])
    return config.tune


def check_search(config: Config) -> list[Problem]:
    """Every value to be tried, set alone, that does not fit the config; opens nothing."""
    if config.tune is None:
        return []
    return [
        Problem(f"$.tune.search.{place}", f"{value!r}: {problem.got}", problem.wanted, problem.hint)
        for place, values in config.tune.search.items()
        for value in ((values.low, values.high) if isinstance(values, Range) else values)
        for problem in problems_in(partial(_fits, config, {place: value}))
    ]


def _fits(config: Config, values: Mapping[str, Any]) -> None:
    if problems := check_design(with_values(config, values)):
        raise ConfigError(problems)


def _identity(config: Config, search: TuneConfig, rows: Fold) -> dict[str, str]:
    """What the values of trials hang on; how many trials there are to be is not among it."""
    facts = {"schema_", "features", "preparation", "detector", "split", "alerts", "limits"}
    searched = search.model_dump(mode="json", exclude={"trials"})
    text = orjson.dumps([config.model_dump(mode="json", include=facts), searched], option=orjson.OPT_SORT_KEYS)
    total = hashlib.sha256()
    for batch in (rows.learn, rows.judge):
        _hash(total, batch)
    config_digest = hashlib.sha256(text).hexdigest()
    return {"version of Tocsin": version("tocsin"), "config": config_digest, "history": total.hexdigest()}


def _hash(total: hashlib._Hash, batch: Batch) -> None:
    for name in sorted(name for name in batch if name == LABEL or not name.startswith("_")):
        column = batch[name]
        total.update(repr((name, column.dtype.str, len(column))).encode())
        plain = orjson.dumps(column.tolist()) if column.dtype == object else np.ascontiguousarray(column).tobytes()
        total.update(plain)
