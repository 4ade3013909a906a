"""The words of a foreign config and their fates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from tocsin.errors import did_you_mean, visible

Kind = Literal["kept", "no_meaning", "not_yet", "unfit", "unknown"]
Words = Mapping[str, Any]
"""Values by word, as the tables spell words."""

MAX_SHOWN = 60
"""Characters of a refused value."""
FEWEST_KNOWN = 2
"""Known words below which a config is nobody's."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one word."""

    kind: Kind
    said: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Values of the new config by their places, such as `detector.seed`."""

    @property
    def told(self) -> str:
        """The places and what is said of them, for a line."""
        places = ", ".join(self.settings)
        return f"{places} ({self.said})" if places and self.said else places or self.said


Rule = Callable[[Any, Words], Fate]
"""(value, all words) -> fate; raises ValueError with what was wanted if the value does not fit."""


class Given(NamedTuple):
    """A value that a system implies without a word, and why it is there."""

    value: Any
    why: str


@dataclass(frozen=True, slots=True)
class System:
    """A system whose configs can be read.

    Parameters
    ----------
    title
        Its name, for people.
    table
        A rule per word: keys of mappings inside each other, joined by dots.
    given
        What every config of it implies, by place, seen with its words.
    spelled
        A word as the table spells it, where a system spells in several ways.
    """

    title: str
    table: Mapping[str, Rule]
    given: Callable[[Words], Mapping[str, Given]]
    spelled: Callable[[str], str] = str

    def known(self, words: Sequence[Word]) -> int:
        """How many of these words are its own."""
        return sum(self.spelled(word.path) in self.table for word in words)


class Word(NamedTuple):
    """One word of a foreign config."""

    path: str
    value: Any
    line: int


class Setting(NamedTuple):
    """A value of the new config, where it came from, and what is said of it there."""

    value: Any
    origin: str
    said: str = ""


@dataclass(frozen=True, slots=True)
class Translation:
    """A foreign config in Tocsin's words."""

    system: System
    settings: Mapping[str, Setting]
    fates: Sequence[tuple[Word, Fate]]

    @property
    def whole(self) -> bool:
        """Whether every word is known and fits."""
        return not any(fate.kind in ("unfit", "unknown") for _, fate in self.fates)


def words_in(values: Mapping[Any, Any], lines: Mapping[str, int], known: frozenset[str]) -> list[Word]:
    """Every word with its value and line; a mapping is one word if it is empty or `known` as one."""
    found: list[Word] = []

    def walk(mapping: Mapping[Any, Any], above: str) -> None:
        for key, value in mapping.items():
            path = f"{above}{key}"
            if isinstance(value, dict) and value and path not in known:
                walk(value, f"{path}.")
            else:
                found.append(Word(path, value, lines.get(f"$.{path}", 0)))

    walk(values, "")
    return found


def translate(system: System, words: Sequence[Word]) -> Translation:
    """The fate of every word, and the settings that come of them."""
    spelled: dict[str, Any] = {}
    for word in words:
        spelled.setdefault(system.spelled(word.path), word.value)
    settings = {place: Setting(*given) for place, given in system.given(spelled).items()}
    said: dict[str, Word] = {}
    fates = []
    for word in words:
        fate = _fate(system, word, spelled)
        taken = [place for place, value in fate.settings.items() if place in said and settings[place].value != value]
        if taken:
            other = said[taken[0]]
            fate = Fate("unfit", f"{taken[0]} comes from {other.path} already")
        for place, value in fate.settings.items():
            origin = f"{word.path}{f' (line {word.line})' if word.line else ''}"
            if said.setdefault(place, word) is word:
                settings[place] = Setting(value, origin, fate.said)
            else:
                settings[place] = Setting(value, f"{settings[place].origin} and {origin}", fate.said)
        fates.append((word, fate))
    return Translation(system, settings, fates)


def _fate(system: System, word: Word, spelled: Words) -> Fate:
    rule = system.table.get(system.spelled(word.path))
    if rule is None:
        return Fate("unknown", did_you_mean(word.path, system.table) or f"{system.title} has no such word")
    if word.value is None or word.value in ("", [], {}):
        return Fate("no_meaning", "it is empty")
    try:
        return rule(word.value, spelled)
    except ValueError as wanted:
        return Fate("unfit", f"got {_short(word.value)}, {wanted}")


def _short(value: object) -> str:
    text = visible(repr(value))
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def kept(place: str, convert: Callable[[Any], Any], remark: str = "") -> Rule:
    """A word that has one place here."""
    return lambda value, _: Fate("kept", remark, {place: convert(value)})


def meaningless(why: str) -> Rule:
    """A word for something that there is not; `why` follows a "because"."""
    return lambda _value, _words: Fate("no_meaning", why)


def later(what: str) -> Rule:
    """A word for something that there is not yet."""
    return lambda _value, _words: Fate("not_yet", what)


def under(prefix: str, table: Mapping[str, Rule]) -> dict[str, Rule]:
    """The same words inside a mapping."""
    return {f"{prefix}.{word}": rule for word, rule in table.items()}
