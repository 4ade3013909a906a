"""48 window features over a million rows, ours beside Polars and pandas in the same run: CPU seconds and memory.

Four columns, windows of 1, 5 and 30 minutes, mean, std, min and max; 1,000 entities with about 5 s between the rows of
each, in order of time. Ours takes typed batches as the schema hands them on, on one core; Polars has a frame in memory,
all cores, and the cheapest of several forms. All keep their results. The windows differ: ours move in panes, theirs
are exact to the row.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import orjson

from tocsin.features.base import compile_program
from tocsin.features.rolling import Rolling
from tocsin.kernel.program import Program
from tocsin.kernel.run import Kernel
from tocsin.kernel.windows import Statistic
from tocsin.records import SECOND, Batch
from tocsin.schema import Field, Schema
from tocsin.training.limits import peak_memory_bytes

COLUMNS = ("bytes_in", "bytes_out", "packets_in", "packets_out")
WINDOWS = {"1m": 60.0, "5m": 300.0, "30m": 1_800.0}
STATISTICS: tuple[Statistic, ...] = ("mean", "std", "min", "max")
ROWS, ENTITIES, BETWEEN_S = 1_000_000, 1_000, 5.0
BATCH_ROWS = 10_000
PANES = (12, 32)
REPEATS = 4
START = 1_760_000_000 * SECOND
SCHEMA = Schema(
    fields={
        "time": Field(dtype="time"),
        "host": Field(dtype="address", identity=True),
        **{column: Field(dtype="float") for column in COLUMNS},
    },
    time="time",
    entity="host",
)

Call = Callable[[], object]
Figures = dict[str, Any]


def main(out: Path) -> None:
    """Measure, print, write the JSON."""
    table = rows()
    forms = polars_forms(table)
    polars = alternately(forms, repeats=1)
    cheapest = min(forms, key=lambda form: polars[form]["cpu_s"])
    print(f"Polars, cheapest of {len(forms)} forms: {cheapest}")
    measured = alternately({**our_forms(table), f"polars, {cheapest}": forms[cheapest]}, REPEATS)
    measured |= alternately({"pandas": pandas_form(table)}, repeats=2)
    theirs = measured[f"polars, {cheapest}"]["cpu_s"]
    for name, figures in measured.items():
        figures["of_polars"] = figures["cpu_s"] / theirs
        print(f"{name:<34}{figures['cpu_s']:>8.2f} s CPU{figures['wall_s']:>8.2f} s{figures['of_polars']:>8.2f}")
    peaks = {name: peak_of_a_child(name) for name in ("ours", "polars", "pandas")}
    print("peak above the rows, MiB: " + ", ".join(f"{name} {peak / 2**20:.0f}" for name, peak in peaks.items()))
    results = {
        "rows": ROWS,
        "entities": ENTITIES,
        "features": len(program().outputs),
        "measured": measured,
        "polars_forms": polars,
        "peak_bytes_above_rows": peaks,
        "bars": {f"CPU seconds of {name} <= Polars": measured[name]["of_polars"] <= 1.0 for name in our_forms(table)},
    }
    out.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))


def program(panes: int = 12) -> Program:
    rolling = Rolling(columns=COLUMNS, windows=tuple(WINDOWS.values()), statistics=STATISTICS, panes=panes)
    return compile_program(SCHEMA, (), (rolling,), Batch({}))


def rows(count: int = ROWS, entities: int = ENTITIES) -> Batch:
    """Rows as they come behind the schema: every name is a text of its own, as if it had just been read."""
    random = np.random.default_rng(0)
    names = [random.bytes(16) for _ in range(entities)]
    times = START + np.sort(random.integers(0, int(count * BETWEEN_S * SECOND / entities), count))
    hosts = np.array([names[number].hex() for number in random.integers(0, entities, count)], dtype=object)
    values = {column: random.lognormal(8.0, 2.0, count) for column in COLUMNS}
    return Batch({"time": times, "host": hosts, **values})


def our_forms(table: Batch) -> dict[str, Call]:
    parts = [table.take(slice(start, start + BATCH_ROWS)) for start in range(0, table.rows, BATCH_ROWS)]
    return {
        f"ours, {panes} panes, {how}": our_form(batches, panes)
        for panes in PANES
        for how, batches in ((f"{BATCH_ROWS:,} a batch", parts), ("one batch", [table]))
    }


def our_form(batches: list[Batch], panes: int) -> Call:
    kernel = Kernel(program(panes))

    def run() -> object:
        state = kernel.start()
        return [kernel.run(batch, state) for batch in batches]

    return run


def polars_forms(table: Batch) -> dict[str, Call]:
    import polars as pl

    frame = pl.DataFrame({name: table[name] for name in table}).with_columns(pl.col("time").cast(pl.Datetime("us")))

    def named(statistic: str, column: str, window: str) -> str:
        return f"{column}_{statistic}_{window}"

    def aggregated(window: str) -> list[pl.Expr]:
        return [getattr(pl.col(c), s)().alias(named(s, c, window)) for c in COLUMNS for s in STATISTICS]

    def rolled(ordered: pl.LazyFrame | pl.DataFrame, window: str) -> Any:
        return ordered.rolling("time", period=window, group_by="host").agg(aggregated(window))

    over = [
        getattr(pl.col(c), f"rolling_{s}_by")("time", window_size=window).over("host").alias(named(s, c, window))
        for c in COLUMNS
        for window in WINDOWS
        for s in STATISTICS
    ]

    def eager() -> object:
        ordered = frame.sort("host", "time")
        return [rolled(ordered, window) for window in WINDOWS]

    def categories() -> object:
        ordered = frame.with_columns(pl.col("host").cast(pl.Categorical)).sort("host", "time")
        return [rolled(ordered, window) for window in WINDOWS]

    def lazy(engine: Any) -> Call:
        ordered = frame.lazy().sort("host", "time")
        return lambda: pl.collect_all([rolled(ordered, window) for window in WINDOWS], engine=engine)

    return {
        "sort, rolling": eager,
        "categories, sort, rolling": categories,
        "lazy, sort, rolling": lazy("in-memory"),
        "lazy, sort, rolling, streaming": lazy("streaming"),
        "rolling_by over": lambda: frame.with_columns(over),
        "lazy, rolling_by over, streaming": lambda: frame.lazy().with_columns(over).collect(engine="streaming"),
    }


def pandas_form(table: Batch) -> Call:
    import pandas as pd

    times = pd.to_datetime(table["time"], unit="us")
    frame: Any = pd.DataFrame({"host": table["host"], **{column: table[column] for column in COLUMNS}}, index=times)

    def run() -> object:
        grouped = frame.groupby("host")[list(COLUMNS)]
        windows = [grouped.rolling(window) for window in ("1min", "5min", "30min")]
        return [getattr(window, statistic)() for window in windows for statistic in STATISTICS]

    return run


def alternately(calls: Mapping[str, Call], repeats: int) -> dict[str, Figures]:
    """The least CPU seconds of every call and the wall seconds of the same run; they take turns."""
    best: dict[str, Figures] = {}
    for _ in range(repeats):
        for name, call in calls.items():
            cpu, wall = process_time(), perf_counter()
            kept = call()
            cpu, wall = process_time() - cpu, perf_counter() - wall
            del kept
            if name not in best or cpu < best[name]["cpu_s"]:
                best[name] = {"cpu_s": cpu, "wall_s": wall}
    return best


def peak_of_a_child(name: str) -> int:
    code = f"from benchmarks.features import peak; print(peak({name!r}))"
    folder = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=folder)
    return int(done.stdout)


def peak(name: str) -> int:
    """The most that this process holds above its rows while it computes."""
    table = rows()
    forms: dict[str, Callable[[], Call]] = {
        "ours": lambda: our_form([table], PANES[0]),
        "polars": lambda: polars_forms(table)["sort, rolling"],
        "pandas": lambda: pandas_form(table),
    }
    call = forms[name]()
    Path("/proc/self/clear_refs").write_text("5", "ascii")  # the peak is what is held now (proc(5))
    before = held()
    call()
    return peak_memory_bytes() - before


def held() -> int:
    """The memory that this process holds."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
