"""The run folder of Networking Tester's pipeline: its documents under its names, and our model in place of its joblib.

Source: its keys in both forms, that of the evaluation and the older one with counts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tocsin.evaluation.runs import write_documents
from tocsin.records import GENERATED
from tocsin.training.exports import tables
from tocsin.training.exports.material import Material, Rows

FIGURES = {
    "accuracy": "accuracy",
    "precision_anomaly": "precision",
    "recall_anomaly": "recall",
    "f1_score_anomaly": "f1",
    "f1_score": "macro_f1",
    "f1_score_macro": "macro_f1",
    "f1_score_weighted": "weighted_f1",
}
MODEL = "model"
FRAME_LENGTH = "frame_length"
SMALL, MEDIUM = 100.0, 1_000.0
"""Bytes up to which its analyser calls a frame small, and medium."""


def write(material: Material, folder: Path) -> None:
    """Write all documents, tables and the model into a folder."""
    learnt, unseen = material.rows()
    metrics = _metrics(material, unseen)
    write_documents(
        folder,
        {
            "training_run_config": _run_config(material),
            "evaluation_metrics": metrics,
            "classification_report": {"report": material.report.classification, GENERATED: material.generated},
            "model_metadata": {
                "source_training_config_original": "tocsin.yaml",
                "source_training_config_run_specific_abs": "training_run_config.json",
                "evaluation_metrics": metrics,
                "trained_timestamp": material.moment,
                "model_artifact_path_in_run_abs": MODEL,
                "pipeline_run_id": f"{material.evidence.model}_{material.moment:%Y%m%d_%H%M%S}",
                "training_samples": len(learnt),
                "paths_are_relative_to": "this folder",
                GENERATED: material.generated,
            },
        },
    )
    tables.write_csv(_confusion(material), folder / "confusion_matrix.csv")
    analysis = folder / "performance_analysis_results"
    analysis.mkdir()
    tables.write_csv(_details(material, unseen), analysis / "performance_analysis_details.csv")
    write_documents(analysis, {"performance_analysis_summary": _summary(material, unseen)})
    material.model.save(folder / MODEL)


def _run_config(material: Material) -> dict[str, Any]:
    config = material.config
    sources = {"training_data_source": config.source, "evaluation_data_source": config.test}
    return {
        "model_name": config.name,
        "model_version": material.evidence.model,
        "model_type": config.detector.type,
        **{key: spec and Path(str(spec.parameters.get("path", spec.type))).name for key, spec in sources.items()},
        "feature_columns": list(material.model.program.outputs),
        f"{config.detector.type}_params": material.model.detector.spec().parameters,
        "output_model_path": MODEL,
        "output_metrics_path": "evaluation_metrics.json",
        "promotion": dict(config.gate),
        GENERATED: material.generated,
    }


def _metrics(material: Material, unseen: Rows) -> dict[str, Any]:
    sides, counts = material.report.classification, material.report.confusion
    macro = sides["macro_average"] if sides else {"precision": None, "recall": None}
    flagged = int(material.evidence.scores.flagged.sum())
    return {
        **material.figures(**FIGURES),
        "precision_macro": macro["precision"],
        "recall_macro": macro["recall"],
        "classification_report": sides,
        "confusion_matrix": counts and [[counts.tn, counts.fp], [counts.fn, counts.tp]],
        "model_path": MODEL,
        "num_predictions": len(unseen),
        "anomaly_count_predicted": flagged,
        "normal_count_predicted": len(unseen) - flagged,
        "measured_on": material.measured_on,
        "reasons": material.reasons(**FIGURES),
        "promoted": material.verdict.passed,
        GENERATED: material.generated,
    }


def _confusion(material: Material) -> tables.Columns:
    counts = material.report.confusion
    pairs = ((None, None), (None, None)) if counts is None else ((counts.tn, counts.fn), (counts.fp, counts.tp))
    return {
        "actual": tables.numbers("actual", np.array(["normal", "anomaly"])),
        "predicted_normal": tables.whole("predicted_normal", pairs[0]),
        "predicted_anomaly": tables.whole("predicted_anomaly", pairs[1]),
    } | tables.generated(material, 2)


def _details(material: Material, unseen: Rows) -> tables.Columns:
    scores = material.evidence.scores
    details = {
        "timestamp": tables.times("timestamp", unseen),
        "prediction": tables.numbers("prediction", np.where(scores.flagged, "anomaly", "normal")),
        "anomaly_score": tables.numbers("anomaly_score", scores.score),
        "p_value": tables.numbers("p_value", scores.p_value),
        "label": tables.labelled("label", material.evidence.truth),
    }
    lengths = _lengths(material, unseen)
    if lengths is not None:
        classes = np.select([lengths <= SMALL, lengths <= MEDIUM, lengths > MEDIUM], ["small", "medium", "large"], "")
        details["size_class"] = tables.numbers("size_class", classes)
    return details | tables.generated(material, len(unseen))


def _summary(material: Material, unseen: Rows) -> dict[str, Any]:
    lengths, scores = _lengths(material, unseen), material.evidence.scores
    small = None if lengths is None or not len(lengths) else float((lengths <= SMALL).mean())
    return {
        "total_packets": len(unseen),
        "anomalies": int(scores.flagged.sum()),
        "small_packet_share": small,
        **material.figures(
            latency_p50_ms="latency_p50_ms",
            latency_p99_ms="latency_p99_ms",
            train_seconds="train_seconds",
            memory_usage_bytes="peak_memory_bytes",
        ),
        GENERATED: material.generated,
    }


def _lengths(material: Material, unseen: Rows) -> np.ndarray[Any, Any] | None:
    """Bytes of each frame, (n,), where the features tell them."""
    names = list(material.names)
    return unseen.values[:, names.index(FRAME_LENGTH)] if FRAME_LENGTH in names else None
