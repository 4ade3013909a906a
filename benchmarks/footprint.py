"""What `import tocsin` and `tocsin --help` cost: seconds, and the heavy packages they load (none)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

import orjson

HEAVY = ("polars", "sklearn", "scipy", "matplotlib", "torch", "fastapi", "pandas", "jinja2")
ROUNDS = 5
PROGRAMS = {
    "import tocsin": "import tocsin",
    "tocsin --help": (
        "import contextlib, sys; sys.argv = ['tocsin', '--help']\n"
        "from tocsin.cli import main\n"
        "with contextlib.suppress(SystemExit): main()"
    ),
}


def main(out: Path) -> None:
    """Measure, print, write the JSON."""
    results = {name: measure(program) for name, program in PROGRAMS.items()}
    print(orjson.dumps(results, option=orjson.OPT_INDENT_2).decode())
    out.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))


def measure(program: str) -> dict[str, object]:
    """Median seconds of a fresh process, and what it loaded."""
    loaded = f"{program}\nimport sys; print('\\n' + ' '.join(name for name in {HEAVY!r} if name in sys.modules))"
    seconds = []
    for _ in range(ROUNDS):
        start = perf_counter()
        done = subprocess.run([sys.executable, "-c", loaded], check=True, capture_output=True, text=True)
        seconds.append(perf_counter() - start)
    return {"seconds": median(seconds), "heavy": done.stdout.splitlines()[-1].split()}
