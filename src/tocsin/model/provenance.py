"""Where a model came from, as its notes tell it."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tocsin.model.anomaly_model import AnomalyModel
from tocsin.records import SECOND

BASE = ("tocsin", "numpy")


def provenance(model: AnomalyModel, files: Mapping[str, str], parent: str | None) -> dict[str, Any]:
    """Seed, versions, data and parent of a model, as JSON values.

    Parameters
    ----------
    model
        A fitted one.
    files
        Path -> SHA-256 of what it learnt from; names are kept, folders are not.
    parent
        Digest of the model that it is to replace, if there is one.
    """
    rows, entities = model.training.counts.tolist()
    begin, end = [_moment(micros) for micros in model.training.span.tolist()] or (None, None)
    libraries = (*BASE, *model.detector.libraries)
    return {
        "inputs": {digest: Path(file).name for file, digest in files.items()},
        "data": {"rows": rows, "entities": entities, "from": begin, "to": end},
        "seed": model.detector.parameters().get("seed"),
        "libraries": {"python": platform.python_version(), **{name: version(name) for name in libraries}},
        "parent": parent,
    }


def _moment(micros: int) -> str:
    return f"{np.datetime64(micros // SECOND, 's')}Z"
