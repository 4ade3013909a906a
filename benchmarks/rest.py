"""The REST server under load from a second process: one row a request, and batches of 1,000 as JSON and as Arrow.

48 features over three windows and a forest of 100 trees, on the state of 1,000 entities; batches also with 12 features.
Beside it, in the same run, what is usually written: FastAPI, a pydantic model and scikit-learn's forest, which gets
three columns as they are. `wrk` makes the load and looks at every answer; server and load share two cores. glibc is
told to keep the memory that it has (docs/rest.md), so that no batch pays for fresh pages.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from benchmarks.stream import BEGIN, ENVELOPE, arrow_of, made, parts

from tocsin.server.policy import ARROW, JSON

FOLDER = Path(__file__).parent
SECONDS = 4
KEEPS_MEMORY = {"MALLOC_TRIM_THRESHOLD_": "67108864", "MALLOC_MMAP_THRESHOLD_": "33554432"}
CONNECTIONS = 64
"""For single rows; batches come over two."""
SEEN = 100_000
ROOT = FOLDER.parent


def main(out: Path) -> None:
    """Measure, print, write the JSON."""
    events = list(made(20 * ENVELOPE, BEGIN + SEEN // 100))
    pieces = list(parts(events))
    rows = [orjson.dumps({"row": event}) for event in events[:2_000]]
    plain = [orjson.dumps(event) for event in events[:2_000]]
    with server("ours") as address:
        single = load(address, "/v1/score", rows, JSON, CONNECTIONS)
        alone = load(address, "/v1/score", rows, JSON, 1)
        many = batches(address, pieces)
    with server("few") as address:
        few = batches(address, pieces)
    with server("theirs") as address:
        peer = load(address, "/v1/score", plain, JSON, CONNECTIONS)
    figures = {
        "single": single,
        "single_one_connection": alone,
        "batches_of_48_features": many,
        "batches_of_12_features": few,
        "peer_single": peer,
        "times_peer": single["per_s"] / peer["per_s"],
        "load_average": os.getloadavg()[0],
    }
    bars = {
        "one row: >= 8,000 requests/s": single["per_s"] >= 8_000,
        "one row: p99 <= 15 ms": single["p99_ms"] <= 15,
        "one row: >= 50 x the usual service": figures["times_peer"] >= 50,
        "1,000 rows as JSON, 48 features: >= 100,000 rows/s": many["json"]["rows_per_s"] >= 100_000,
        "1,000 rows as Arrow, 48 features: >= 400,000 rows/s": many["arrow"]["rows_per_s"] >= 400_000,
        "every answer right": not any(
            one["wrong"] or one["broken"] for one in (single, alone, *many.values(), *few.values())
        ),
    }
    document = orjson.dumps({**figures, "bars": bars}, option=orjson.OPT_INDENT_2)
    print(document.decode())
    out.write_bytes(document)


def batches(address: str, pieces: Sequence[Sequence[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Batches of 1,000 rows in both forms."""
    bodies = {"json": (JSON, [orjson.dumps(piece) for piece in pieces]), "arrow": (ARROW, list(map(arrow_of, pieces)))}
    found = {name: load(address, "/v1/score/batch", sent, type, 2) for name, (type, sent) in bodies.items()}
    return {name: one | {"rows_per_s": one["per_s"] * ENVELOPE} for name, one in found.items()}


@contextmanager
def server(whose: str) -> Iterator[str]:
    """Its address; it ends with the block."""
    command = [sys.executable, "-m", "benchmarks._rest_server", whose]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | KEEPS_MEMORY, text=True, **pipes) as child:
        assert child.stdout
        yield child.stdout.readline().strip()
        child.communicate()


def load(address: str, path: str, bodies: Sequence[bytes], type: str, connections: int) -> dict[str, Any]:
    """What `wrk` measures, and how many answers were none."""
    wrk = shutil.which("wrk")
    assert wrk, "wrk is not installed"
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"".join(b"%d\n%s\n" % (len(body), body) for body in bodies))
        file.flush()
        script = ["-s", str(FOLDER / "rest.lua"), f"http://{address}{path}", "--", file.name, type]
        done = subprocess.run(
            [wrk, "-t1", f"-c{connections}", f"-d{SECONDS}s", *script], capture_output=True, text=True, check=True
        )
    found: dict[str, Any] = orjson.loads(done.stdout.splitlines()[-1])
    return found | {"per_s": found["requests"] / found["seconds"]}
