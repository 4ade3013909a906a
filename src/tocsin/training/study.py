"""What a search has tried, on disk: an Optuna study in SQLite that a killed process leaves whole.

SQLite writes a rollback journal and waits for the disk at every commit (`synchronous = FULL`), and a trial is
finished by one commit: its values and its state are there together or not at all. A trial that was asked for and
never finished is taken up again by whoever comes next.
"""

from __future__ import annotations

import fcntl
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import orjson

from tocsin.component import optional_packages
from tocsin.config.search import Range, TuneConfig
from tocsin.errors import ConflictError, IntegrityError

with optional_packages("tune"):
    import optuna
    from optuna.distributions import BaseDistribution as Distribution
    from optuna.distributions import CategoricalDistribution
    from optuna.trial import FrozenTrial, TrialState

STUDY_FORMAT = 1
_BEGIN_ANEW = "tocsin tune --anew puts it aside and begins again"
_IDENTITY, _REFUSED = "tocsin", "refused"
"""Attributes of the study: what it hangs on, and why trials were refused."""


@dataclass(frozen=True, slots=True)
class Point:
    """One combination of values: place -> value."""

    number: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Finished:
    """A trial that has come to its end: with a value, or refused with a reason."""

    point: Point
    value: float | None
    reason: str = ""


class Study:
    """The trials of one search; open it with `open_study`."""

    def __init__(self, study: optuna.Study, search: TuneConfig) -> None:
        self._study = study
        self._search = search
        self._distributions = {place: _distribution(search, place) for place in search.search}
        self._grid = list(product(*map(search.points, search.search))) if search.every else []
        self.total = len(self._grid) or search.trials

    @property
    def finished(self) -> tuple[Finished, ...]:
        """All that were finished, by this process or earlier ones, in the order in which they were asked for."""
        refused = self._study.user_attrs.get(_REFUSED, {})
        return tuple(
            Finished(self._point(trial), trial.value, refused.get(str(trial.number), ""))
            for trial in self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL))
            if trial.params.keys() == self._distributions.keys()
        )

    def next(self, most: int) -> list[Point]:
        """What to try now: trials that a killed process left, then new ones, so many at most."""
        found: list[Point] = []
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.params.keys() == self._distributions.keys():
                found.append(self._point(trial))
            else:  # killed while it was asked for: nobody knows what it was to be
                self._study.tell(trial.number, state=TrialState.FAIL)
        asked = len(self._study.get_trials(deepcopy=False))
        return [*found, *map(self._ask, range(asked, min(asked + most - len(found), self.total)))]

    def _ask(self, number: int) -> Point:
        if self._grid:
            values = dict(zip(self._distributions, self._grid[number], strict=True))
            params = {place: orjson.dumps(value).decode() for place, value in values.items()}
            running = optuna.create_trial(
                state=TrialState.RUNNING, params=params, distributions=dict(self._distributions)
            )
            self._study.add_trial(running)
            return Point(number, values)
        # What is drawn hangs on the number and on what is finished, not on what this process has drawn before.
        self._study.sampler = _sampler(self._search.seed + number)
        trial = self._study.ask(dict(self._distributions))
        return Point(number, {place: self._told(place, value) for place, value in trial.params.items()})

    def _point(self, trial: FrozenTrial) -> Point:
        return Point(trial.number, {place: self._told(place, value) for place, value in trial.params.items()})

    def _told(self, place: str, value: Any) -> Any:
        return orjson.loads(value) if isinstance(self._distributions[place], CategoricalDistribution) else value

    def finish(self, point: Point, value: float | None, reason: str = "") -> None:
        """Write down how a trial ended; it is on the disk when this returns."""
        if value is None:
            known = self._study.user_attrs.get(_REFUSED, {})
            self._study.set_user_attr(_REFUSED, {**known, str(point.number): reason})
            self._study.tell(point.number, state=TrialState.FAIL)
        else:
            self._study.tell(point.number, value)


@contextmanager
def open_study(file: Path, name: str, search: TuneConfig, identity: Mapping[str, str]) -> Iterator[Study]:
    """Open the study of a file, or begin it, for this process alone.

    Parameters
    ----------
    file
        A SQLite database; made with its folder.
    name
        Of the study in it.
    search
        What is searched.
    identity
        What the values of its trials hang on, in words -> digests: a study with another identity is not gone on with.

    Raises
    ------
    ConflictError
        If another process has it open.
    IntegrityError
        If the file is no study, one of another Optuna, or one of another config, of other rows or of another Tocsin.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(_alone(file))
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        stack.enter_context(_readable(file, optuna.exceptions.StorageInternalError))
        with _readable(file, Exception):  # SQLAlchemy, alembic and Optuna each have their own
            storage = optuna.storages.RDBStorage(f"sqlite:///{file}")
            study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
            study.get_trials()
        wanted = {"format": str(STUDY_FORMAT), **identity}
        _same(file, study, wanted)
        yield Study(study, search)


@contextmanager
def _readable(file: Path, kind: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kind as error:
        first = str(error.__cause__ or error).partition("\n")[0]
        got = f"a file that this Optuna ({optuna.__version__}) cannot read or write as a study: {first}"
        raise IntegrityError(str(file), got, "a study that this version wrote", _BEGIN_ANEW) from error


def _same(file: Path, study: optuna.Study, wanted: Mapping[str, str]) -> None:
    known = study.user_attrs.get(_IDENTITY)
    if known is None and not study.get_trials(deepcopy=False):
        study.set_user_attr(_IDENTITY, dict(wanted))
        return
    known = known if isinstance(known, dict) else {}
    if other := [what for what in wanted if known.get(what) != wanted[what]]:
        got = f"a study of another {' and of another '.join(other)}"
        raise IntegrityError(str(file), got, "one that can be gone on with", _BEGIN_ANEW)


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    with file.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(str(file), "a study that another process is at", "one process", "wait for it") from None
        yield


def _sampler(seed: int) -> optuna.samplers.BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed % 2**32, constant_liar=True)


def _distribution(search: TuneConfig, place: str) -> Distribution:
    """What Optuna draws from; of a list, and in a grid, JSON texts."""
    values = search.search[place]
    if search.every or not isinstance(values, Range):
        return CategoricalDistribution([orjson.dumps(value).decode() for value in search.points(place)])
    high = values.points[-1] if values.step else values.high
    if values.whole:
        return optuna.distributions.IntDistribution(int(values.low), int(high), values.log, int(values.step or 1))
    return optuna.distributions.FloatDistribution(values.low, high, values.log, values.step)
