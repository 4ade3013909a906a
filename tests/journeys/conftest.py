"""A small site with telemetry and a config, and the command line over it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

CONFIG = """\
version: 1
name: small
schema:
  time: time
  entity: host
  fields:
    time: {dtype: time}
    host: {dtype: address, identity: true}
    bytes: {dtype: float, unit: bytes, minimum: 0}
    packets: {dtype: integer, unit: packets, minimum: 0}
source: {type: csv, path: "data/*.csv"}
labels: {column: label, normal: [normal]}
features: {columns: [bytes, packets]}
detector: {type: robust_zscore}
alerts: {budget: 1%}
sinks: [{type: jsonl, path: alerts.jsonl}]
"""
ROWS = 1_200
LEAKS = range(1_000, ROWS, 40)
"""Rows of the test span that send far too much."""


@pytest.fixture
def lines(rng: np.random.Generator) -> list[str]:
    """A header and 1,200 rows, one a minute, of five hosts; five of the last 240 are labelled `leak`."""
    start = datetime(2026, 3, 2, tzinfo=UTC)
    text = ["time,host,bytes,packets,label"]
    for row in range(ROWS):
        leaks = row in LEAKS
        sent = 90_000.0 if leaks else rng.normal(1_000, 50)
        time = (start + timedelta(minutes=row)).isoformat()
        text.append(f"{time},203.0.113.{row % 5 + 1},{sent:.1f},{sent // 100:.0f},{'leak' if leaks else 'normal'}")
    return text


@pytest.fixture
def site(folder: Path, lines: list[str]) -> Path:
    """The folder of a project: `tocsin.yaml` and `data/rows.csv`; tests run in it."""
    (folder / "data").mkdir()
    (folder / "data" / "rows.csv").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "tocsin.yaml").write_text(CONFIG, "utf-8")
    return folder


@pytest.fixture
def configure(site: Path) -> Callable[..., Path]:
    """Write the site's config with some words replaced and some lines more."""

    def write(*changes: tuple[str, str], more: str = "", name: str = "tocsin.yaml") -> Path:
        text = CONFIG
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = site / name
        path.write_text(text + more, "utf-8")
        return path

    return write


@pytest.fixture
def in_child() -> Callable[..., CompletedProcess[str]]:
    """The command line in a process of its own, after some lines of Python and with further environment."""

    def call(*words: str | Path, before: str = "", **environment: str) -> CompletedProcess[str]:
        script = f"{before}\nfrom tocsin.cli import main\nmain()"
        return subprocess.run(
            [sys.executable, "-c", script, *map(str, words)],
            env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    return call
