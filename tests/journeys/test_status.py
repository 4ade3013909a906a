"""What an operator asks every day: how did the last runs go, what takes room, what is old, what serves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

from tocsin.system.logbook import LOGBOOK

Run = Callable[..., CompletedProcess[str]]


def test_each_end_of_a_run_is_told_apart(site: Path, configure: Callable[..., Path], tocsin: Run) -> None:
    assert tocsin("train", "--no-plots").returncode == 0
    configure(more="gate: {recall: '>= 2'}\n")
    assert tocsin("train", "--no-plots").returncode == 1
    configure(more="limits: {train_time: 1ms}\n")
    assert tocsin("train", "--no-plots").returncode == 1
    configure(("[bytes, packets]", "[bytez]"))
    assert tocsin("evaluate", "--no-plots").returncode == 2
    lines = [json.loads(line) for line in (site / LOGBOOK).read_text("utf-8").splitlines()]
    ends = [(line["verb"], line["result"], line["stage"], line["reason"]) for line in lines]
    assert ends[0] == ("train", "passed", "publishing", "")
    assert ends[1][:2] == ("train", "refused")
    assert "recall" in ends[1][3]
    assert ends[2][1:] == ("failed", "reading", "LimitExceeded $.limits.train_time")
    assert ends[3] == ("evaluate", "failed", "checking", "ConfigError $.features.columns[0]")
    assert lines[0]["newest_row"] == "2026-03-02T19:59:00.000000Z"
    assert lines[0]["figures"]["recall"] > 0
    assert "203.0.113" not in (site / LOGBOOK).read_text("utf-8")
