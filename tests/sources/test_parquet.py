from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tocsin import log
from tocsin.checks.source import batches_of
from tocsin.records import FILE, ROW, Position
from tocsin.schema import Field, Schema
from tocsin.sources.parquet import Parquet


def test_a_real_file_is_read_in_bounded_batches(data: Path) -> None:
    source = Parquet(path=str(data / "wifi_rutgers" / "*.parquet"), rows=50_000)
    batches = batches_of(source)
    assert sum(batch.rows for batch in batches) == 583_413
    assert max(batch.rows for batch in batches) <= 50_000
    assert np.array_equal(np.concatenate([batch[ROW] for batch in batches]), np.arange(1, 583_414))
    (digest,) = source.digests.values()
    assert digest == hashlib.sha256((data / "wifi_rutgers" / "frames.parquet").read_bytes()).hexdigest()


def test_columns_keep_their_types_and_nulls_stay_missing(tmp_path: Path) -> None:
    moment = datetime(2026, 1, 5, 12, tzinfo=UTC)
    frame = pl.DataFrame(
        {
            "whole": [1, None],
            "real": [0.5, None],
            "word": ["a", None],
            "kind": pl.Series(["x", None], dtype=pl.Categorical),
            "yes": [True, None],
            "price": [Decimal("1.50"), None],
            "time": pl.Series([moment, None]).dt.convert_time_zone("Europe/Berlin"),
            "day": [date(2026, 1, 5), None],
            "nested": [{"a": 1}, None],
            "list": [[1], None],
            "lasting": [timedelta(seconds=1), None],
            "_label": [1, 1],
        }
    )
    frame.write_parquet(tmp_path / "a.parquet")
    before = log.counters()
    (batch,) = batches_of(Parquet(path=str(tmp_path / "a.parquet")))
    left_out = 'tocsin_columns_left_out_total{reason="unsupported_type",source="parquet"}'
    assert log.counters()[left_out] - before.get(left_out, 0) == 3
    assert set(batch) - {FILE, ROW} == {"whole", "real", "word", "kind", "yes", "price", "time", "day"}
    assert batch["time"][0] == np.datetime64("2026-01-05T12:00:00")
    assert (batch["price"][0], batch["kind"][0], batch["yes"].tolist()) == (1.5, "x", [True, None])
    fields = {name: Field(dtype="float", optional=True) for name in ("whole", "real", "price")}
    fields |= {name: Field(dtype="category", optional=True) for name in ("word", "kind")}
    valid, refused = Schema(fields={**fields, "yes": Field(dtype="boolean", optional=True)}).split(batch)
    assert refused == ()
    assert np.isnan([valid[name][1] for name in ("whole", "real", "price", "yes")]).all()
    assert [valid[name][1] for name in ("word", "kind")] == ["", ""]


def test_what_is_no_parquet_is_refused_and_the_others_go_on(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": list(range(1_000))})
    frame.write_parquet(tmp_path / "c.parquet")
    whole = (tmp_path / "c.parquet").read_bytes()
    (tmp_path / "a.parquet").write_text("a,b\n1,2\n")
    (tmp_path / "b.parquet").write_bytes(whole[: len(whole) // 2])
    batches = batches_of(Parquet(path=str(tmp_path / "*.parquet")))
    assert [item.reason for batch in batches for item in batch.rejected] == ["wrong_format", "corrupt"]
    assert [batch.rows for batch in batches] == [0, 0, 1_000]


@pytest.mark.parametrize("place", range(4, 400, 36))
def test_a_damaged_file_never_stops_the_reader(tmp_path: Path, place: int) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"a": np.arange(200), "b": [f"word {row}" for row in range(200)]}).write_parquet(path)
    content = bytearray(path.read_bytes())
    content[place : place + 16] = bytes(16)
    path.write_bytes(content)
    batches_of(Parquet(path=str(path)))


def test_a_file_without_a_usable_column_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"nested": [[1], [2]]}).write_parquet(tmp_path / "a.parquet")
    (batch,) = batches_of(Parquet(path=str(tmp_path / "a.parquet")))
    assert [(item.row, item.reason) for item in batch.rejected] == [(0, "no_columns")]


def test_reading_goes_on_behind_a_position(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"a": list(range(10))}).write_parquet(path)
    batches = batches_of(Parquet(path=str(path), rows=4), Position("parquet", {str(path): 7}))
    assert [(batch["a"].tolist(), batch[ROW].tolist()) for batch in batches] == [([7, 8, 9], [8, 9, 10])]
