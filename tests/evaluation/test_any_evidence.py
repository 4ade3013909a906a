"""Whatever the rows lack, a report comes out: every figure has a value or a reason, and none is infinite."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tocsin.evaluation.evidence import Evidence
from tocsin.evaluation.figures import UNITS
from tocsin.evaluation.page import write_page
from tocsin.evaluation.report import evaluate
from tocsin.records import DAY

LABELS: dict[str, Any] = {
    "none": None,
    "all unknown": np.full(400, -1, np.int8),
    "all normal": np.zeros(400, np.int8),
    "all anomalous": np.ones(400, np.int8),
    "one anomaly": (np.arange(400) == 7).astype(np.int8),
    "some unknown": np.arange(400).astype(np.int8) % 3 - 1,
}
CLOCKS: dict[str, Any] = {
    "none": None,
    "one moment": np.full(400, 5 * DAY),
    "days": np.arange(400) * (DAY // 40),
    "a wrong clock": np.append(np.arange(399), 2**60),
}
STATES = {"ready": "ready", "warming up": "warming_up"}


@pytest.mark.parametrize(("labels", "clock", "state"), list(product(LABELS, CLOCKS, STATES)))
def test_every_figure_has_a_value_or_a_reason(
    labels: str, clock: str, state: str, make_evidence: Callable[..., Evidence], tmp_path: Path
) -> None:
    evidence = make_evidence(labels=LABELS[labels], times=CLOCKS[clock], alerts=())
    if clock == "none":
        evidence = replace(evidence, entities=None, classes=None)
    states = np.full(400, STATES[state], object)
    evidence = replace(evidence, scores=replace(evidence.scores, state=states))
    report = evaluate(evidence)
    assert report.results.keys() == UNITS.keys()
    for name, figure in report.results.items():
        assert figure.unit == UNITS[name]
        if figure.value is None:
            assert figure.reason
            continue
        assert isfinite(figure.value)
        if figure.low is not None:
            assert figure.high is not None
            assert isfinite(figure.low)
            assert figure.low <= figure.value <= figure.high
    json.dumps(report.to_json(), allow_nan=False)
    write_page(evidence, report, None, (), tmp_path / "report.html")
