"""The pictures and the page of an outcome, where they can be drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tocsin.cli import screens
from tocsin.component import optional_packages
from tocsin.errors import MissingExtraError

if TYPE_CHECKING:
    from tocsin.system import Outcome


def illustrated(outcome: Outcome) -> Path:
    """Where to look at an outcome: its page or, if the extra `report` is not installed, its folder."""
    try:
        with optional_packages("report"):
            from tocsin.evaluation.page import write_page
            from tocsin.evaluation.plots import draw
        page = outcome.folder / "report.html"
        plots = draw(outcome.evidence, outcome.report, outcome.folder)
        write_page(outcome.evidence, outcome.report, outcome.verdict, plots, page)
        return page
    except KeyboardInterrupt:
        screens.aside("Stopped while drawing: the rest of this run is complete, its page is not.")
        return outcome.folder
    except MissingExtraError as missing:
        screens.aside(f"No plots and no page: {missing.problem.got}; they need {missing.problem.hint}")
        return outcome.folder
