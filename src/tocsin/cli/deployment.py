"""The deployment package of AnalyzerMCPServer: its documents and hashes, our own package in place of its joblib."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from tocsin.model.documents import sha256
from tocsin.storage.archive import packed

if TYPE_CHECKING:
    from tocsin.model.bundle import Bundle
    from tocsin.registry import Version
    from tocsin.system import Project

MODEL = "model.zip"
MANIFEST, METADATA = "deployment_manifest.json", "metadata.json"
FIGURES = {
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1_score": "f1",
    "roc_auc": "roc_auc",
    "anomaly_ratio": "anomaly_rate",
}
_CHECKER = Path(__file__).parent / "deployed" / "validate_model.py"
_REQUIREMENTS = "tocsin\n"
_README = """\
# {name}, version {version}

A model of Tocsin in a deployment package. `python validate_model.py` holds every file against its SHA-256.
`tocsin models import` takes the whole package into a registry, where `tocsin gate` judges it before it may serve.
`inference_example.py` scores a file by a registered version. Nothing here is a joblib or a pickle.
"""
_EXAMPLE = '''\
"""Score a file by the champion of the project whose config is named: python inference_example.py CONFIG FILE."""

import sys

import tocsin

project = tocsin.load(sys.argv[1])
for scored in project.score(sys.argv[2]):
    for alert in scored.alerts:
        sys.stdout.write(f"{alert.severity} {alert.score:g}\\n")
'''


def deployment(project: Project, version: int, now: datetime) -> dict[str, bytes]:
    """The files of a package of one version.

    Raises
    ------
    TocsinError
        As `Registry.load` does.
    """
    registry, name = project.registry, project.config.name
    bundle, entry = registry.load(name, version)
    report, verdict = registry.report(name, version), registry.verdict(name, version)
    facts = _facts(bundle, entry, report)
    files = {
        MODEL: packed(registry.luggage(name).package(version)),
        METADATA: _json(facts),
        _CHECKER.name: _CHECKER.read_bytes(),
        "inference_example.py": _EXAMPLE.encode(),
        "requirements.txt": _REQUIREMENTS.encode(),
        "README.md": _README.format(name=name, version=version).encode(),
    }
    manifest = facts | {
        "model_version": str(entry.version),
        "deployment_timestamp": now.isoformat(),
        "package_format_version": "1.0",
        "files": {file: {"size": len(data)} for file, data in files.items()},
        "file_integrity": {file: sha256(data) for file, data in files.items()},
        "inference_config": {
            "threshold": dict(report.get("promise") or {}).get("level"),
            "anomaly_ratio": facts["evaluation_info"]["basic_metrics"]["anomaly_ratio"],
            "score_percentile": None,
            "batch_size": 1_000,
            "timeout_seconds": 30,
            "scaler_required": False,
        },
        "model_artifacts": {"model": MODEL, "scaler": None},
        "quality_assessment": {
            "passed": verdict.passed,
            "judgements": [{"target": item.target, "reason": item.reason} for item in verdict.judgements],
        },
    }
    return {**files, MANIFEST: _json(manifest)}


def _facts(bundle: Bundle, entry: Version, report: Mapping[str, Any]) -> dict[str, Any]:
    """What both of its documents tell of a model."""
    figures = {item: figure.get("value") for item, figure in dict(report["figures"]).items()}
    metrics = {theirs: figures.get(ours) for theirs, ours in FIGURES.items()}
    return {
        "model_info": {
            "version": str(entry.version),
            "created_at": entry.created,
            "model_type": bundle.content["detector"]["type"],
            "training_source": "tocsin",
            "export_file": MODEL,
            "training_id": entry.digest,
        },
        "training_info": {
            "training_samples": (bundle.notes.get("data") or {}).get("rows"),
            "feature_names": bundle.content["program"]["outputs"],
            "model_parameters": bundle.content["detector"],
            "training_duration": bundle.notes.get("train_seconds"),
        },
        "evaluation_info": {
            "basic_metrics": metrics,
            "score_distribution": report.get("scores"),
            "cross_validation_score": None,
            "feature_importance": report.get("importance"),
        },
        "deployment_info": {"status": "available", "deployed_at": None, "deployed_by": None},
        "tocsin_generated": entry.generated,
    }


def _json(document: dict[str, Any]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)
