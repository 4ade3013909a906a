from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tocsin.component import PartSpec
from tocsin.config import FeaturesConfig, PreparationConfig
from tocsin.errors import IntegrityError
from tocsin.evaluation.pins import KIND, MOST_ROWS, Pins, pin
from tocsin.evaluation.subject import fresh_anomalies, tried_on
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.design import Design
from tocsin.records import CLASS, FILE, LABEL, ROW, Batch
from tocsin.schema import Field, Schema
from tocsin.thresholds.base import AlertBudget

SCHEMA = Schema(fields={"bytes": Field(), "packets": Field(), "user": Field(dtype="category", identity=True)})


def rows(rng: np.random.Generator, count: int, attacks: int = 0) -> Batch:
    """Two numbers that belong together, and a person; the last rows are labelled attacks."""
    size = rng.normal(100, 10, count)
    size[count - attacks :] += 500
    labels = (np.arange(count) >= count - attacks).astype(np.int8)
    return Batch(
        {
            "bytes": size,
            "packets": size / 10 + rng.normal(0, 1, count),
            "user": np.array([f"alice-{row % 7}" for row in range(count)], dtype=object),
            LABEL: labels,
            CLASS: np.where(labels == 1, "flood", "").astype(object),
            FILE: np.full(count, "/home/alice/rows.csv", dtype=object),
            ROW: np.arange(1, count + 1),
        }
    )


@pytest.fixture
def model(rng: np.random.Generator) -> AnomalyModel:
    design = Design(
        SCHEMA,
        FeaturesConfig(),
        PreparationConfig(),
        PartSpec("robust_zscore"),
        PartSpec("conformal"),
        AlertBudget(per_row=0.01),
        1_000,
    )
    return AnomalyModel(design).fit(rows(rng, 3_000), rows(rng, 3_000))


def test_what_the_anchor_rings_for_is_pinned_and_it_finds_all_of_it(
    model: AnomalyModel, rng: np.random.Generator
) -> None:
    pins = pin(model, rows(rng, 4_000, attacks=20))
    assert pins.clean.rows == MOST_ROWS
    assert "spike of bytes by 16 deviations" in pins.attacks
    assert "labelled flood" in pins.attacks
    assert pins.anchor == model.digest
    on_pins = tried_on(model, pins, fresh_anomalies(pins, 1))
    assert on_pins is not None
    assert on_pins.rung.all()
    assert (on_pins.alerts, on_pins.in_reach) == (pins.alerts, pins.in_reach)
    assert pins.in_reach > 2 * pins.alerts


def test_nobody_is_named_in_what_is_kept(model: AnomalyModel, rng: np.random.Generator) -> None:
    bundle = pin(model, rows(rng, 1_000, attacks=10)).bundle()
    assert "alice" not in repr(bundle.content)
    assert "e0" in bundle.content["text.user"]


def test_pins_come_back_as_they_went(model: AnomalyModel, rng: np.random.Generator) -> None:
    pins = pin(model, rows(rng, 1_000))
    again = Pins.from_bundle(pins.bundle())
    assert (again.attacks, again.uncovered, again.alerts, again.in_reach, again.anchor) == (
        pins.attacks, pins.uncovered, pins.alerts, pins.in_reach, pins.anchor,
    )  # fmt: skip
    for was, now in zip((pins.clean, *pins.attacked), (again.clean, *again.attacked), strict=True):
        assert all(np.array_equal(was[name], now[name]) for name in was)


def test_pins_that_were_written_before_more_was_counted_are_read(model: AnomalyModel, rng: np.random.Generator) -> None:
    bundle = pin(model, rows(rng, 1_000)).bundle()
    content = {key: value for key, value in bundle.content.items() if key != "in_reach"}
    assert Pins.from_bundle(replace(bundle, content=content)).in_reach == 0


@pytest.mark.parametrize("change", ["kind", "attacks", "codes", "usual"])
def test_what_does_not_hold_together_is_refused(change: str, model: AnomalyModel, rng: np.random.Generator) -> None:
    bundle = pin(model, rows(rng, 1_000)).bundle()
    content, arrays = dict(bundle.content), dict(bundle.arrays)
    if change == "kind":
        content["kind"] = KIND + "x"
    elif change == "attacks":
        content["attacks"] = []
    elif change == "codes":
        arrays["text.user"] = arrays["text.user"] + 1_000
    else:
        arrays["anchor.usual"] = arrays["anchor.usual"][:-1]
    with pytest.raises(IntegrityError, match="pinned rows"):
        Pins.from_bundle(replace(bundle, content=content, arrays=arrays))


def test_another_seed_makes_other_anomalies_and_the_same_seed_the_same(
    model: AnomalyModel, rng: np.random.Generator
) -> None:
    pins = pin(model, rows(rng, 1_000))
    one, same, other = (fresh_anomalies(pins, seed)[0].batch["bytes"] for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_rows_without_what_a_model_reads_try_nothing(model: AnomalyModel, rng: np.random.Generator) -> None:
    pins = pin(model, rows(rng, 1_000))
    poor = replace(pins, clean=Batch({name: pins.clean[name] for name in pins.clean if name != "packets"}))
    assert tried_on(model, poor, ()) is None
