from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from tocsin.evaluation.evidence import Evidence
from tocsin.evaluation.plots import draw, shortened
from tocsin.evaluation.report import evaluate
from tocsin.records import DAY

Make = Callable[..., Evidence]
PNG = b"\x89PNG\r\n\x1a\n"
NAMES = [
    "confusion_matrix",
    "roc_curve",
    "precision_recall_curve",
    "calibration",
    "detection_delay",
    "score_distribution",
    "feature_importance",
]


def test_all_pictures_are_drawn_with_labels_and_a_clock(make_evidence: Make, tmp_path: Path) -> None:
    evidence = make_evidence(generated=True)
    paths = draw(evidence, evaluate(evidence), tmp_path / "plots")
    assert [path.stem for path in paths] == NAMES
    assert all(path.read_bytes().startswith(PNG) for path in paths)


def test_without_labels_only_the_pictures_that_need_none_are_drawn(make_evidence: Make, tmp_path: Path) -> None:
    evidence = make_evidence(labels=None)
    assert [path.stem for path in draw(evidence, evaluate(evidence), tmp_path)] == NAMES[-2:]


def test_alerts_are_drawn_by_day_where_there_are_several_days(make_evidence: Make, tmp_path: Path) -> None:
    evidence = make_evidence(promise={"served": 3.0, "unit": "alerts/day", "level_p": 0.6})
    assert evidence.times is not None
    times = np.arange(400) * (5 * DAY // 400)
    moved = tuple(replace(item, start=int(times[int(item.id)])) for item in evidence.alerts)
    spread = replace(evidence, times=times, alerts=moved)
    assert "alerts_by_day" in [path.stem for path in draw(spread, evaluate(spread), tmp_path)]


def test_events_that_never_rang_can_be_drawn(make_evidence: Make, tmp_path: Path) -> None:
    evidence = make_evidence(alerts=())
    quiet = replace(evidence, scores=replace(evidence.scores, flagged=np.zeros(400, bool)))
    assert "detection_delay" in [path.stem for path in draw(quiet, evaluate(quiet), tmp_path)]


def test_equal_scores_strange_names_and_silence_can_be_drawn(make_evidence: Make, tmp_path: Path) -> None:
    evidence = make_evidence(feature_names=("$x_{$", "a" * 200, "ok"), level=np.inf, alerts=())
    scores = replace(evidence.scores, score=np.zeros(400), flagged=np.zeros(400, bool))
    quiet = replace(evidence, scores=scores)
    assert len(draw(quiet, evaluate(quiet), tmp_path)) == len(NAMES)


def test_scores_that_differ_in_their_last_digit_alone_can_be_drawn(make_evidence: Make, tmp_path: Path) -> None:
    evidence = make_evidence()
    score = np.where(np.arange(400) % 2 == 0, 0.5, np.nextafter(0.5, 1.0))
    close = replace(evidence, scores=replace(evidence.scores, score=score))
    assert len(draw(close, evaluate(close), tmp_path)) == len(NAMES)


def test_signs_that_the_font_lacks_and_control_characters_are_drawn_as_question_marks(
    make_evidence: Make, tmp_path: Path
) -> None:
    evidence = make_evidence(feature_names=("\x1b[31m\x00", "流量\U0001f600", "größe"))
    assert len(draw(evidence, evaluate(evidence), tmp_path)) == len(NAMES)
    assert [shortened(name) for name in ("a\x1b\u202eb", "流量", "größe", "a$b")] == ["a??b", "??", "größe", r"a\$b"]


def test_the_report_itself_needs_neither_matplotlib_nor_jinja() -> None:
    program = (
        "import sys; sys.modules['matplotlib'] = sys.modules['jinja2'] = None\n"
        "import tocsin.evaluation.gate, tocsin.evaluation.predictions\n"
        "from tocsin.errors import MissingExtraError\n"
        "for name in ('plots', 'page'):\n"
        "    try: __import__('tocsin.evaluation.' + name)\n"
        "    except MissingExtraError as error: assert 'tocsin[report]' in str(error)\n"
        "    else: raise SystemExit(name)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
