"""What comes of trying a model, and the rows that a registered one is tried on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tocsin.config import Config
from tocsin.errors import ConfigError, Problem
from tocsin.evaluation.evidence import Evidence
from tocsin.evaluation.report import Report
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.records import Batch, Verdict
from tocsin.registry import Version
from tocsin.sources.base import Tally
from tocsin.training.history import History, Reader, source_of, with_path
from tocsin.training.limits import Limits
from tocsin.training.period import Period
from tocsin.training.split import split


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an evaluation found, and where it was written."""

    report: Report
    verdict: Verdict
    evidence: Evidence
    folder: Path
    version: Version
    rows: Tally


@dataclass(frozen=True, slots=True)
class Tried:
    """A registered model and how it did."""

    model: AnomalyModel
    entry: Version
    before: Sequence[Batch]
    """Rows that went before the test rows, first those that a training would learn from."""
    test: History
    evidence: Evidence
    report: Report


def rows_to_judge(
    config: Config, reader: Reader, limits: Limits, period: Period, data: str | None
) -> tuple[Sequence[Batch], History]:
    """Rows to judge on, and those that went before them, as a training takes them.

    Raises
    ------
    ConfigError
        If the rows of another path would need labels that belong to those of the config.
    """
    labels = config.test_labels or config.labels
    source = config.test or source_of(config)
    if data is not None and labels is not None and labels.array is not None:
        got = "labels as an array, which belongs to the rows of the config"
        raise ConfigError([Problem("--data", got, "labels as a column or as windows")])
    if data is not None:
        return (), reader.read(with_path(source, data), labels, limits)
    if config.test is not None:
        return (), reader.read(config.test, labels, limits)
    history = reader.read(source, labels, limits, period)
    parts = split(history.batch, config.schema_, config.split, test_elsewhere=False)
    return (parts.train, parts.calibration), History(parts.test, history.tally)
