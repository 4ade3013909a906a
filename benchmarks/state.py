"""Memory of an entity: what `tocsin plan` foretells, and what a process is seen to take."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from benchmarks.features import held
from benchmarks.features import program as windows

from tocsin import observe
from tocsin.config import parse
from tocsin.features.base import compile_program
from tocsin.kernel.program import Program
from tocsin.kernel.run import Kernel
from tocsin.model.design import Design
from tocsin.records import SECOND, Batch

ENTITIES = (100_000, 300_000)
FLOOD, PLACES = 1_000_000, 20_000
FLOWS_BAR_BYTES = 8_192
START = 1_760_000_000 * SECOND
CONFIG = "version: 1\nname: flows\npreset: flows\n"


def main(out: Path) -> None:
    """Measure, print, write the JSON."""
    figures: dict[str, Any] = {}
    for name in ("flows", "48 window features"):
        planned = Kernel(of(name)).bytes_per_entity
        measured = {str(entities): child(f"grown({name!r}, {entities})") for entities in ENTITIES}
        error = max(abs(planned / bytes_ - 1) for bytes_ in measured.values())
        figures[name] = {"planned_bytes": planned, "measured_bytes": measured, "largest_error": error}
        shown = ", ".join(f"{bytes_:,.0f} with {entities}" for entities, bytes_ in measured.items())
        print(f"{name}: planned {planned:,} bytes, measured {shown}")
    flood = child("flooded()")
    print(f"{FLOOD:,} entities through {PLACES:,} places: {flood / 2**20:,.0f} MiB more")
    bars = {
        f"flows <= {FLOWS_BAR_BYTES} bytes": figures["flows"]["planned_bytes"] <= FLOWS_BAR_BYTES,
        "plan within 5 % of what is measured": all(one["largest_error"] <= 0.05 for one in figures.values()),
    }
    out.write_bytes(orjson.dumps({**figures, "flood_bytes": flood, "bars": bars}, option=orjson.OPT_INDENT_2))


def of(name: str) -> Program:
    """The program of the preset, before it has learnt a vocabulary, or of the windows."""
    if name != "flows":
        return windows()
    design = Design.of(parse(CONFIG))
    return compile_program(design.schema, design.columns(), design.derived(), design.no_rows())


def child(call: str) -> float:
    """What a function of this module answers in a process of its own."""
    script = f"from benchmarks.state import *; print({call})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    return float(done.stdout.splitlines()[-1])


def grown(name: str, entities: int) -> float:
    """Bytes by which the process grows for each entity, its name included."""
    kernel = Kernel(of(name), entities=entities)
    state = kernel.start()
    kernel.run(rows(kernel, 0, 1_000), state)
    before = held()
    for start in range(1_000, entities, 1_000):
        kernel.run(rows(kernel, start, 1_000), state)
    return (held() - before) / (entities - 1_000)


def flooded() -> float:
    """Bytes by which the process grows while a million names pass, once all places are taken."""
    observe.configure("error")
    kernel = Kernel(of("flows"), entities=PLACES)
    state = kernel.start()
    for start in range(0, 2 * PLACES, 1_000):
        kernel.run(rows(kernel, start, 1_000), state)
    before = held()
    for start in range(2 * PLACES, FLOOD, 1_000):
        kernel.run(rows(kernel, start, 1_000), state)
    return held() - before


def rows(kernel: Kernel, start: int, number: int) -> Batch:
    """One row each of so many entities that were never seen."""
    program = kernel.program
    random = np.random.default_rng(start)
    columns = {
        name: random.poisson(100, number).astype(float) if dtype == np.float64 else np.full(number, "tcp", dtype=object)
        for name, dtype in kernel.plan.reads.items()
    }
    names = [f"{entity * 0x9E3779B97F4A7C15 % 2**128:032x}" for entity in range(start, start + number)]
    times = START + np.arange(number) * SECOND // 1_000
    return Batch({**columns, str(program.time): times, str(program.entity): np.array(names, dtype=object)})
