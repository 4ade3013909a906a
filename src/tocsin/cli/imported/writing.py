"""A translation as a config: every value with a comment that says where it came from."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from math import inf
from typing import Any

import yaml

from tocsin.cli.imported.words import Fate, Setting, Translation, Word
from tocsin.config import Config
from tocsin.errors import visible

WIDTH = 120
COMMENTS_FROM = 38
"""Column in which comments begin where a line leaves room."""
FATES = {
    "kept": "is kept as",
    "no_meaning": "has no meaning here because",
    "not_yet": "not yet:",
    "unfit": "does not fit:",
    "unknown": "is unknown:",
}


def config_text(translation: Translation, file: str) -> str:
    """The whole config; what has no place in it stands at its end, word by word."""
    order = [field.alias or name for name, field in Config.model_fields.items()]
    title = translation.system.title
    settings = {"version": Setting(1, "of this format"), **translation.settings}
    tree: dict[str, Any] = {}
    for place in sorted(settings, key=lambda place: order.index(place.partition(".")[0])):
        *above, last = place.split(".")
        node = tree
        for key in above:
            node = node.setdefault(key, {})
        node[last] = settings[place]
    lines = [f"# Made by `tocsin import-config` from {visible(file)}, a config of {title}.", *_lines(tree, "", set())]
    rest = [sentence(word, fate) for word, fate in translation.fates if not fate.settings]
    if rest:
        lines += ["", "# Its other words:", *(f"#   {line}" for line in rest)]
    return "\n".join(lines) + "\n"


def sentence(word: Word, fate: Fate) -> str:
    """What became of a word, in one line."""
    line = f" (line {word.line})" if word.line else ""
    return visible(f"{word.path}{line} {FATES[fate.kind]} {fate.said}")


def _lines(tree: Mapping[str, Any], pad: str, told: set[str]) -> Iterator[str]:
    """A line or two per value; what was `told` of one is not said of the next."""
    for key, node in tree.items():
        if isinstance(node, dict):
            yield f"{pad}{key}:"
            yield from _lines(node, f"{pad}  ", told)
            continue
        said = f": {node.said}" if node.said and node.said not in told else ""
        told.add(node.said)
        comment = visible(f"# {node.origin}{said}")
        line = f"{pad}{key}: {_flow(node.value)}"
        together = f"{line:<{COMMENTS_FROM}}  {comment}"
        if len(together) <= WIDTH:
            yield together
            continue
        yield f"{pad}{comment}"
        if len(line) <= WIDTH or not isinstance(node.value, dict | list):
            yield line
        else:
            yield f"{pad}{key}:"
            yield textwrap.indent(_block(node.value), f"{pad}  ")


def _flow(value: Any) -> str:
    written: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=inf)
    return written.removesuffix("...\n").strip()


def _block(value: Any) -> str:
    """Items below each other, what is inside them in a line."""
    items = value.items() if isinstance(value, dict) else ((None, item) for item in value)
    return "\n".join(f"- {_flow(item)}" if key is None else f"{_flow(key)}: {_flow(item)}" for key, item in items)
