"""Which system a config belongs to, told by its words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tocsin.cli.imported import amoskys, analyzer, helios, mnemosyne, networking_tester
from tocsin.cli.imported.reading import Foreign
from tocsin.cli.imported.words import FEWEST_KNOWN, System, Word, words_in
from tocsin.errors import ConfigError, Problem

SYSTEMS: Mapping[str, System] = {
    "mnemosyne": mnemosyne.SYSTEM,
    "amoskys": amoskys.SYSTEM,
    "networking_tester": networking_tester.SYSTEM,
    "helios": helios.SYSTEM,
    "analyzer": analyzer.SYSTEM,
}


def words_of(system: System, foreign: Foreign) -> list[Word]:
    """The words of a config, as one system divides them."""
    return words_in(foreign.values, foreign.lines, frozenset(system.table))


def recognised(foreign: Foreign, path: Path) -> str:
    """The system that knows the most of a config's words.

    Raises
    ------
    ConfigError
        If none knows at least two of them, or two know equally many.
    """
    known = {name: system.known(words_of(system, foreign)) for name, system in SYSTEMS.items()}
    most = max(known.values())
    best = [name for name, number in known.items() if number == most]
    if most < FEWEST_KNOWN or len(best) > 1:
        got = "words that no system knows" if most < FEWEST_KNOWN else f"words of {' and of '.join(best)} alike"
        raise ConfigError([Problem(str(path), got, "a config", f"name it: --format {'|'.join(SYSTEMS)}")])
    return best[0]
