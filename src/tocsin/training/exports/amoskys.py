"""The files of the AMOSKYS pipeline: canonical telemetry, features to train and to validate on, summaries, pictures.

`canonical_telemetry_full` holds every row with its features as they were computed; `train_features` and `val_features`
hold them as a detector gets them, filled and scaled as the training rows taught. Validation rows are the test rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tocsin.evaluation.runs import write_documents
from tocsin.records import DAY, GENERATED, Matrix
from tocsin.training.exports import pictures, tables
from tocsin.training.exports.material import Material, Rows

FIGURES = {
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1_score": "f1",
    "auc_roc": "roc_auc",
    "avg_precision": "average_precision",
    "anomaly_rate": "anomaly_rate",
}
IDENTIFIERS, CATEGORICAL = ("id", "timestamp", "is_anomaly"), ("device_id",)
"""Columns that are no features."""
_HOUR = DAY / 24


def write(material: Material, folder: Path) -> None:
    """Write all files into a folder; without a clock there are no temporal patterns."""
    learnt, unseen = material.rows()
    everything = Rows.together(learnt, unseen)
    order = np.arange(len(everything))
    if everything.times is not None:
        order = np.argsort(everything.times, kind="stable")
    everything = everything.take(order)
    ids = np.argsort(order) + 1
    names = tables.beside((*IDENTIFIERS, *CATEGORICAL), material.names)
    for file, rows, numbers, values in (
        ("canonical_telemetry_full", everything, np.arange(1, len(everything) + 1), everything.values),
        ("train_features", learnt, ids[: len(learnt)], learnt.prepared),
        ("val_features", unseen, ids[len(learnt) :], unseen.prepared),
    ):
        columns = _columns(rows, numbers) | tables.features(names, values) | tables.generated(material, len(rows))
        tables.write_csv(columns, folder / f"{file}.csv")
        tables.write_parquet(columns, folder / f"{file}.parquet")
    pictures.correlations(material, learnt, folder / "feature_correlations.png")
    pictures.distributions(material, learnt, unseen, folder / "normalized_distributions.png")
    if everything.times is not None:
        pictures.temporal_patterns(material, learnt, unseen, folder / "temporal_patterns.png")
    (folder / "training_results").mkdir()
    summary = _training_summary(material, len(learnt), len(unseen))
    write_documents(folder / "training_results", {"training_summary": summary})
    metadata = _metadata(material, names, learnt.values)
    write_documents(folder, {"feature_metadata": metadata})
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    write_documents(folder, {"pipeline_summary": _pipeline_summary(material, everything, learnt, metadata, files)})


def _columns(rows: Rows, ids: NDArray[np.int64]) -> tables.Columns:
    return {
        "id": tables.numbers("id", ids),
        "timestamp": tables.times("timestamp", rows),
        "device_id": tables.texts("device_id", rows),
        "is_anomaly": tables.labelled("is_anomaly", rows.labels),
    }


def _metadata(material: Material, numeric: Sequence[str], values: Matrix) -> dict[str, Any]:
    count = {"numeric": len(numeric), "categorical": len(CATEGORICAL), "other": len(IDENTIFIERS)}
    return {
        "total_features": sum(count.values()),
        "numeric_features": numeric,
        "categorical_features": CATEGORICAL,
        "other_columns": IDENTIFIERS,
        "not_shown_to_the_model": list(material.config.features.aside),
        "feature_count": count,
        "sample_statistics": _statistics(numeric, values),
        "statistics_of": "the rows that the model was fitted with, as computed; null where no value was there",
        GENERATED: material.generated,
    }


def _statistics(names: Sequence[str], values: Matrix) -> dict[str, dict[str, float | None]]:
    there = np.asarray(~np.isnan(values).all(axis=0))
    found = {}
    for kind, measure in (("mean", np.nanmean), ("std", np.nanstd), ("min", np.nanmin), ("max", np.nanmax)):
        measured = np.full(values.shape[1], np.nan)
        measured[there] = measure(values[:, there], axis=0)
        found[kind] = {
            name: value if present else None
            for name, value, present in zip(names, measured.tolist(), there.tolist(), strict=True)
        }
    return found


def _training_summary(material: Material, learnt: int, unseen: int) -> dict[str, Any]:
    detector = material.config.detector.type
    results = material.figures(**FIGURES) | {"reasons": material.reasons(**FIGURES), "verdict": material.verdict.passed}
    return {
        "timestamp": material.moment,
        "n_training_samples": learnt,
        "n_validation_samples": unseen,
        "n_features": len(material.model.program.outputs),
        "models_trained": [detector],
        "results": {detector: results},
        "measured_on": material.measured_on,
        "model": material.evidence.model,
        GENERATED: material.generated,
    }


def _pipeline_summary(
    material: Material, everything: Rows, learnt: Rows, metadata: Mapping[str, Any], files: list[str]
) -> dict[str, Any]:
    config, times, entities = material.config, everything.times, everything.entities
    source = config.source.type if config.source else "none"
    return {
        "pipeline_version": f"tocsin {version('tocsin')}",
        "execution_date": material.moment,
        "data_source": "mock" if material.generated else "wal" if source == "sqlite_wal" else source,
        "input_samples": material.tally.received,
        "quarantined_samples": material.tally.quarantined,
        "train_samples": len(learnt),
        "train_samples_for_calibration": material.parts.calibration.rows,
        "val_samples": len(everything) - len(learnt),
        "total_features": metadata["total_features"],
        "numeric_features": metadata["feature_count"]["numeric"],
        "categorical_features": metadata["feature_count"]["categorical"],
        "devices": 0 if entities is None else len(np.unique(entities.astype(str))),
        "time_span_hours": None if times is None else float(times.max() - times.min()) / _HOUR,
        "configuration": {
            "name": config.name,
            "preset": config.preset,
            **{part: getattr(config, part).model_dump(mode="json") for part in ("split", "preparation")},
            "detector": material.model.detector.spec().to_json(),
        },
        "output_files": files,
        "metadata_file": "feature_metadata.json",
        "status": "success",
        GENERATED: material.generated,
    }
