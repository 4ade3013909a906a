"""Where a model came from, as its notes tell it."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tocsin.log import hidden
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.records import SECOND


def provenance(model: AnomalyModel, files: Mapping[str, str], parent: str | None) -> dict[str, Any]:
    """Seed, versions, data and parent of a model, as JSON values.

    Parameters
    ----------
    model
        A fitted one.
    files
        Path -> SHA-256 of what it learnt from; names are kept but for addresses in them, folders are not.
    parent
        Digest of the model that it is to replace, if there is one.
    """
    rows, entities = model.training.counts.tolist()
    begin, end = [_moment(micros) for micros in model.training.span.tolist()] or (None, None)
    # A library may come under several names of packages; the one that was learnt with is here.
    learnt_with = {name: str(sys.modules[name].__version__) for name in model.detector.libraries if name in sys.modules}
    return {
        "inputs": {digest: hidden(Path(file).name) for file, digest in files.items()},
        "data": {"rows": rows, "entities": entities, "from": begin, "to": end},
        "seed": model.detector.parameters().get("seed"),
        "libraries": {
            "python": platform.python_version(),
            "tocsin": version("tocsin"),
            "numpy": np.__version__,
            **learnt_with,
        },
        "parent": parent,
        "precision": model.rounding.to_json() if model.rounding else None,
    }


def _moment(micros: int) -> str:
    return f"{np.datetime64(micros // SECOND, 's')}Z"
