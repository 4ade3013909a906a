"""Run the benchmarks: `python -m benchmarks [NAME ...]`, each into benchmarks/results/NAME.json.

A benchmark is a module in this folder with `main(out: Path) -> None`, which prints its figures and writes them to
`out` as one JSON object. The facts about the machine are added here, so that no figure stands without them.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from pathlib import Path

import numpy as np

import tocsin

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def machine() -> dict[str, str | int | None]:
    return {
        "tocsin": tocsin.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "cpus": os.cpu_count(),
        "platform": f"{platform.system()} {platform.machine()}",
    }


def run(name: str) -> tuple[Path, list[str]]:
    """Where the figures are, and the bars that they miss."""
    out = RESULTS / f"{name}.json"
    importlib.import_module(f"benchmarks.{name}").main(out)
    figures = json.loads(out.read_text(encoding="utf-8"))
    out.write_text(json.dumps({**figures, "machine": machine()}, indent=2) + "\n", encoding="utf-8")
    return out, [bar for bar, met in figures.get("bars", {}).items() if met is False]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Run the benchmarks.")
    parser.add_argument("name", nargs="*", help=f"which ones, all if none is named: {', '.join(names())}")
    chosen = parser.parse_args().name or names()
    if unknown := set(chosen) - set(names()):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; there are: {', '.join(names())}")
    RESULTS.mkdir(exist_ok=True)
    missed = []
    for name in chosen:
        print(f"== {name}")
        out, below = run(name)
        print(f"{name}: {out.relative_to(FOLDER.parent)}")
        missed += [f"{name}: {bar}" for bar in below]
    if missed:
        sys.exit("missed: " + "; ".join(missed))


if __name__ == "__main__":
    main()
