"""The moving line on a terminal: how far long work is, where that is known."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from rich.console import Console

from tocsin.cli import screens
from tocsin.system import Project

CONFIG = """\
version: 1
name: hosts
schema: {fields: {load: {dtype: float}}}
detector: {type: robust_zscore}
alerts: {budget: 1%}
"""


def drawn(project: Project, shown: io.StringIO, *stages: tuple[str, int, int]) -> list[str]:
    """What stands on the terminal in each stage."""
    pictures = []
    with screens.progress_of(project):
        for stage in stages:
            shown.truncate(0)
            project.progress(*stage)
            while stage[0] not in shown.getvalue():
                time.sleep(0.01)
            pictures.append(shown.getvalue())
    return pictures


@pytest.mark.usefixtures("folder")
def test_known_rounds_are_counted_and_the_stage_behind_them_is_open_again(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("tocsin.yaml").write_text(CONFIG)
    shown = io.StringIO()
    monkeypatch.setattr(screens, "err", Console(file=shown, force_terminal=True, width=100))
    reading, learning, behind = drawn(
        Project.load(Path("tocsin.yaml")), shown, ("reading", 1_200, 0), ("learning", 25, 50), ("threshold", 0, 0)
    )
    assert "1,200 rows" in reading
    assert "25 of 50" in learning
    pulse = "\x1b[35m"
    assert pulse in reading
    assert pulse not in learning.rpartition("learning")[2]
    assert pulse in behind.rpartition("threshold")[2]
