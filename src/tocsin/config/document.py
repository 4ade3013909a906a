"""YAML as a config is written in: values, and the line of every one of them."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml

from tocsin.errors import ConfigError, Problem

MAX_DEPTH = 50
"""Mappings and lists inside each other."""


class _Loader(yaml.SafeLoader):
    """YAML in which only true and false are booleans: `no` is a word, as in a label.

    Aliases are refused: a page of them stands for gigabytes.
    """

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias")
        if self._depth >= MAX_DEPTH:
            raise yaml.YAMLError(f"more than {MAX_DEPTH} levels")
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


_Loader.yaml_implicit_resolvers = {
    letter: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
    ]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false|True|False)$"), list("tTfF"))


class Document:
    """A YAML text, its values, and the line of every path in it."""

    def __init__(self, text: str, path: Path) -> None:
        self.path = path
        self.text = text
        self.lines: dict[str, int] = {}
        self.problems: list[Problem] = []
        try:
            loader = _Loader(text)
            node = loader.get_single_node()
            self.values: Any = loader.construct_document(node) if node is not None else {}
        except (yaml.YAMLError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            where = f"{path}:{mark.line + 1}" if mark else str(path)
            raise _no_yaml(where, str(getattr(error, "problem", None) or error)) from error
        except (ValueError, TypeError, AttributeError, OverflowError) as error:  # whatever a tag met that lies
            raise _no_yaml(str(path), "a tag such as !!int before a value that is none") from error
        if node is not None:
            self._walk(node, "$")

    def _walk(self, node: yaml.Node, path: str) -> None:
        self.lines[path] = node.start_mark.line + 1
        if isinstance(node, yaml.ScalarNode) and "\0" in node.value:
            self.problems.append(Problem(path, "a NUL character", "text without one"))
        for child_path, child in self._children(node, path):
            self._walk(child, child_path)

    def _children(self, node: yaml.Node, path: str) -> Iterator[tuple[str, yaml.Node]]:
        if isinstance(node, yaml.SequenceNode):
            yield from ((f"{path}[{index}]", item) for index, item in enumerate(node.value))
        if isinstance(node, yaml.MappingNode):
            seen: set[Hashable] = set()
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    self.problems.append(Problem(path, "a list or a mapping as a key", "words as keys"))
                    continue
                if key.value in seen:
                    self.problems.append(Problem(f"{path}.{key.value}", "the key twice in one mapping", "it once"))
                seen.add(key.value)
                yield f"{path}.{key.value}", value

    def located(self, problem: Problem) -> Problem:
        """The problem with the line of the longest part of its path that the text has."""
        where = problem.where.partition(" (")[0]
        while where and where not in self.lines:
            where = where[: max(where.rfind("."), where.rfind("["), 0)]
        prefix = f"{self.path}:{self.lines[where]}  " if where else f"{self.path}  "
        return Problem(prefix + problem.where, problem.got, problem.wanted, problem.hint)


def _no_yaml(where: str, got: str) -> ConfigError:
    return ConfigError([Problem(where, got, "YAML without anchors and aliases")])
