"""Where a model came from stands in its notes, in a form that a reader accepts."""

from __future__ import annotations

import platform
from importlib.metadata import version

import numpy as np
import pytest

from tocsin.component import PartSpec
from tocsin.config import parse
from tocsin.detectors.blend import Blend
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.design import Design
from tocsin.model.manifest import Notes, checked
from tocsin.model.provenance import provenance
from tocsin.records import SECOND, Batch

CONFIG = """\
version: 1
name: hosts
schema: {{time: time, entity: host, fields: {{time: {{dtype: time}}, host: {{dtype: category}}, load: {{}}}}}}
detector: {detector}
alerts: {{budget: 1%}}
"""
DIGEST = "ab" * 32


def fitted(detector: str, rng: np.random.Generator) -> AnomalyModel:
    columns = {
        "time": (1_700_000_000 + 60 * np.arange(400)) * SECOND,
        "host": np.array(["one", "two"] * 200, dtype=object),
        "load": rng.normal(0.5, 0.05, 400),
    }
    rows = Batch(columns)
    return AnomalyModel(Design.of(parse(CONFIG.format(detector=detector)))).fit(rows, rows)


@pytest.mark.parametrize(("detector", "seed"), [("{type: isolation_forest, seed: 7}", 7), ("robust_zscore", None)])
def test_a_model_knows_its_data_seed_versions_and_parent(
    detector: str, seed: int | None, rng: np.random.Generator
) -> None:
    detector = detector if detector.startswith("{") else f"{{type: {detector}}}"
    told = provenance(fitted(detector, rng), {"/home/somebody/secret/a.csv": DIGEST}, "cd" * 32)
    assert told["inputs"] == {DIGEST: "a.csv"}, "no folder of this machine"
    assert told["data"] == {"rows": 400, "entities": 2, "from": "2023-11-14T22:13:20Z", "to": "2023-11-15T04:52:20Z"}
    assert told["seed"] == seed
    assert told["libraries"] == {
        "python": platform.python_version(),
        "tocsin": version("tocsin"),
        "numpy": version("numpy"),
    }
    assert told["parent"] == "cd" * 32
    checked(Notes, told, "$.notes")


def test_a_blend_names_what_its_members_learn_with() -> None:
    assert Blend(of=(PartSpec("xgboost"), PartSpec("robust_zscore"), PartSpec("lstm_autoencoder"))).libraries == (
        "xgboost",
        "torch",
    )
