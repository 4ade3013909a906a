"""What fits no rule of a foreign config is told, keeps nothing else from being kept, and never becomes a config."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.cli.imported.reading import MAX_BYTES, Foreign, read
from tocsin.cli.imported.systems import SYSTEMS, words_of
from tocsin.cli.imported.words import translate
from tocsin.cli.imported.writing import config_text
from tocsin.config import Config, parse
from tocsin.system import check

Run = Callable[..., CompletedProcess[str]]
Texts = Mapping[str, str]
Imported = Callable[..., tuple[Config, dict[str, str]]]


def test_an_unknown_word_is_told_with_the_nearest_one(tocsin: Run, founding: Texts) -> None:
    text = founding["mnemosyne"].replace("random_state", "random_sate")
    Path("foreign").write_text(text + "ghost: {most: 3}\n", "utf-8")
    done = tocsin("import-config", "foreign")
    assert done.returncode == 1
    assert 'training.random_sate: did you mean "training.random_state"?' in done.stdout
    assert "ghost.most: Mnemosyne has no such word" in done.stdout
    assert "ghost.most (line 24) is unknown" in Path("tocsin.yaml").read_text("utf-8")
    assert tocsin("check").returncode == 0


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("random_state: 42", "random_state: soon", "training.random_state"),
        ("random_state: 42", "random_state: true", "training.random_state"),
        ("[50, 200]", "[200, 50]", "training.n_estimators_range"),
        ("[50, 200]", "[50, 2000000]", "training.n_estimators_range"),
        ("[0.01, 0.1]", ".nan", "preprocessing.contamination_range"),
        ("[0.01, 0.1]", "[0.01, 0.9]", "preprocessing.contamination_range"),
        ("split: 0.2", "split: 1.5", "training.validation_split"),
        ("method: standard", "method: minmax", "preprocessing.feature_normalization_method"),
        ("path: models", 'path: "${HOME}/models"', "firebase.model_output_path"),
        ("path: models", 'path: "a\\u001b[31m"', "firebase.model_output_path"),
        ("path: flows/training", "path: 7", "firebase.training_data_path"),
        ("[bytes_in, bytes_out,", "[bytes_on, bytes_out,", "preprocessing.log_transform_features"),
    ],
)
def test_a_value_that_does_not_fit_is_told_and_the_rest_is_kept(
    old: str, new: str, word: str, imported: Imported, founding: Texts
) -> None:
    assert old in founding["mnemosyne"]
    config, fates = imported(founding["mnemosyne"].replace(old, new))
    assert [name for name, fate in fates.items() if fate == "unfit"] == [word]
    assert config.preset == "flows"


def test_two_words_for_one_place_are_no_riddle(imported: Imported, founding: Texts) -> None:
    assert imported(founding["analyzer"])[0].detector.parameters["seed"] == 42
    text = founding["analyzer"].replace("  random_state: 42\n  n_jobs", "  random_state: 7\n  n_jobs")
    config, fates = imported(text)
    assert (config.detector.parameters["seed"], fates["training.random_state"]) == (42, "unfit")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no system knows"),
        ("- a\n- b\n", "a list"),
        ("a: 1\nb: 2\n", "no system knows"),
        ("output_dir: a\nn_estimators: 5\nvalidation_split: 0.1\n", "alike"),
        ("a: &x [1]\nb: *x\n", "alias"),
        ("a: !!python/object/apply:os.system [ls]\n", "could not determine a constructor"),
        ("a: !!int x\n", "a tag such as"),
        ("a: !!timestamp x\n", "a tag such as"),
        ("days: 1\ndays: 2\n", "twice"),
        ("DAYS=1\nDAYS=2\n", "twice"),
        ("a: " + "[" * 60 + "]" * 60 + "\n", "levels"),
        ("{" * 3 + "\n", "expected"),
        ("days: 1\n" + "#" * MAX_BYTES, "more than 65,536 bytes"),
        ("days: \udcff\n", "no readable text file"),
    ],
)
def test_what_is_no_config_is_refused_and_nothing_is_written(text: str, told: str, tocsin: Run) -> None:
    Path("foreign").write_bytes(text.encode("utf-8", "surrogateescape"))
    done = tocsin("import-config", "foreign")
    assert (done.returncode, Path("tocsin.yaml").exists()) == (2, False)
    assert told in done.stderr.replace("\n", " ")


def test_a_config_is_never_replaced_and_a_name_can_be_given(tocsin: Run) -> None:
    Path("foreign").write_text("days: 3\n", "utf-8")
    assert tocsin("import-config", "foreign").returncode == 2
    assert tocsin("import-config", "foreign", "--format", "helios", "-o", "mine.yaml").returncode == 0
    again = tocsin("import-config", "foreign", "--format", "helios", "-o", "mine.yaml")
    assert (again.returncode, "exists already" in again.stderr) == (2, True)


@pytest.mark.parametrize("system", SYSTEMS)
def test_rules_survive_any_value(system: str, tmp_path: Path, founding: Texts) -> None:
    table = SYSTEMS[system].table
    plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("auto")
    values = st.recursive(
        plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner), max_leaves=5
    )
    (tmp_path / "foreign").write_text(founding[system], "utf-8")
    whole = read(tmp_path / "foreign").values

    @settings(deadline=None, max_examples=25)
    @given(word=st.sampled_from(sorted(table)), value=values)
    def survives(word: str, value: Any) -> None:
        *above, last = word.split(".")
        foreign = deepcopy(dict(whole))
        inner: dict[str, Any] = foreign
        for key in above:
            inner = inner.setdefault(key, {})
        inner[last] = value
        translation = translate(SYSTEMS[system], words_of(SYSTEMS[system], Foreign(foreign, {})))
        assert len(translation.fates) >= 10
        check(parse(config_text(translation, "\x1b[31m")))

    survives()
