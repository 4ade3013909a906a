"""What a model takes is known before it has seen a row."""

from __future__ import annotations

import numpy as np
import pytest

from tocsin.config import parse
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.design import Design
from tocsin.model.footprint import footprint
from tocsin.presets import presets
from tocsin.records import SECOND, Batch

CONFIG = """\
version: 1
name: hosts
schema:
  time: time
  entity: host
  key: [host, time]
  fields:
    time: {dtype: time}
    host: {dtype: category}
    load: {dtype: float, minimum: 0}
    kind: {dtype: category}
features:
  columns: [load]
  derive:
    - {type: log_scale, columns: [load]}
    - {type: rolling, columns: [load], windows: [10m, 1h], statistics: [mean, max]}
    - {type: rate, columns: [load], max_gap: 5m}
limits: {entities: 500}
"""
LEARNING = "    - {type: category, columns: [kind]}\nlimits:"


def design(*changes: tuple[str, str]) -> Design:
    text = CONFIG
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return Design.of(parse(text))


@pytest.fixture
def rows(rng: np.random.Generator) -> Batch:
    names = [f"host-{row % 3}" for row in range(400)]
    return Batch(
        {
            "time": 60 * np.arange(400) * SECOND,
            "host": np.array(names, dtype=object),
            "load": rng.normal(0.5, 0.05, 400),
            "kind": np.array(["a", "b"] * 200, dtype=object),
        }
    )


def test_each_feature_is_told_with_its_columns_its_memory_and_its_bytes() -> None:
    found = footprint(design())
    assert [share.feature for share in found.shares] == [
        "fields", "log_scale", "rolling", "rate", "last keys", "name and place",
    ]  # fmt: skip
    fields, log, rolling, rate, *_ = found.shares
    assert (fields.columns, log.columns) == (("load",), ("log_load",))
    assert rolling.columns == ("load_mean_10m", "load_max_10m", "load_mean_1h", "load_max_1h")
    assert [share.remembers_s for share in (fields, log, rolling)] == [0.0, 0.0, 3_600.0]
    assert rate.remembers_s >= 300.0
    assert (log.bytes_per_entity, rolling.bytes_per_entity > rate.bytes_per_entity > 0) == (0, True)


@pytest.mark.parametrize("changes", [(), (("limits:", LEARNING),)], ids=["declared", "learning"])
def test_a_model_takes_what_was_foretold(changes: tuple[tuple[str, str], ...], rows: Batch) -> None:
    foretold = footprint(design(*changes))
    model = AnomalyModel(design(*changes)).fit(rows, rows)
    assert foretold.bytes_per_entity == model.kernel.bytes_per_entity
    assert sum(share.bytes_per_entity for share in foretold.shares) == foretold.bytes_per_entity
    assert foretold.bytes == 500 * foretold.bytes_per_entity
    columns = [column for share in foretold.shares for column in share.columns]
    assert set(columns) <= set(model.program.outputs)


def test_the_fingerprint_is_told_where_nothing_is_learnt(rows: Batch) -> None:
    assert footprint(design()).fingerprint == AnomalyModel(design()).fit(rows, rows).program.fingerprint
    learning = footprint(design(("limits:", LEARNING)))
    assert learning.fingerprint is None
    assert [share.feature for share in learning.shares if share.learns] == ["category"]


def test_another_number_of_entities_and_none_at_all() -> None:
    found = footprint(design(), 7)
    assert (found.entities, found.bytes) == (7, 7 * found.bytes_per_entity)
    alone = footprint(design(("  entity: host\n", "")), 7)
    assert (alone.entities, alone.bytes) == (1, alone.bytes_per_entity)


def test_features_of_the_row_alone_take_nothing() -> None:
    windows = CONFIG[CONFIG.index("    - {type: rolling") : CONFIG.index("limits:")]
    found = footprint(design((windows, "")))
    assert (found.bytes, [share.feature for share in found.shares]) == (0, ["fields", "log_scale"])


@pytest.mark.parametrize("preset", presets())
def test_every_preset_fits_a_small_machine(preset: str) -> None:
    found = footprint(Design.of(parse(f"version: 1\nname: small\npreset: {preset}\n")))
    assert found.bytes < 200e6
