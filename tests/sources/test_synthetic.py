from __future__ import annotations

import numpy as np
import pytest

from tocsin.component import PartSpec, build
from tocsin.errors import ConfigError
from tocsin.records import GENERATED, ROW
from tocsin.schema import Field, Schema
from tocsin.sources.base import Intake
from tocsin.sources.synthetic import Synthetic


def test_a_config_makes_a_source_of_generated_rows() -> None:
    spec = PartSpec("synthetic", {"kind": "services", "days": 1, "interval": "10m", "entities": 2, "rows": 100})
    source = build("sources", spec)
    assert isinstance(source, Synthetic)
    source.open()
    batch = source.read(0.1)
    assert batch is not None
    assert batch[ROW].tolist() == list(range(1, 101))
    assert batch[GENERATED].all()
    assert source.batch().rows == 288


def test_an_intake_of_generated_rows_knows_it() -> None:
    schema = Schema(
        fields={"timestamp": Field(dtype="time"), "bytes_out": Field(dtype="integer", minimum=0)}, time="timestamp"
    )
    intake = Intake(Synthetic(days=0.5), schema)
    times = np.concatenate([batch["timestamp"] for batch in intake])
    assert intake.tally.generated
    assert intake.tally.passed_on == intake.tally.received == len(times)
    assert times.min() >= 1_767_571_200_000_000  # 2026-01-05T00:00:00Z


def test_a_start_without_an_offset_is_utc() -> None:
    one, other = (Synthetic(days=0.1, start=start).batch() for start in ("2026-03-02", "2026-03-02T01:00:00+01:00"))
    assert one["timestamp"].tolist() == other["timestamp"].tolist()


@pytest.mark.parametrize(
    "parameters", [{"kind": "packets"}, {"days": 0}, {"anomaly_rate": 0.9}, {"start": "Monday"}, {"entities": 0}]
)
def test_what_cannot_be_generated_is_an_error_of_the_config(parameters: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        build("sources", PartSpec("synthetic", parameters))
