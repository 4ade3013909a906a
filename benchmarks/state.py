"""What an entity takes: bytes as the plan says beside bytes as a process grows, and a million entities through a limit.

Every measurement is a child process, so that nothing that was freed before stands in its place. Growth is what a child
holds with so many entities less what it holds with one.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from benchmarks.features import START, held, program

from tocsin import log
from tocsin.config import parse
from tocsin.kernel.program import Program
from tocsin.kernel.run import Kernel
from tocsin.model.design import Design
from tocsin.records import SECOND, Batch

SIZES = (20_000, 100_000)
LIMIT, THROUGH = 20_000, 1_000_000
BATCH_ROWS = 1_000
OFF_BY = 0.05
WINDOWS = "48 window features"

Figures = dict[str, Any]


def main(out: Path) -> None:
    """Measure, print, write the JSON."""
    programs = ("flows", "hosts", WINDOWS)
    results = {f"{name}, {size:,}": bytes_per_entity(name, size) for name in programs for size in SIZES}
    for name, figures in results.items():
        print(f"{name:<28}planned {figures['planned']:>7,.0f} B{figures['measured']:>9,.0f} B{figures['ratio']:>8.3f}")
    through = in_a_child("through_a_limit()")
    print(
        f"{THROUGH:,} entities through a limit of {LIMIT:,}: {through['held_bytes'] / 2**20:.0f} MiB,"
        f" {through['full_bytes'] / 2**20:.0f} MiB when it was full first; {through['given_up']:,} given up"
    )
    bars = {
        "flows <= 8 KB per entity": results[f"flows, {SIZES[0]:,}"]["measured"] <= 8_000,
        "planned within 5 % of measured": all(abs(figures["ratio"] - 1.0) <= OFF_BY for figures in results.values()),
        "memory stays at the limit": through["held_bytes"] <= (1.0 + OFF_BY) * through["full_bytes"],
        "everyone who left is counted": through["given_up"] == THROUGH - LIMIT,
    }
    print(orjson.dumps(bars, option=orjson.OPT_INDENT_2).decode())
    figures = {"bytes_per_entity": results, "through_a_limit": through, "bars": bars}
    out.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))


def bytes_per_entity(name: str, entities: int) -> Figures:
    full, one = (in_a_child(f"filled({name!r}, {entities}, {names})") for names in (entities, 1))
    measured = (full - one) / (entities - 1)
    planned = Kernel(program_named(name)).bytes_per_entity
    return {"planned": planned, "measured": measured, "ratio": planned / measured}


def in_a_child(call: str) -> Any:
    code = f"import orjson; from benchmarks import state; print(orjson.dumps(state.{call}).decode())"
    folder = Path(__file__).parents[1]
    return orjson.loads(
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=folder).stdout
    )


def program_named(name: str) -> Program:
    if name == WINDOWS:
        return program()
    design = Design.of(parse(f"version: 1\nname: measured\npreset: {name}\n"))
    return design.program(design.no_rows())


def filled(name: str, limit: int, names: int) -> int:
    """What this process holds once so many entities of at most `limit` have had two rows."""
    kernel = Kernel(program_named(name), entities=limit)
    state = kernel.start()
    for twice in range(2):
        random = np.random.default_rng(0)
        for start in range(0, names, BATCH_ROWS):
            hosts = [random.bytes(16).hex() for _ in range(min(BATCH_ROWS, names - start))]
            kernel.run(batch(kernel, hosts, START + twice * 5 * SECOND), state)
    return held()


def batch(kernel: Kernel, hosts: list[str], time: int) -> Batch:
    """A row of every one of these entities, with what the program reads."""
    random = np.random.default_rng(0)
    columns: dict[str, Any] = {}
    for name, dtype in kernel.plan.reads.items():
        if dtype.kind == "O":
            columns[name] = np.full(len(hosts), "tcp", dtype=object)
        elif dtype.kind == "i":
            columns[name] = np.full(len(hosts), time)
        else:
            columns[name] = random.lognormal(8.0, 2.0, len(hosts))
    assert kernel.program.entity is not None
    return Batch({**columns, kernel.program.entity: np.array(hosts, dtype=object)})


def through_a_limit() -> Figures:
    """Every entity has two rows, of which the second lets it in where all places are taken."""
    log.configure("error")
    kernel = Kernel(program_named("flows"), entities=LIMIT)
    state = kernel.start()
    random = np.random.default_rng(0)
    full = 0
    for start in range(0, THROUGH, BATCH_ROWS // 2):
        hosts = np.repeat([random.bytes(16).hex() for _ in range(BATCH_ROWS // 2)], 2).tolist()
        kernel.run(batch(kernel, hosts, START + start * SECOND // 1_000), state)
        if start + BATCH_ROWS // 2 == LIMIT:
            full = held()
    given_up = state.entities.evicted_idle + state.entities.evicted_active
    return {
        "entities": THROUGH,
        "limit": LIMIT,
        "full_bytes": full,
        "held_bytes": held(),
        "given_up": given_up,
    }
