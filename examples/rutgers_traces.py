"""From frames to traces: `python rutgers_traces.py FOLDER OUT` writes OUT/train.csv and OUT/test.csv for wifi/links.

FOLDER holds the ORBIT traces of Rutgers University (CRAWDAD rutgers/noise): `frames.parquet`, one row per frame heard,
and `traces.csv.gz`, one row per trace of 300 probes; a trace that is in the second alone lost every frame. RSSI is a
signed byte, 128 a failed reading, and dBm are RSSI - 95. Training rows are those of the least noise; test rows are
those of every noise at every third transmitter, which training never sees.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

PROBES = 300
QUIET_DBM, DEGRADED_DBM = -20, -5
TRACE = ["noise_dbm", "src", "dst", "run"]


def traces(folder: Path) -> pl.DataFrame:
    """One row per trace, with what was heard of it."""
    rssi = pl.col("rssi").cast(pl.Int32)
    dbm = pl.when(rssi > 128).then(rssi - 256).when(rssi < 128).then(rssi) - 95
    heard = (
        pl.read_parquet(folder / "frames.parquet")
        .with_columns(pl.col("noise_dbm").cast(pl.Int64), pl.col("src", "dst", "run").cast(pl.String), dbm=dbm)
        .group_by(TRACE)
        .agg(
            received=pl.col("seq").n_unique(),
            signal_strength=pl.col("dbm").mean(),
            signal_strength_std=pl.col("dbm").std(),
            signal_strength_min=pl.col("dbm").min(),
            signal_strength_max=pl.col("dbm").max(),
        )
    )
    degraded = pl.col("noise_dbm") >= DEGRADED_DBM
    return (
        pl.read_csv(folder / "traces.csv.gz")
        .join(heard, on=TRACE, how="left", maintain_order="left")
        .with_columns(
            packet_loss=(1 - pl.col("received").fill_null(0) / PROBES).clip(0, 1),
            label=pl.when(degraded).then(pl.lit("degraded")).otherwise(pl.lit("normal")),
        )
    )


def main(folder: Path, out: Path) -> None:
    """Write both files."""
    rows = traces(folder)
    unseen = pl.col("src").is_in(sorted(set(rows["src"].to_list()))[2::3])
    rows.filter(~unseen & (pl.col("noise_dbm") == QUIET_DBM)).write_csv(out / "train.csv")
    rows.filter(unseen).write_csv(out / "test.csv")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
