"""What the exports write: a training with its rows, their features and what was found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tocsin.config import Config
from tocsin.evaluation.evidence import Evidence
from tocsin.evaluation.report import Report
from tocsin.kernel.run import Kernel
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.feature_cache import FeaturePass
from tocsin.preparation import Preparation
from tocsin.records import LABEL, Batch, Column, Matrix, Times, Verdict
from tocsin.sources.base import Tally
from tocsin.training.split import Parts


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows and their features."""

    times: Times | None
    entities: Column | None
    """Pseudonyms, (n,)."""
    labels: NDArray[np.int8]
    """1 anomaly, 0 normal, -1 unknown, (n,)."""
    values: Matrix
    """(n, d), as computed: neither filled nor scaled, NaN where a value is missing."""
    prepared: Matrix
    """(n, d), as a detector takes them."""

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, order: NDArray[np.intp]) -> Rows:
        """The chosen rows, in the chosen order."""
        return Rows(
            None if self.times is None else self.times[order],
            None if self.entities is None else self.entities[order],
            self.labels[order],
            self.values[order],
            self.prepared[order],
        )

    @classmethod
    def together(cls, *parts: Rows) -> Rows:
        """One behind the other."""
        times = [part.times for part in parts if part.times is not None]
        entities = [part.entities for part in parts if part.entities is not None]
        return cls(
            np.concatenate(times) if times else None,
            np.concatenate(entities) if entities else None,
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.prepared for part in parts]),
        )


@dataclass(frozen=True, slots=True)
class Material:
    """A training that is about to be registered.

    Its matrix has more columns than the model's: those that the config sets aside are exported, too.

    Parameters
    ----------
    config
        With every column named.
    model
        Fitted.
    parts
        The rows; `test` holds those that were judged, also where they came from elsewhere.
    elsewhere
        Whether the test rows came from a source of their own.
    features
        Takes rows through the model's features, or finds what an earlier pass made of them.
    evidence, report, verdict
        What was found on the test rows.
    tally
        What became of the rows received.
    moment
        When.
    """

    config: Config
    model: AnomalyModel
    parts: Parts
    elsewhere: bool
    features: FeaturePass
    evidence: Evidence
    report: Report
    verdict: Verdict
    tally: Tally
    moment: datetime

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of the matrix, in the order in which they are computed."""
        return self.model.design.computed(self.model.program)

    @property
    def generated(self) -> bool:
        """Whether any row was made up."""
        return self.evidence.generated

    @property
    def measured_on(self) -> str:
        """What the figures were measured on, in words."""
        return (
            "rows that the model learnt from"
            if self.evidence.seen_in_training
            else "test rows that the model never saw"
        )

    def rows(self) -> tuple[Rows, Rows]:
        """The rows that the model was fitted with, calibration included, and those that it was judged on."""
        kernel = Kernel(replace(self.model.program, outputs=self.names), entities=self.model.design.entities)
        features = self.features.begin(kernel)
        fitted = [(part, features.run(part).values) for part in (self.parts.train, self.parts.calibration)]
        if self.elsewhere:
            features.begin(kernel)
        judged = (self.parts.test, features.run(self.parts.test).values)
        learnable = _labels(self.parts.train) != 1
        preparation = Preparation(self.model.design.preparation).fit(fitted[0][1][learnable], self.names)
        train, calibration, test = (self._rows(*part, preparation) for part in (*fitted, judged))
        return Rows.together(train, calibration), test

    def _rows(self, batch: Batch, values: Matrix, preparation: Preparation) -> Rows:
        """The model's own columns as the model prepares them, the others alike."""
        schema = self.model.design.schema
        own = [self.names.index(name) for name in self.model.program.outputs]
        prepared = preparation.apply(values)
        prepared[:, own] = self.model.preparation.apply(values[:, own])
        return Rows(
            batch[schema.time] if schema.time else None,
            batch[schema.entity] if schema.entity else None,
            _labels(batch),
            values,
            prepared,
        )

    def figures(self, **founding: str) -> dict[str, Any]:
        """Figures of the report by the names of a founding system, None where there is no value."""
        return {theirs: self.report.results[ours].value for theirs, ours in founding.items()}

    def reasons(self, **founding: str) -> dict[str, str]:
        """Why a figure has no value, for those that have none."""
        found = {theirs: self.report.results[ours] for theirs, ours in founding.items()}
        return {theirs: figure.reason for theirs, figure in found.items() if figure.value is None}


def _labels(batch: Batch) -> NDArray[np.int8]:
    labels: NDArray[np.int8] = batch.get(LABEL, np.full(batch.rows, -1, np.int8))
    return labels
