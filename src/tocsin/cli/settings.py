"""The options that every command takes, wherever they stand on the line."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from tocsin import log
from tocsin.errors import ConfigError, Problem

if TYPE_CHECKING:
    from tocsin.system import Project

LEVELS = ("debug", "info", "warning", "error")
SHARED_HELP = (
    "Every command also takes, before or after the verb: -c/--config FILE (tocsin.yaml), -v/--verbose, "
    "--log-level debug|info|warning|error, --json (one document on standard output, errors included). It ends with "
    "0 when done, 1 when refused, not wholly done or a target was missed, 2 on wrong usage or an invalid config, "
    "130 when interrupted."
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The shared options of one call."""

    config: Path = Path("tocsin.yaml")
    level: Literal["debug", "info", "warning", "error"] | None = None
    json: bool = False

    def project(self) -> Project:
        """The project of the config, with logging as the config and the options say."""
        from tocsin.system import Project

        project = Project.load(self.config)
        logging = project.config.logging
        log.configure(self.level or logging.level, logging.format)
        return project


def take_settings(words: list[str]) -> tuple[Settings, list[str]]:
    """The shared options, and the words that are left.

    Raises
    ------
    ConfigError
        If an option has no value or one that it does not know.

    >>> settings, rest = take_settings(["-c", "a.yaml", "models", "list", "--json"])
    >>> settings.config.name, settings.json, rest
    ('a.yaml', True, ['models', 'list'])
    """
    parser = argparse.ArgumentParser(prog="tocsin", add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("-c", "--config", type=Path, default=Path("tocsin.yaml"))
    parser.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("--log-level", choices=LEVELS)
    parser.add_argument("--json", action="store_true")
    try:
        found, rest = parser.parse_known_args(words)
    except argparse.ArgumentError as wrong:
        raise ConfigError([Problem(wrong.argument_name or "tocsin", wrong.message)]) from None
    level = "debug" if found.verbose else found.log_level
    return Settings(found.config, cast("Literal['debug', 'info', 'warning', 'error'] | None", level), found.json), rest


def version_of(word: str) -> int | str:
    """A version's number, or a channel's name as it is.

    >>> version_of("12"), version_of("champion"), version_of("²")
    (12, 'champion', '²')
    """
    return int(word) if re.fullmatch("[0-9]{1,18}", word) else word
