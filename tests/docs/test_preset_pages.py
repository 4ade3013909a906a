"""The pages of the presets are those that the presets themselves give."""

from __future__ import annotations

from pathlib import Path

import pytest

from tocsin.cli.presets import lead, page
from tocsin.presets import presets

FOLDER = Path(__file__).parents[2] / "docs" / "presets"


@pytest.mark.parametrize("name", presets())
def test_a_page_is_what_its_preset_gives(name: str) -> None:
    """Write it anew: `make pages`."""
    assert (FOLDER / f"{name}.md").read_text("utf-8") == page(name) + "\n"


def test_no_page_has_outlived_its_preset() -> None:
    written = {path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.md")}
    assert written == set(presets())


@pytest.mark.parametrize("name", presets())
def test_a_page_begins_with_what_the_preset_is_for(name: str) -> None:
    assert len(lead(name)) > 20
    assert page(name).splitlines()[:3] == [f"# Preset `{name}`", "", lead(name)]
