"""Tables as CSV and Parquet files. Needs the extra `data`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from tocsin.component import optional_packages
from tocsin.evaluation.predictions import iso_times, safe_texts
from tocsin.records import GENERATED, Column, Mask, Matrix
from tocsin.training.exports.material import Material, Rows

with optional_packages("training.exports.tables"):
    import polars as pl

Columns = dict[str, pl.Series]
"""Columns of one table by name."""

CLASH = "_feature"
"""Behind the name of a feature that bears the name of a column of its own."""


def numbers(name: str, values: Column) -> pl.Series:
    """Numbers as they are."""
    return pl.Series(name, values)


def whole(name: str, values: Sequence[int | None]) -> pl.Series:
    """Counts, null where there is none."""
    return pl.Series(name, values, dtype=pl.Int64)


def truths(name: str, values: Mask, known: Mask) -> pl.Series:
    """True and false, null where it is not known which."""
    return pl.Series(name, values).set(pl.Series(~known), None)


def generated(material: Material, rows: int) -> Columns:
    """The column that generated rows carry; nothing for others."""
    return {GENERATED: pl.Series(GENERATED, np.ones(rows, dtype=bool))} if material.generated else {}


def labelled(name: str, labels: Column) -> pl.Series:
    """Labels as 1 and 0, null where they are unknown."""
    series = pl.Series(name, labels, dtype=pl.Int8)
    return series.set(series < 0, None)


def beside(taken: Collection[str], names: Sequence[str]) -> list[str]:
    """The names of features in a file that has columns of its own."""
    return [f"{name}{CLASH}" if name in taken else name for name in names]


def features(names: Sequence[str], values: Matrix) -> Columns:
    """A feature matrix column by column; a missing value is null."""
    columns = (np.ascontiguousarray(values[:, place]) for place in range(values.shape[1]))
    return {name: pl.Series(name, column).fill_nan(None) for name, column in zip(names, columns, strict=True)}


def times(name: str, rows: Rows) -> pl.Series:
    """Event times in UTC, null without a clock."""
    if rows.times is None:
        return pl.Series(name, [None] * len(rows), dtype=pl.Datetime("us", "UTC"))
    return pl.Series(name, rows.times).cast(pl.Datetime("us", "UTC"))


def texts(name: str, rows: Rows) -> pl.Series:
    """Pseudonyms of the entities, null without any."""
    values = [None] * len(rows) if rows.entities is None else rows.entities.tolist()
    return pl.Series(name, values, dtype=pl.String)


def write_parquet(columns: Columns, path: Path) -> None:
    """A file with a type for every column."""
    pl.DataFrame([series.alias(name) for name, series in columns.items()]).write_parquet(path)


def write_csv(columns: Columns, path: Path) -> None:
    """A file that a spreadsheet can open without running anything from it; times are ISO 8601, null is empty."""
    names = [str(name) for name in safe_texts(np.array(list(columns), dtype=object))]
    shown = [_shown(series).alias(name) for name, series in zip(names, columns.values(), strict=True)]
    pl.DataFrame(shown).write_csv(path)


def _shown(series: pl.Series) -> pl.Series:
    if series.null_count() == len(series):
        return pl.Series([None] * len(series), dtype=pl.String)
    if series.dtype == pl.String:
        kept = np.array(series.fill_null("").to_list(), dtype=object)
        return pl.Series([str(text) for text in safe_texts(kept)], dtype=pl.String)
    if series.dtype == pl.Datetime:
        return pl.Series(iso_times(series.cast(pl.Int64).to_numpy()), dtype=pl.String)
    return series
