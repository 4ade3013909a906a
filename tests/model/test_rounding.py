"""A model whose numbers are kept as float32: smaller, the same after loading, and its difference is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tocsin.arrays import Array, rounded
from tocsin.component import catalogue
from tocsin.config import parse
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.design import Design
from tocsin.model.manifest import Notes, checked
from tocsin.model.provenance import provenance
from tocsin.records import LABEL, SECOND, Batch

CONFIG = """\
version: 1
name: hosts
schema:
  time: time
  fields: {{time: {{dtype: time}}, load: {{}}, heat: {{}}, kind: {{dtype: category}}}}
features: {{columns: [load, heat], derive: [{{type: category, columns: [kind], how: code}}]}}
registry: {{precision: float32}}
detector: {detector}
alerts: {{budget: 1%}}
"""
SMALL = {
    "context_residual": "{type: context_residual, context: [kind_code]}",
    "lstm_autoencoder": "{type: lstm_autoencoder, steps: 3, units: 4, epochs: 1}",
    "blend": "{type: blend, of: [{type: robust_zscore}, {type: isolation_forest, trees: 9}]}",
}


def rows(rng: np.random.Generator, count: int = 700) -> Batch:
    labels = np.zeros(count, dtype=np.int8)
    labels[::40] = 1
    return Batch(
        {
            "time": (1_700_000_000 + 60 * np.arange(count)) * SECOND,
            "load": rng.normal(0.5, 0.05, count) + labels,
            "heat": rng.normal(60.0, 2.0, count),
            "kind": np.array(["a", "b", "c"], dtype=object)[np.arange(count) % 3],
            LABEL: labels,
        }
    )


@pytest.mark.parametrize("name", catalogue("detectors"))
def test_a_rounded_model_is_small_close_and_the_same_when_loaded(
    name: str, rng: np.random.Generator, tmp_path: Path
) -> None:
    design = Design.of(parse(CONFIG.format(detector=SMALL.get(name, f"{{type: {name}}}"))))
    train, test = rows(rng), rows(rng)
    model = AnomalyModel(design).fit(train, train)
    told = model.rounding
    assert told is not None
    assert told.bytes_after <= told.bytes_before
    assert told.largest < 1e-4
    assert told.changed < 0.01
    checked(Notes, provenance(model, {}, None), "$.notes")

    model.save(tmp_path / "model")
    loaded = AnomalyModel.load(tmp_path / "model")
    assert loaded.digest == model.digest
    np.testing.assert_array_equal(loaded.score(test).score, model.score(test).score)
    exact = AnomalyModel(replace(design, precision="float64")).fit(train, train)
    assert exact.rounding is None
    np.testing.assert_allclose(model.score(test).score, exact.score(test).score, rtol=1e-4, atol=1e-9)


def test_the_report_can_say_it_in_a_sentence(rng: np.random.Generator) -> None:
    design = Design.of(parse(CONFIG.format(detector="{type: nearest_neighbours}")))
    model = AnomalyModel(design).fit(rows(rng), rows(rng))
    assert model.rounding is not None
    assert model.rounding.bytes_after < 0.6 * model.rounding.bytes_before
    assert "kept as float32" in str(model.rounding)


@pytest.mark.parametrize(
    ("numbers", "wanted", "kept"),
    [
        ([0.1, 2.0], Array((2,)), [float(np.float32(0.1)), 2.0]),
        ([0.1, np.nan], Array((2,), missing=True), [float(np.float32(0.1)), np.nan]),
        ([0.1, 1e300], Array((2,)), [0.1, 1e300]),
        ([1e-6, 1.0], Array((2,), least=1e-6), [1e-6, 1.0]),
        ([0.1, 0.2], Array((2,), exact=True), [0.1, 0.2]),
        (
            [0.1, np.inf],
            Array((2,), most=np.inf, down=True),
            [float(np.nextafter(np.float32(0.1), np.float32(0))), np.inf],
        ),
    ],
)
def test_numbers_are_rounded_only_where_they_stay_what_they_must_be(
    numbers: list[float], wanted: Array, kept: list[float]
) -> None:
    np.testing.assert_array_equal(rounded(np.array(numbers), wanted), kept)
