"""Training twice on the same rows computes their features once, and gives the same model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tocsin import log

Run = Callable[..., CompletedProcess[str]]
WINDOWS = ("columns: [bytes, packets]", "columns: [bytes], derive: [{type: rolling, columns: [bytes], windows: [1h]}]")


@pytest.fixture
def passes(tocsin: Run) -> Callable[..., tuple[int, int, str]]:
    """Run a command; how many batches were computed and spared, and the model's digest."""

    def run(*words: str) -> tuple[int, int, str]:
        names = [f'tocsin_feature_passes_total{{result="{result}"}}' for result in ("computed", "spared")]
        before = [log.counters().get(name, 0) for name in names]
        done = tocsin(*words, "--no-plots", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        computed, spared = (log.counters().get(name, 0) - had for name, had in zip(names, before, strict=True))
        return computed, spared, str(json.loads(done.stdout)["model"])

    return run


Passes = Callable[..., tuple[int, int, str]]


def test_a_second_training_computes_no_feature(configure: Callable[..., Path], passes: Passes) -> None:
    configure(WINDOWS)
    computed, spared, digest = passes("train")
    assert (computed, spared) == (3, 0)
    assert passes("train") == (0, 3, digest)
    assert passes("evaluate") == (0, 3, digest)


def test_another_detector_is_trained_on_features_that_are_there(configure: Callable[..., Path], passes: Passes) -> None:
    configure(WINDOWS)
    passes("train")
    configure(WINDOWS, ("{type: robust_zscore}", "{type: isolation_forest, trees: 50}"), ("1%", "2%"))
    assert passes("train")[:2] == (0, 3)


def test_a_changed_row_is_computed_from_there_on(
    site: Path, configure: Callable[..., Path], passes: Passes, lines: list[str]
) -> None:
    configure(WINDOWS)
    passes("train")
    changed = lines[-1].replace("203.0.113", "203.0.114")
    (site / "data" / "rows.csv").write_text("\n".join([*lines[:-1], changed]) + "\n", "utf-8")
    assert passes("train")[:2] == (1, 2)
    first = lines[1].replace("203.0.113", "203.0.114")
    (site / "data" / "rows.csv").write_text("\n".join([lines[0], first, *lines[2:]]) + "\n", "utf-8")
    assert passes("train")[:2] == (3, 0)


def test_another_feature_another_key_or_fewer_places_share_nothing(
    site: Path, configure: Callable[..., Path], passes: Passes
) -> None:
    def as_another(*changes: tuple[str, str], more: str = "") -> None:
        """Under a name of its own, so that no gate compares it with the models before."""
        name = f"small-{len(list((site / 'runs').glob('*')))}"
        configure(("name: small", f"name: {name}"), *changes, more=more)

    configure(WINDOWS)
    passes("train")
    as_another((WINDOWS[0], WINDOWS[1].replace("1h", "2h")))
    assert passes("train")[:2] == (3, 0)
    as_another(WINDOWS, more="limits: {entities: 3}\n")
    assert passes("train")[:2] == (3, 0)
    as_another(WINDOWS)
    (site / ".tocsin" / "site.key").unlink()
    (site / ".tocsin" / "names.jsonl").unlink()
    assert passes("train")[:2] == (3, 0)


def test_without_the_files_the_model_is_the_same(site: Path, configure: Callable[..., Path], passes: Passes) -> None:
    configure(WINDOWS)
    digest = passes("train")[2]
    for number, entry in enumerate(sorted((site / ".tocsin" / "features").iterdir())):
        entry.write_bytes(entry.read_bytes()[: 500 * number])
    assert passes("train") == (3, 0, digest)
    configure(WINDOWS, more="limits: {feature_cache: 1B}\n")
    for entry in (site / ".tocsin" / "features").iterdir():
        entry.unlink()
    assert passes("train") == (3, 0, digest)
    assert passes("train") == (3, 0, digest)
    assert list((site / ".tocsin" / "features").iterdir()) == []
