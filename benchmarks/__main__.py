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


def run(name: str) -> Path:
    out = RESULTS / f"{name}.json"
    importlib.import_module(f"benchmarks.{name}").main(out)
    figures = json.loads(out.read_text(encoding="utf-8"))
    out.write_text(json.dumps({**figures, "machine": machine()}, indent=2) + "\n", encoding="utf-8")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Run the benchmarks.")
    parser.add_argument("name", nargs="*", help=f"which ones, all if none is named: {', '.join(names())}")
    chosen = parser.parse_args().name or names()
    if unknown := set(chosen) - set(names()):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; there are: {', '.join(names())}")
    RESULTS.mkdir(exist_ok=True)
    for name in chosen:
        print(f"== {name}")
        print(f"{name}: {run(name).relative_to(FOLDER.parent)}")


if __name__ == "__main__":
    main()
