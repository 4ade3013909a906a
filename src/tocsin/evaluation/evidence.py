"""What an evaluation looks at: rows of the test split, what the model said of them, and what is known of the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tocsin.errors import DataError
from tocsin.evaluation.leaks import Leaks
from tocsin.model.training_rows import TrainingRows
from tocsin.records import Alert, Column, Mask, Matrix, Scores, Times, Vector

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Rescoring:
    """What rows would have scored with other features."""

    normal_rows: Callable[[Rows], Matrix]
    """Row numbers (k,) -> prepared features as normal rows like these had them, (k, d)."""
    score: Callable[[Rows, Matrix], Vector]
    """Row numbers (k,) and other prepared features, (k, d), NaN to keep one -> scores (k,)."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that figures are made of. Rows stand in time order where there is a clock."""

    scores: Scores
    labels: NDArray[np.int8] | None
    """(n,) 1 anomaly, 0 normal, -1 unknown; None without labels."""
    classes: Column | None
    """(n,) names of attacks, "" unknown."""
    times: Times | None
    entities: Column | None
    """(n,) pseudonyms."""
    origins: Column
    """(n,) where each row was read, as `file:row`."""
    features: Matrix
    """(n, d) prepared and finite."""
    feature_names: tuple[str, ...]
    explain: Callable[[Rows], Matrix]
    """Row numbers (k,) -> contributions (k, d)."""
    alerts: tuple[Alert, ...]
    level: float
    """The score at which rows are flagged."""
    promise: Mapping[str, Any]
    """What became of the alert budget, as JSON values."""
    latency_ms: NDArray[np.float64]
    """Times of scoring a single row, measured by the caller."""
    train_seconds: float
    peak_memory_bytes: int
    generated: bool
    """The rows come from a generator."""
    model: str
    """Digest or version."""
    title: str
    training: TrainingRows
    """What the model remembers of the rows that it learnt from."""
    counted_clock: bool = False
    """Times are counted from the place of each row in its file: those of two files are not of one day."""
    cooldown_s: float = 0.0
    """Flagged rows of an entity that are less far apart are one alert."""
    rescoring: Rescoring | None = None
    """None where the scores are not a model's."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """What the model is made of, in words, for its card."""
    seed: int = 0
    seen_in_training: bool = False
    """Rows of the test were among those that the model learnt from."""
    remarks: tuple[str, ...] = ()
    """What the caller knows of the rows and a reader must know too."""
    leaks: Leaks | None = None
    """What features and relations between them tell of the label; None without labels."""
    copies: tuple[Mask, Mask] | None = None
    """Test rows that could be looked up among those learnt from, and those that are exact copies of one, (n,) each."""

    @property
    def ready(self) -> Mask:
        """Rows that may ring, (n,)."""
        return np.asarray(self.scores.state != "warming_up")

    @property
    def truth(self) -> NDArray[np.int8]:
        """Labels, (n,), all of them -1 where there are none."""
        return np.full(len(self.scores.score), -1, np.int8) if self.labels is None else self.labels

    @property
    def known(self) -> Mask:
        """Rows with a label, (n,)."""
        return np.asarray(self.truth >= 0)

    @property
    def judged(self) -> Mask:
        """Rows with a label that may ring, (n,)."""
        return self.known & self.ready

    @property
    def unlabelled(self) -> str:
        """Why nothing that needs a label can be measured; empty where it can."""
        if self.labels is None:
            return "no labels: the config names none for these rows"
        return "" if self.known.any() else f"no labels: all {len(self.known)} rows are of unknown label"

    def check(self) -> None:
        """Whether it holds together.

        Raises
        ------
        DataError
            If there are no rows, columns differ in length or a score is not finite.
        """
        rows = len(self.scores.score)
        if rows == 0:
            raise DataError("evaluation", "no rows", "at least one row of the test split")
        columns = {
            "p_value": self.scores.p_value,
            "flagged": self.scores.flagged,
            "state": self.scores.state,
            "labels": self.labels,
            "classes": self.classes,
            "times": self.times,
            "entities": self.entities,
            "origins": self.origins,
            "features": self.features,
        }
        for name, column in columns.items():
            if column is not None and len(column) != rows:
                raise DataError(f"evaluation: {name}", f"{len(column)} rows", f"{rows}, as many as there are scores")
        for name, matrix in (("features", self.features), ("training", self.training.moments)):
            if matrix.shape[1:] != (len(self.feature_names),):
                raise DataError(f"evaluation: {name}", f"shape {matrix.shape}", f"{len(self.feature_names)} columns")
        strange = int(np.count_nonzero(~np.isfinite(self.scores.score)))
        if strange:
            raise DataError("evaluation: score", f"{strange} of {rows} scores that are not finite", "finite scores")
