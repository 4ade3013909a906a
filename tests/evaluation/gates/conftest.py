"""A candidate, its champion and their pinned rows, which tests bend to their needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from tocsin.evaluation.beside import Beside
from tocsin.evaluation.gates.base import Case
from tocsin.evaluation.pins import Pins
from tocsin.evaluation.subject import OnPins, Share, Subject
from tocsin.model.profile import Profile, described
from tocsin.model.training_rows import TrainingRows
from tocsin.records import DAY, FILE, ROW, Batch
from tocsin.schema import Field, Schema

SCHEMA = Schema(
    fields={"at": Field(dtype="time"), "host": Field(dtype="category"), "load": Field(), "sent": Field()},
    time="at",
    entity="host",
)
NOW = datetime(2026, 1, 20, tzinfo=UTC)
MONDAY = 1_767_571_200_000_000  # 2026-01-05
ROWS, CLEAN, ATTACKS, FRESH = 2_000, 400, 100, 40
REPORT = {
    "rows": {"all": ROWS, "unlabelled": 0},
    "figures": {"latency_p99_ms": {"value": 4.0, "reason": ""}},
    "leaks": {"single": {"column": "load", "by": "high", "roc_auc": 0.9}, "relation": None},
}


def rows(rng: np.random.Generator, count: int = ROWS) -> Batch:
    """Ten hosts in turn, over a week."""
    return Batch(
        {
            "at": MONDAY + np.arange(count) * 7 * DAY // count,
            "host": np.array([f"host-{row % 10}" for row in range(count)], dtype=object),
            "load": rng.normal(50, 5, count),
            "sent": rng.normal(10, 1, count),
            FILE: np.full(count, "pinned", dtype=object),
            ROW: np.arange(1, count + 1),
        }
    )


@pytest.fixture
def subject(rng: np.random.Generator) -> Subject:
    learnt = rows(rng)
    values = np.column_stack([learnt["load"], learnt["sent"]])
    scores = rng.normal(size=ROWS)
    usual = rng.normal(size=CLEAN)
    on_pins = OnPins(
        usual=usual,
        ready=np.ones(CLEAN, dtype=bool),
        alerts=10,
        in_reach=40,
        promised=10.0,
        rung=np.ones(ATTACKS, dtype=bool),
        peaks=np.full(FRESH, 10.0),
    )
    return Subject(
        training=TrainingRows.of(values, values, np.arange(64), learnt["at"], learnt["host"]),
        profile=Profile.of(learnt, SCHEMA, (10, 1_000)),
        fields=described(SCHEMA),
        scores=scores,
        rang_before=Share(10, 1_000),
        on_pins=on_pins,
        latency_ms=2.0,
        memory_bytes=100_000_000,
    )


@pytest.fixture
def make_case(subject: Subject, rng: np.random.Generator) -> Callable[..., Case]:
    """A candidate that is its champion once more; `candidate` and `on_pins` change what is said of the former."""
    clean = rows(rng, CLEAN)
    attacked = clean.replace({"_window": np.arange(CLEAN, dtype=np.int64) % ATTACKS})
    names = tuple(f"spike of load, number {number}" for number in range(ATTACKS))
    assert subject.on_pins is not None
    pins = Pins(SCHEMA, clean, (attacked,), names, (), "0" * 64, subject.profile, subject.on_pins.usual, 10, 40)
    base = Case(
        report=REPORT,
        candidate=subject,
        now=NOW,
        size_bytes=1_000_000,
        max_size_bytes=2_000_000,
        last=MONDAY + 7 * DAY,
        champion=subject,
        learnt=Share(10, 1_000),
        pins=pins,
        kinds=np.array(["spike", "swap"] * (FRESH // 2)),
        beside=Beside("a", "b", 1_000, 60.0, (10, 10), (0, 0), 1.0, 0.0, latency_p99_ms=(1.0, 1.0), paced=100),
    )

    def make(*, candidate: dict[str, Any] | None = None, on_pins: dict[str, Any] | None = None, **changes: Any) -> Case:
        now = (
            subject
            if on_pins is None or subject.on_pins is None
            else replace(subject, on_pins=replace(subject.on_pins, **on_pins))
        )
        return replace(base, candidate=replace(now, **(candidate or {})), **changes)

    return make
