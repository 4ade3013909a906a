from __future__ import annotations

from pathlib import Path

import pytest

from tocsin.cli.settings import Settings, take_settings, version_of
from tocsin.errors import ConfigError


def test_shared_options_are_taken_from_anywhere_on_the_line() -> None:
    settings, rest = take_settings(["models", "-c", "a.yaml", "list", "--json", "-v"])
    assert settings == Settings(Path("a.yaml"), "debug", json=True)
    assert rest == ["models", "list"]


@pytest.mark.parametrize("words", [["--log-level", "loud"], ["-c"]])
def test_an_option_without_a_value_that_it_knows_is_refused(words: list[str]) -> None:
    with pytest.raises(ConfigError):
        take_settings(words)


@pytest.mark.parametrize("word", ["²", "٣", "9" * 5_000, "-1", "champion", ""])
def test_only_plain_digits_are_a_version(word: str) -> None:
    assert version_of(word) == word


def test_digits_are_a_version() -> None:
    assert version_of("12") == 12
