"""What every feature must hold to: each check is given a class and an empty folder, and raises AssertionError.

The rows that are fed have the fields of `tocsin.features.base.EXAMPLE`: several hosts, gaps, equal and late times,
missing values, and a counter that wraps and resets.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import orjson

import tocsin
from tocsin.checks.part import require
from tocsin.features.base import EXAMPLE, Feature, compile_program
from tocsin.kernel import build, checkpoint
from tocsin.kernel.program import Program
from tocsin.kernel.run import FeatureMatrix, Kernel
from tocsin.records import DAY, SECOND, Batch, Mask
from tocsin.schema import NUMERIC

_ROWS = 300
_START = 1_767_225_600 * SECOND
"""1 January 2026."""
_LONG_AFTER = 1_000 * DAY
"""Longer than any window a feature should have."""


def example_rows(seed: int = 0, rows: int = _ROWS) -> Batch:
    """Rows of the example schema, in arrival order."""
    rng = np.random.default_rng(seed)
    steps = rng.choice([0, 1, 7, 40, 900, -30], size=rows, p=[0.25, 0.3, 0.3, 0.08, 0.02, 0.05])
    columns = {
        "time": _START + np.cumsum(steps) * SECOND + rng.integers(0, 2, rows) * 250_000,
        "host": np.array(["a", "b", "c"], dtype=object)[rng.choice(3, rows, p=[0.6, 0.3, 0.1])],
        "bytes": rng.lognormal(6, 3, rows),
        "packets": rng.poisson(20, rows).astype(np.float64),
        "octets_total": np.cumsum(rng.integers(0, 2**28, rows)).astype(np.float64) % 2**32,
        "temperature": rng.normal(20, 5, rows),
        "protocol": np.array(["tcp", "udp", "icmp", "gre", "other"], dtype=object)[rng.integers(0, 5, rows)],
    }
    gone = rng.random((rows, len(columns))) < 0.1
    return _without(Batch(columns), {name: gone[:, place] for place, name in enumerate(columns)})


def _without(batch: Batch, gone: dict[str, Mask]) -> Batch:
    """The rows with these values missing; the clock and the entity are never missing."""
    columns = dict(batch)
    for name, rows in gone.items():
        if name not in ("time", "host"):
            nothing = np.nan if EXAMPLE.fields[name].dtype in NUMERIC else ""
            columns[name] = np.where(rows, np.array(nothing, dtype=columns[name].dtype), columns[name])
    return Batch(columns)


@cache
def interpreted() -> type[Kernel]:
    """The kernel read from its sources a second time, whether or not the one that is imported was compiled."""
    taken = {name: module for name, module in sys.modules.items() if _is_kernel(name)}
    finders, setting = list(sys.meta_path), os.environ.get(build.SETTING)
    for name in taken:
        del sys.modules[name]
    os.environ[build.SETTING] = "interpreted"
    try:
        from tocsin.kernel.run import Kernel as Interpreted

        return Interpreted
    finally:
        for name in list(filter(_is_kernel, sys.modules)):
            del sys.modules[name]
        sys.modules.update(taken)
        tocsin.kernel = taken["tocsin.kernel"]
        sys.meta_path[:] = finders
        if setting is None:
            del os.environ[build.SETTING]
        else:
            os.environ[build.SETTING] = setting


def _is_kernel(module: str) -> bool:
    return f"{module}.".startswith("tocsin.kernel.")


def _program(feature: Feature, training: Batch) -> Program:
    return compile_program(EXAMPLE, (), [feature], training)


def _bits(matrix: FeatureMatrix) -> tuple[bytes, bytes]:
    return matrix.values.tobytes(), matrix.marks.tobytes()


def _same(got: FeatureMatrix, wanted: FeatureMatrix, failure: str) -> None:
    if _bits(got) != _bits(wanted):
        differing = np.flatnonzero(
            ~((got.values == wanted.values) | (np.isnan(got.values) & np.isnan(wanted.values))).all(axis=1)
        )
        raise AssertionError(f"{failure}: rows {differing[:10].tolist()} differ")


def _rows(matrix: FeatureMatrix, chosen: slice | Mask) -> FeatureMatrix:
    return FeatureMatrix(matrix.values[chosen], matrix.marks[chosen])


def _one_pass(program: Program, batch: Batch) -> FeatureMatrix:
    kernel = Kernel(program)
    return kernel.run(batch, kernel.start())


def _in_chunks(program: Program, batch: Batch, cuts: list[int]) -> FeatureMatrix:
    kernel = Kernel(program)
    state = kernel.start()
    ends = [*cuts, batch.rows]
    parts = [kernel.run(batch.take(slice(start, end)), state) for start, end in zip([0, *cuts], ends, strict=True)]
    return FeatureMatrix(
        np.concatenate([part.values for part in parts]), np.concatenate([part.marks for part in parts])
    )


def declared_names_are_produced(kind: type[Feature], folder: Path) -> None:
    """`names` tells the columns of the matrix, each once, and every one of them is reached by some row."""
    feature, rows = kind.example(folder), example_rows()
    names = feature.names(feature.learn(EXAMPLE, rows))
    matrix = _one_pass(_program(feature, rows), rows)
    require(len(set(names)) == len(names) > 0, f"names are not distinct: {names}")
    require(_program(feature, rows).outputs == names, "the compiled columns are not those of names()")
    require(matrix.values.shape == (rows.rows, len(names)), f"shape {matrix.values.shape} for {len(names)} names")
    require(not np.isinf(matrix.values).any(), "an infinite value")
    silent = [name for name, column in zip(names, matrix.values.T, strict=True) if np.isnan(column).all()]
    require(not silent, f"columns that are always missing: {silent}")


def inputs_are_all_that_is_read(kind: type[Feature], folder: Path) -> None:
    """A column that is neither an input, the clock nor the entity may hold anything."""
    feature, rows = kind.example(folder), example_rows()
    program = _program(feature, rows)
    used = {*feature.inputs(), "time", "host"}
    others = {name: np.ones(rows.rows, dtype=bool) for name in rows if name not in used}
    _same(_one_pass(program, _without(rows, others)), _one_pass(program, rows), "another column moved the feature")


def any_chunking_gives_the_bits_of_one_pass(kind: type[Feature], folder: Path) -> None:
    """History, micro-batches and single rows are one computation."""
    rows = example_rows()
    program = _program(kind.example(folder), rows)
    wanted = _one_pass(program, rows)
    _same(_in_chunks(program, rows, list(range(1, rows.rows))), wanted, "one by one is not one pass")
    for seed in range(5):
        cuts = np.sort(np.random.default_rng(seed).integers(0, rows.rows, 9)).tolist()
        _same(_in_chunks(program, rows, cuts), wanted, f"cut at {cuts} is not one pass")


def later_rows_never_change_earlier_values(kind: type[Feature], folder: Path) -> None:
    """No row looks ahead, not even to rows of its own time."""
    rows = example_rows()
    program = _program(kind.example(folder), rows)
    whole = _one_pass(program, rows)
    for end in (1, 2, 17, 150, rows.rows - 1):
        _same(_one_pass(program, rows.take(slice(end))), _rows(whole, slice(end)), f"row {end} changed earlier ones")


def a_restored_state_goes_on_with_the_bits_of_one_pass(kind: type[Feature], folder: Path) -> None:
    """A checkpoint after any row holds all that later rows need."""
    rows = example_rows()
    kernel = Kernel(_program(kind.example(folder), rows))
    whole = kernel.run(rows, kernel.start())
    for cut in (0, 1, 60, 150, rows.rows):
        state = kernel.start()
        kernel.run(rows.take(slice(cut)), state)
        restored = checkpoint.load(kernel, checkpoint.dump(state))
        rest = kernel.run(rows.take(slice(cut, None)), restored)
        _same(rest, _rows(whole, slice(cut, None)), f"restored after row {cut} is not one pass")


def history_older_than_the_longest_memory_is_never_felt(kind: type[Feature], folder: Path) -> None:
    """A start from the last stretch of history gives the bits of a start from its first row."""
    rows = example_rows()
    kernel = Kernel(_program(kind.example(folder), rows))
    # So that the rows last a few of the longest memories, whatever these are.
    slower = max(1, 4 * kernel.plan.horizon // int(np.ptp(rows["time"])))
    rows = rows.replace({"time": _START + (rows["time"] - _START) * slower})
    whole = kernel.run(rows, kernel.start())
    for start in (30, 100, 200):
        later = rows.take(slice(start, None))
        newest = [rows["time"][:start][rows["host"][:start] == host].max() for host in later["host"]]
        settled = later["time"] - np.array(newest) >= kernel.plan.horizon
        without, among = kernel.run(later, kernel.start()), _rows(whole, slice(start, None))
        _same(_rows(without, settled), _rows(among, settled), f"rows before {start} are felt")


def the_sources_compute_what_was_compiled(kind: type[Feature], folder: Path) -> None:
    """Where there is no compiler the kernel runs from its sources, with the same bits."""
    rows = example_rows(rows=200)
    program = _program(kind.example(folder), rows)
    sources = interpreted()(program)
    _same(sources.run(rows, sources.start()), _one_pass(program, rows), "the sources differ from what was compiled")


def one_entity_never_moves_another(kind: type[Feature], folder: Path) -> None:
    """An entity alone, or among some of the others on a shard, gets the values that it gets among all."""
    rows = example_rows()
    program = _program(kind.example(folder), rows)
    whole = _one_pass(program, rows)
    for hosts in ("a", "b", "c", "ab", "bc"):
        own = np.isin(rows["host"].astype(str), list(hosts))
        alone = _one_pass(program, rows.take(own))
        _same(alone, _rows(whole, own), f"hosts {hosts} alone differ from hosts {hosts} among others")


def equal_and_late_times_are_taken_as_they_arrive(kind: type[Feature], folder: Path) -> None:
    """Rows of one time and rows that run backwards are all kept, and none sees the rows behind it."""
    rows = example_rows()
    program = _program(kind.example(folder), rows)
    for times in (np.full(rows.rows, _START), np.sort(rows["time"])[::-1]):
        stream = rows.replace({"time": times})
        whole = _one_pass(program, stream)
        require(len(whole.values) == rows.rows, "rows were lost")
        _same(_one_pass(program, stream.take(slice(100))), _rows(whole, slice(100)), "a row looked ahead")
        _same(_in_chunks(program, stream, list(range(1, rows.rows))), whole, "one by one is not one pass")


def missing_values_do_not_poison_later_rows(kind: type[Feature], folder: Path) -> None:
    """Rows with nothing in them are taken, and once they are out of every window nothing is left of them."""
    rows = example_rows(rows=100)
    program = _program(kind.example(folder), rows)
    empty = _without(rows, {name: np.ones(rows.rows, dtype=bool) for name in rows})
    later = rows.replace({"time": rows["time"] + _LONG_AFTER})
    after = _rows(_one_pass(program, Batch.concatenate([empty, later])), slice(rows.rows, None))
    _same(after, _one_pass(program, later), "rows long after a gap are not those of a fresh start")


def a_stored_program_gives_the_same_bits(kind: type[Feature], folder: Path) -> None:
    """The program survives JSON with its fingerprint and its values."""
    rows = example_rows()
    program = _program(kind.example(folder), rows)
    stored = Program.from_json(orjson.loads(orjson.dumps(program.to_json())))
    require(stored.fingerprint == program.fingerprint, "the fingerprint changed on the way through JSON")
    _same(_one_pass(stored, rows), _one_pass(program, rows), "the stored program computes something else")


CHECKS: tuple[Callable[[type[Feature], Path], None], ...] = (
    declared_names_are_produced,
    inputs_are_all_that_is_read,
    any_chunking_gives_the_bits_of_one_pass,
    a_restored_state_goes_on_with_the_bits_of_one_pass,
    history_older_than_the_longest_memory_is_never_felt,
    the_sources_compute_what_was_compiled,
    later_rows_never_change_earlier_values,
    one_entity_never_moves_another,
    equal_and_late_times_are_taken_as_they_arrive,
    missing_values_do_not_poison_later_rows,
    a_stored_program_gives_the_same_bits,
)
