"""The command line in a folder of its own, and a config of each founding system."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tocsin.config import Config, load

Run = Callable[..., CompletedProcess[str]]
Imported = Callable[..., tuple[Config, dict[str, str]]]


@pytest.fixture(autouse=True)
def _here(folder: Path) -> None:
    """What is written, is written there."""


@pytest.fixture(scope="session")
def founding() -> Mapping[str, str]:
    """The text of a config of each founding system, by the system's name."""
    return {path.stem: path.read_text("utf-8") for path in (Path(__file__).parent / "founding").iterdir()}


@pytest.fixture
def imported(tocsin: Run) -> Imported:
    """The config that a text becomes, and the fate of each of its words."""

    def translate(text: str, *words: str) -> tuple[Config, dict[str, str]]:
        Path("foreign").write_text(text, "utf-8")
        Path("tocsin.yaml").unlink(missing_ok=True)
        done = tocsin("import-config", "foreign", "--json", *words)
        found = json.loads(done.stdout)
        assert "words" in found, done.stdout
        fates = {word["word"]: word["fate"] for word in found["words"]}
        assert done.returncode == int(not {"unknown", "unfit"}.isdisjoint(fates.values()))
        return load(Path("tocsin.yaml")), fates

    return translate
