"""What every detector must hold to: each check is given a class and an empty folder.

A check that fails raises AssertionError with a sentence that says what to change. The rows are independent normal
columns; a planted spike is a value far outside one of them, which any method for any kind of anomaly has to see.
A detector learns from normal rows alone, or from normal rows and labelled spikes if that is what it needs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import orjson

from tocsin.checks.mutants import survives
from tocsin.checks.part import require
from tocsin.detectors.base import Detector, Labels, State, Supervision
from tocsin.errors import DataError, NotFittedError, SchemaError
from tocsin.records import Matrix, Vector

Kind = type[Detector]

_ROWS, _COLUMNS = 600, 4
_CENTRE = np.array([0.0, 50.0, -3.0, 1e4])
_SCALE = np.array([1.0, 10.0, 0.1, 500.0])
# In standard deviations of its column.
_SPIKE = 12.0
_LEAST_AUC = 0.9
# Matrix products sum in another order for other shapes; anything beyond rounding is a dependence on other rows.
_ROUNDING = 1e-12

_FIT_AND_SCORE = """
import sys
from importlib import import_module
from pathlib import Path

import numpy as np

from tocsin.component import parameter_model

module, name, folder = sys.argv[1:]
kind = getattr(import_module(module), name)
values = parameter_model(kind).model_validate_json(Path(folder, "parameters.json").read_bytes())
arrays = np.load(Path(folder, "rows.npz"), allow_pickle=False)
detector = kind(**{name: getattr(values, name) for name in type(values).model_fields})
detector.fit(arrays["training"], arrays["labels"])
np.save(Path(folder, "scores.npy"), detector.score(arrays["rows"]))
"""


def normal_rows(rows: int = _ROWS, seed: int = 0, steps: int = 1) -> Matrix:
    """Independent normal columns of different centre and scale, (rows, 4), or sequences of so many such rows."""
    between = (steps,) if steps > 1 else ()
    return _CENTRE + _SCALE * np.random.default_rng(seed).normal(size=(rows, *between, _COLUMNS))


def spiked_rows(rows: int = 60, seed: int = 1, steps: int = 1) -> Matrix:
    """Normal rows with one value each far above its column; the columns take turns. Of a sequence, the last row."""
    spiked, columns = normal_rows(rows, seed, steps), np.arange(rows) % _COLUMNS
    last = spiked if steps == 1 else spiked[:, -1]
    last[np.arange(rows), columns] += (_SPIKE * _SCALE)[columns]
    return spiked


def training_rows(detector: Detector) -> tuple[Matrix, Labels]:
    """What a detector of this supervision learns from."""
    normal = normal_rows(steps=detector.steps)
    if detector.supervision is not Supervision.LABELLED:
        return normal, np.zeros(len(normal), dtype=np.int8)
    spiked = spiked_rows(seed=2, steps=detector.steps)
    return np.vstack([normal, spiked]), np.repeat(np.array([0, 1], dtype=np.int8), [len(normal), len(spiked)])


def check_fit_returns_itself(kind: Kind, folder: Path) -> None:
    """`kind().fit(x)` is the fitted detector."""
    detector = kind.example(folder)
    require(detector.fit(*training_rows(detector)) is detector, f"{kind.__name__}.fit must return self")


def check_score_before_fit_is_refused(kind: Kind, folder: Path) -> None:
    """A detector that has learnt nothing says so."""
    detector = kind.example(folder)
    for method in (detector.score, detector.explain):
        rows = normal_rows(3, steps=detector.steps)
        _refuses(NotFittedError, method, rows, f"{kind.__name__}.{method.__name__} before fit")


def check_scores_are_finite_numbers(kind: Kind, folder: Path) -> None:
    """One finite float64 for each row, none for no rows."""
    detector = _fitted(kind, folder)
    steps = detector.steps
    for rows in (normal_rows(7, steps=steps), spiked_rows(5, steps=steps), normal_rows(0, steps=steps)):
        _scored(detector, rows)


def check_spikes_score_higher(kind: Kind, folder: Path) -> None:
    """Higher = more anomalous: easy spikes stand above unseen normal rows."""
    detector = _fitted(kind, folder)
    steps = detector.steps
    spikes, normal = detector.score(spiked_rows(steps=steps)), detector.score(normal_rows(seed=3, steps=steps))
    above = (spikes[:, None] > normal).mean() + 0.5 * (spikes[:, None] == normal).mean()
    require(above >= _LEAST_AUC, f"{kind.__name__}: ROC-AUC {above:.3f} on easy spikes, wanted {_LEAST_AUC} or more")


def check_scoring_changes_nothing(kind: Kind, folder: Path) -> None:
    """Neither the state nor the rows; the second time gives the same."""
    detector = _fitted(kind, folder)
    rows = spiked_rows(steps=detector.steps)
    before, bytes_before = _bytes(detector.state()), rows.tobytes()
    first = detector.score(rows), detector.explain(rows)
    second = detector.score(rows), detector.explain(rows)
    require(_bytes(detector.state()) == before, f"{kind.__name__}: scoring changes the state; learn in fit alone")
    require(rows.tobytes() == bytes_before, f"{kind.__name__}: scoring writes into the rows it is given")
    require(
        all(map(np.array_equal, first, second)), f"{kind.__name__}: the same rows score differently the second time"
    )


def check_read_only_rows_are_accepted(kind: Kind, folder: Path) -> None:
    """The columns of a batch are read-only."""
    detector = kind.example(folder)
    rows, labels = training_rows(detector)
    rows.flags.writeable = labels.flags.writeable = False
    detector.fit(rows, labels)
    detector.score(rows)
    detector.explain(rows)


def check_a_row_scores_the_same_alone(kind: Kind, folder: Path) -> None:
    """A score depends on its row alone, to within rounding."""
    detector = _fitted(kind, folder)
    rows = _mixed(detector, 12, 188)
    together, alone = detector.score(rows), np.concatenate([detector.score(row[None]) for row in rows[:24]])
    _same(together[:24], alone, f"{kind.__name__}: a row alone scores differently than in a batch")
    reasons = np.concatenate([detector.explain(row[None]) for row in rows[:24]])
    _same(detector.explain(rows)[:24], reasons, f"{kind.__name__}: a row alone has other reasons than in a batch")


def check_the_order_of_rows_is_irrelevant(kind: Kind, folder: Path) -> None:
    """Shuffled rows have the shuffled scores, to within rounding."""
    detector = _fitted(kind, folder)
    rows = _mixed(detector, 60, 100)
    order = np.random.default_rng(4).permutation(len(rows))
    _same(
        detector.score(rows)[order], detector.score(rows[order]), f"{kind.__name__}: the order of rows moves the scores"
    )


def check_the_same_fit_gives_the_same_bits(kind: Kind, folder: Path) -> None:
    """Same rows, parameters and seed, same state."""
    first, second = _bytes(_fitted(kind, folder).state()), _bytes(_fitted(kind, folder).state())
    require(first == second, f"{kind.__name__}: two fits on the same rows differ; draw every random number from a seed")


def check_a_fresh_process_gives_the_same_bits(kind: Kind, folder: Path) -> None:
    """Nothing hangs on the process: neither its hash seed nor what ran in it before."""
    detector = kind.example(folder)
    training, labels = training_rows(detector)
    rows = _mixed(detector, 60, 40)
    np.savez(folder / "rows.npz", training=training, labels=labels, rows=rows)
    (folder / "parameters.json").write_bytes(orjson.dumps(detector.spec().parameters))
    command = [sys.executable, "-c", _FIT_AND_SCORE, kind.__module__, kind.__name__, str(folder)]
    done = subprocess.run(  # noqa: S603  # this interpreter runs the text above
        command, env={**os.environ, "PYTHONHASHSEED": "7"}, capture_output=True, text=True, timeout=120, check=False
    )
    require(done.returncode == 0, f"{kind.__name__} fails in a fresh process:\n{done.stderr[-2_000:]}")
    there = np.load(folder / "scores.npy", allow_pickle=False)
    here = detector.fit(training, labels).score(rows)
    require(np.array_equal(here, there), f"{kind.__name__}: a fresh process gives other scores for the same seed")


def check_other_matrices_are_refused(kind: Kind, folder: Path) -> None:
    """Wrong width, wrong type, missing values: a SchemaError, never a score."""
    detector = _fitted(kind, folder)
    rows = normal_rows(5, steps=detector.steps)
    missing = rows.copy()
    missing[2, ..., 1] = np.nan
    refused: dict[str, np.ndarray] = {
        "one column too few": rows[..., 1:],
        "one column too many": np.concatenate([rows, rows[..., :1]], axis=-1),
        "float32": rows.astype(np.float32),
        "text": rows.astype(str),
        "one dimension": rows[..., 0],
        "a missing value": missing,
        "an infinite value": np.where(np.isnan(missing), np.inf, missing),
    }
    for what, rows in refused.items():
        for method in (detector.score, detector.explain):
            _refuses(SchemaError, method, rows, f"{kind.__name__}.{method.__name__} of {what}")
    for what in ("float32", "one dimension", "a missing value", "an infinite value"):
        _refuses(SchemaError, kind.example(folder).fit, refused[what], f"{kind.__name__}.fit of {what}")
    _refuses(SchemaError, kind.example(folder).fit, rows[:0], f"{kind.__name__}.fit of no rows")


def check_unusual_training_rows_are_survived(kind: Kind, folder: Path) -> None:
    """Small, constant, repeated and huge: fit works and scores stay finite.

    One row has one label: a detector that has to tell two apart refuses it as a DataError.
    """
    steps = kind.example(folder).steps
    constant, huge = normal_rows(steps=steps), normal_rows(steps=steps)
    constant[..., 2] = 7.0
    huge[::50, ..., 1], huge[1::50, ..., 1] = 1e300, -1e300
    unusual: dict[str, Matrix] = {
        "one row": normal_rows(1, steps=steps),
        "two rows": normal_rows(2, steps=steps),
        "one column": normal_rows(steps=steps)[..., :1],
        "a constant column": constant,
        "one row repeated": np.repeat(normal_rows(1, steps=steps), 300, axis=0),
        "values of 1e300": huge,
    }
    for what, rows in unusual.items():
        detector = kind.example(folder)
        labels = np.zeros(len(rows), dtype=np.int8)
        labels[::2] = detector.supervision is Supervision.LABELLED
        if labels.all():
            _refuses(DataError, partial(detector.fit, y=labels), rows, f"{kind.__name__}.fit of anomalies alone")
            continue
        try:
            with np.errstate(over="raise", divide="raise", invalid="raise"):
                detector.fit(rows, labels)
                for seen in (rows[:5], spiked_rows(steps=steps), huge[:5]):
                    _scored(detector, seen[..., : rows.shape[-1]])
        except (ArithmeticError, ValueError, IndexError) as error:
            raise AssertionError(f"{kind.__name__} fails on {what}: {type(error).__name__}: {error}") from error


def check_a_restored_state_gives_the_same_scores(kind: Kind, folder: Path) -> None:
    """What a bundle keeps is all that scoring and explaining need: plain arrays that survive a file."""
    detector = _fitted(kind, folder)
    np.savez(folder / "state.npz", allow_pickle=False, **detector.state())
    with np.load(folder / "state.npz", allow_pickle=False) as arrays:
        again = kind.restore(detector.parameters(), dict(arrays), _COLUMNS)
    rows = _mixed(detector, 60, 40)
    for method in ("score", "explain"):
        same = np.array_equal(getattr(detector, method)(rows), getattr(again, method)(rows))
        require(same, f"{kind.__name__}.{method} differs after restore; keep all that was learnt in state")
    require(
        _bytes(again.state()) == _bytes(detector.state()), f"{kind.__name__}: the state of the restored one differs"
    )


def check_a_hostile_state_is_refused_or_harmless(kind: Kind, folder: Path) -> None:
    """A model may come from anywhere: no array in it crashes, hangs or gives a score that is no number."""
    detector = _fitted(kind, folder)
    rows = _mixed(detector, 3, 3)
    survives(
        detector.state(),
        lambda state: kind.restore(detector.parameters(), state, _COLUMNS),
        lambda restored: _scored(restored, rows),
        kind.__name__,
    )


def check_reasons_name_the_spiked_column(kind: Kind, folder: Path) -> None:
    """A share for each column; the spiked one has the largest."""
    detector = _fitted(kind, folder)
    rows = np.repeat(_CENTRE[None], _COLUMNS, axis=0) + np.diag(_SPIKE * _SCALE)
    if detector.steps > 1:
        usual = np.repeat(_CENTRE[None, None], detector.steps - 1, axis=1).repeat(_COLUMNS, axis=0)
        rows = np.concatenate([usual, rows[:, None]], axis=1)
    reasons = detector.explain(rows)
    require(
        reasons.shape == rows.shape and reasons.dtype == np.float64 and np.isfinite(reasons).all(),
        f"{kind.__name__}.explain gave {reasons.dtype} of shape {reasons.shape}, wanted finite float64 {rows.shape}",
    )
    named = (reasons if detector.steps == 1 else reasons.sum(axis=1)).argmax(axis=1).tolist()
    require(
        named == list(range(_COLUMNS)),
        f"{kind.__name__}.explain names columns {named} for spikes in columns {list(range(_COLUMNS))}",
    )


def _fitted(kind: Kind, folder: Path) -> Detector:
    detector = kind.example(folder)
    return detector.fit(*training_rows(detector))


def _mixed(detector: Detector, spiked: int, normal: int) -> Matrix:
    steps = detector.steps
    return np.concatenate([spiked_rows(spiked, steps=steps), normal_rows(normal, steps=steps)])


def _scored(detector: Detector, rows: Matrix) -> None:
    scores = detector.score(rows)
    require(
        scores.shape == (len(rows),) and scores.dtype == np.float64 and np.isfinite(scores).all(),
        f"{detector!r}.score gave {scores.dtype} of shape {scores.shape}: {scores[:5]}, wanted finite float64 per row",
    )
    reasons = detector.explain(rows)
    require(
        reasons.shape == rows.shape and np.isfinite(reasons).all(),
        f"{detector!r}.explain gave shape {reasons.shape}: {reasons[:2]}, wanted finite {rows.shape}",
    )
    agreed = detector.confidence(rows)
    require(
        agreed is None or (agreed.shape == scores.shape and bool(((agreed >= 0) & (agreed <= 1)).all())),
        f"{detector!r}.confidence gave {agreed}, wanted a number from 0 to 1 per row, or None",
    )


def _refuses(error: type[Exception], method: Callable[..., object], rows: Matrix, what: str) -> None:
    try:
        method(rows)
    except error:
        return
    except Exception as other:
        raise AssertionError(f"{what} raises {type(other).__name__}, wanted {error.__name__}") from other
    raise AssertionError(f"{what} is accepted, wanted {error.__name__}")


def _same(one: Vector, other: Vector, failure: str) -> None:
    allowed = _ROUNDING * max(1.0, float(np.abs(one).max()))
    furthest = float(np.abs(one - other).max())
    require(furthest <= allowed, f"{failure}: by {furthest:.3g}, rounding would allow {allowed:.3g}")


def _bytes(state: State) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    return {name: (str(array.dtype), array.shape, array.tobytes()) for name, array in state.items()}


CHECKS: tuple[Callable[[Kind, Path], None], ...] = (
    check_fit_returns_itself,
    check_score_before_fit_is_refused,
    check_scores_are_finite_numbers,
    check_spikes_score_higher,
    check_scoring_changes_nothing,
    check_read_only_rows_are_accepted,
    check_a_row_scores_the_same_alone,
    check_the_order_of_rows_is_irrelevant,
    check_the_same_fit_gives_the_same_bits,
    check_a_fresh_process_gives_the_same_bits,
    check_other_matrices_are_refused,
    check_unusual_training_rows_are_survived,
    check_a_restored_state_gives_the_same_scores,
    check_a_hostile_state_is_refused_or_harmless,
    check_reasons_name_the_spiked_column,
)
