"""What it takes to pull a model of 5 MB from S3: requests, bytes, seconds, and memory of the process that pulls.

Cold, on a machine that has never seen the registry, and again, with the version known. Beside it: boto3 that downloads
the same objects and holds them, without a look at what they are. Each pull is a process of its own; what it needed
before the pull (its imports, and a first small request) is taken off.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from tests.storage.servers import S3Server, s3_server

from tocsin.model.bundle import Bundle
from tocsin.records import Verdict
from tocsin.registry import Machine, Registry
from tocsin.storage import open_bucket, open_store

ARRAYS_BYTES = 5 * 10**6
ROUNDS = 7
MOST_TIMES = 3.0
"""Peak memory over that of the bundle."""

MEMORY = """
import json, sys
from time import perf_counter
def memory(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))
def told(started, before, **figures):
    after = {"seconds": perf_counter() - started, "memory_bytes": memory("VmHWM") - before}
    print(json.dumps({**after, **figures}))
"""
OURS = """
from pathlib import Path
from tocsin.registry import Machine, Registry
from tocsin.storage import Meter, open_store
url, folder = sys.argv[1:]
open_store(url).list("nothing")
meter = Meter()
registry = Registry(open_store(url, meter=meter), Machine(Path(folder)))
before, started = memory("VmRSS"), perf_counter()
bundle, version = registry.load("edge", "champion")
told(started, before, requests=dict(meter.requests), received_bytes=meter.received_bytes, version=version.version)
"""
PEER = """
import boto3
url, *keys = sys.argv[1:]
client, bucket = boto3.client("s3"), url.split("/")[2]
client.list_objects_v2(Bucket=bucket, Prefix="nothing")
before, started = memory("VmRSS"), perf_counter()
files = {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}
told(started, before, requests={"get": len(files)}, received_bytes=sum(map(len, files.values())))
"""


def main(out: Path) -> None:
    with s3_server() as server, TemporaryDirectory() as folder:
        os.environ.update(server.environment)
        url = server.bucket()
        bundle_bytes = filled(url, Path(folder))
        keys = [entry.key for entry in open_bucket(url).list("objects/")]
        figures = pulled(server, url, Path(folder), keys)
    times = {name: found["memory_bytes"] / bundle_bytes for name, found in figures.items()}
    results = {
        "bundle_bytes": bundle_bytes,
        **{name: {**found, "memory_times_bundle": times[name]} for name, found in figures.items()},
        "bars": {
            f"{name}: at most {MOST_TIMES:g} times the bundle": times[name] <= MOST_TIMES for name in ("cold", "known")
        },
    }
    for name, found in figures.items():
        asked = sum(found["requests"].values())
        told = f"{asked:3} requests {found['received_bytes']:9,} bytes {found['seconds']:.3f} s"
        print(f"{name:6} {told}, memory {times[name]:.2f} times the bundle")
    out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def filled(url: str, folder: Path) -> int:
    """A registry with a champion whose arrays cannot be compressed; returns the bytes of its bundle."""
    rng = np.random.default_rng(20261128)
    arrays = {f"part_{part}": rng.integers(0, 256, ARRAYS_BYTES // 10, np.uint8) for part in range(10)}
    registry = Registry(open_store(url), Machine(folder / "trainer"))
    version = registry.add(
        "edge", Bundle({"kind": "example"}, arrays, {}), {"figures": {}}, Verdict(passed=True, judgements=())
    )
    registry.promote("edge", version.version)
    return version.size_bytes


def pulled(server: S3Server, url: str, folder: Path, keys: list[str]) -> dict[str, dict[str, Any]]:
    """The median round of each way."""
    rounds: dict[str, list[dict[str, Any]]] = {"cold": [], "known": [], "boto3": []}
    for number in range(ROUNDS):
        machine = str(folder / f"reader-{number}")
        for name, words in (
            ("cold", (OURS, url, machine)),
            ("known", (OURS, url, machine)),
            ("boto3", (PEER, url, *keys)),
        ):
            mark = server.mark()
            found = child(*words)
            asked = len(server.since(mark)) - 1  # the small request before
            assert asked == sum(found["requests"].values()), "a request was not counted"
            rounds[name].append(found)
    return {
        name: {
            **found[0],
            "seconds": median(item["seconds"] for item in found),
            "memory_bytes": max(item["memory_bytes"] for item in found),
        }
        for name, found in rounds.items()
    }


def child(program: str, *words: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", MEMORY + program, *words], check=True, capture_output=True, text=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures
