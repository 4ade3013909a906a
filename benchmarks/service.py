"""`tocsin run` as a process: what it holds in memory, how soon it is back after kill -9, and how soon it stops.

Flows of 10,000 hosts as a file that is followed; an isolation forest; the base install (no package of an extra is
loaded). Beside it the interpreter with numpy and scikit-learn's forest loaded, which is what a scorer by hand begins
with.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson

from tocsin.errors import TocsinError
from tocsin.journal.stored import Stored

CONFIG = """\
version: 1
name: edge
preset: flows
source: {type: csv, path: history.csv}
detector: {type: isolation_forest}
stream: {source: {type: csv, path: live.csv}, checkpoint: 2s}
sinks: [{type: jsonl, path: alerts.jsonl}]
"""
HEADER = (
    "timestamp,src_ip,dst_ip,src_port,dst_port,protocol,bytes_in,bytes_out,packets_in,packets_out,duration_s,"
    "tocsin_generated"
)
HOSTS = 10_000
HISTORY, LIVE = 100_000, 200_000
BEGIN = 1_770_000_000
KILLS = 5
PEER = "import numpy, time; from sklearn.ensemble import IsolationForest; IsolationForest; time.sleep(3)"
_POLL_S = 0.02


def main(out: Path) -> None:
    """Measure, print, write the JSON."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tocsin.yaml").write_text(CONFIG, "utf-8")
        write(folder / "history.csv", HISTORY, BEGIN)
        tocsin(folder, "train", "--promote", "--no-plots").wait()
        write(folder / "live.csv", LIVE, BEGIN + 20_000)
        figures = measured(folder)
    bars = {
        "resident memory <= 200 MB": figures["memory_mb"] <= 200,
        "back after kill -9 in <= 10 s": max(figures["recovery_s"]) <= 10,
        "stopped by SIGTERM in <= 2 s": figures["stop_s"] <= 2,
    }
    print(orjson.dumps({**figures, "bars": bars}, option=orjson.OPT_INDENT_2).decode())
    out.write_bytes(orjson.dumps({**figures, "bars": bars}, option=orjson.OPT_INDENT_2))


def measured(folder: Path) -> dict[str, Any]:
    begun = time.perf_counter()
    service = tocsin(folder, "run")
    until(lambda: received(folder) >= LIVE)
    seconds = time.perf_counter() - begun
    time.sleep(2.5)  # a checkpoint is due
    memory, peak = memory_mb(service.pid)
    recovery = []
    for number in range(KILLS):
        os.kill(service.pid, signal.SIGKILL)
        service.wait()
        write(folder / "live.csv", 1_000, BEGIN + 40_000 + 100 * number, append=True)
        begun = time.perf_counter()
        service = tocsin(folder, "run")
        wanted = LIVE + 1_000 * (number + 1)
        until(lambda wanted=wanted: received(folder) >= wanted)  # type: ignore[misc]  # bound as it is now
        recovery.append(time.perf_counter() - begun)
    begun = time.perf_counter()
    service.send_signal(signal.SIGTERM)
    service.wait()
    stop_s = time.perf_counter() - begun
    peer = subprocess.Popen([sys.executable, "-c", PEER])
    time.sleep(2.5)
    beside, _ = memory_mb(peer.pid)
    peer.wait()
    return {
        "hosts": HOSTS,
        "rows_per_s": LIVE / seconds,
        "memory_mb": memory,
        "peak_mb": peak,
        "numpy_and_scikit_learn_alone_mb": beside,
        "recovery_s": recovery,
        "stop_s": stop_s,
    }


def write(path: Path, rows: int, begin: float, *, append: bool = False) -> None:
    """Flows, twenty a second."""
    random = np.random.default_rng(int(begin))
    hosts = random.integers(0, HOSTS, rows).tolist()
    sent, got = (random.lognormal(mean, 1.0, rows).astype(int) + 60 for mean in (7.0, 6.0))
    lines = [
        f"{begin + 0.05 * row:.3f},10.0.{host >> 8}.{host & 255},192.0.2.{row % 200},{40_000 + row % 20_000},"
        f"{(443, 53, 80)[row % 3]},TCP,{sent[row]},{got[row]},{sent[row] // 100 + 1},{got[row] // 100 + 1},1.5,true"
        for row, host in enumerate(hosts)
    ]
    with path.open("a" if append else "w", encoding="utf-8") as file:
        file.write("\n".join(lines if append else [HEADER, *lines]) + "\n")


def tocsin(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from tocsin.cli import main; main()", *words]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=folder, stdout=quiet, stderr=quiet)


def received(folder: Path) -> int:
    """Rows that the service has committed."""
    try:
        return int(Stored.beside(folder / ".tocsin" / "stream").progress().tally.get("received", 0))
    except TocsinError:
        return 0


def until(true: Callable[[], bool], patience_s: float = 120.0) -> None:
    end = time.perf_counter() + patience_s
    while not true():
        if time.perf_counter() > end:
            raise TimeoutError(f"not after {patience_s:g} s")
        time.sleep(_POLL_S)


def memory_mb(pid: int) -> tuple[float, float]:
    """Resident memory of a process, now and at its highest."""
    found = dict(re.findall(r"(VmRSS|VmHWM):\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("utf-8")))
    return int(found["VmRSS"]) / 1e3, int(found["VmHWM"]) / 1e3
