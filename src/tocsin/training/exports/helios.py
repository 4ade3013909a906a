"""The files of the Helios scripts: what training and evaluation leave behind, in one folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tocsin.evaluation.plots import draw
from tocsin.evaluation.runs import write_documents
from tocsin.records import DAY, GENERATED
from tocsin.training.exports import tables
from tocsin.training.exports.material import Material, Rows

TRAINING = {
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1_score": "f1",
    "false_positive_rate": "false_positive_rate",
}
EVALUATION = TRAINING | {
    "specificity": "specificity",
    "false_negative_rate": "false_negative_rate",
    "roc_auc": "roc_auc",
    "average_precision": "average_precision",
}


def write(material: Material, folder: Path) -> None:
    """Write all files into a folder; pictures that need labels are left out without labels."""
    learnt, unseen = material.rows()
    counts, days = material.report.confusion, unseen.times
    facts = {"measured_on": material.measured_on, GENERATED: material.generated}
    training = {
        **material.figures(**TRAINING),
        "confusion_matrix": counts,
        "targets_met": {item.target: item.passed if item.asked else None for item in material.verdict.judgements},
        "reasons": material.reasons(**TRAINING),
        **facts,
    }
    names = {"tn": "true_negatives", "fp": "false_positives", "fn": "false_negatives", "tp": "true_positives"}
    metrics = {
        **material.figures(**EVALUATION),
        "confusion_matrix": counts and {theirs: getattr(counts, ours) for ours, theirs in names.items()},
        "reasons": material.reasons(**EVALUATION),
    }
    documents = {
        "training_metrics": training,
        "model_config": {
            "model_type": material.config.detector.type,
            "training_date": material.moment,
            "training_samples": len(learnt),
            "features": material.model.program.outputs,
            "not_shown_to_the_model": material.config.features.aside,
            "hyperparameters": material.model.detector.spec().parameters,
            "metrics": training,
            "model": material.evidence.model,
            GENERATED: material.generated,
        },
        "evaluation_metrics": {
            "evaluation_date": material.moment,
            "model_file": f"model {material.evidence.model} of the registry",
            "test_samples": len(unseen),
            "test_days": None if days is None else float(days.max() - days.min()) / DAY,
            "metrics": metrics,
            **facts,
        },
    }
    write_documents(folder, documents)
    tables.write_csv(_training_data(material, learnt), folder / "training_data.csv")
    tables.write_csv(_predictions(material, unseen), folder / "predictions.csv")
    draw(material.evidence, material.report, folder)


def _training_data(material: Material, learnt: Rows) -> tables.Columns:
    """The rows that the model was fitted with: features as they were computed, then what names the row."""
    entity = material.model.design.schema.entity or "service"
    last = {
        "timestamp": tables.times("timestamp", learnt),
        entity: tables.texts(entity, learnt),
        "is_anomaly": tables.labelled("is_anomaly", learnt.labels),
    }
    features = tables.features(tables.beside(last, material.names), learnt.values)
    return features | last | tables.generated(material, len(learnt))


def _predictions(material: Material, unseen: Rows) -> tables.Columns:
    scores, truth = material.evidence.scores, material.evidence.truth
    predicted = scores.flagged.astype(np.int8)
    return {
        "timestamp": tables.times("timestamp", unseen),
        "true_label": tables.labelled("true_label", truth),
        "predicted_label": tables.numbers("predicted_label", predicted),
        "anomaly_score": tables.numbers("anomaly_score", scores.score),
        "correct": tables.truths("correct", predicted == truth, truth >= 0),
    } | tables.generated(material, len(unseen))
