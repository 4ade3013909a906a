"""A foreign config from its file: YAML, JSON, or lines of KEY=value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tocsin.config.document import Document
from tocsin.errors import ConfigError, Problem

MAX_BYTES = 64 * 1024
MAX_NAMES = 100
_ASSIGNMENT = re.compile(r"(?:export\s+)?(?P<key>(?:--)?[A-Za-z_][A-Za-z0-9_-]*)\s*=\s*(?P<value>.*)")


class Foreign(NamedTuple):
    """The values of a config, and the line of every path in it."""

    values: Mapping[Any, Any]
    lines: Mapping[str, int]


def read(path: Path) -> Foreign:
    """Read a config of at most 64 KiB, without anchors, aliases and tags of any language.

    Raises
    ------
    ConfigError
        If it is no such text, no mapping, or a key stands in it twice.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        text = raw.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Problem(str(path), f"no readable text file ({error})", "a config")]) from error
    if len(raw) > MAX_BYTES:
        raise ConfigError([Problem(str(path), f"more than {MAX_BYTES:,} bytes", "a config")])
    return _assignments(text, path) or _document(text, path)


def environment_beside(path: Path) -> list[str]:
    """The names, and never the values, that a `.env` beside a config sets; none where it cannot be read."""
    beside = path.with_name(".env")
    if beside == path or not beside.is_file():
        return []
    try:
        return [str(name) for name in read(beside).values][:MAX_NAMES]
    except ConfigError:
        return []


def _assignments(text: str, path: Path) -> Foreign | None:
    """The lines as an environment file, if every one of them is `KEY=value`, empty or a comment."""
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _ASSIGNMENT.fullmatch(stripped)
        if match is None:
            return None
        key = match["key"]
        if key in values:
            raise ConfigError([Problem(f"{path}:{number}  $.{key}", "the key twice", "it once")])
        values[key], lines[f"$.{key}"] = _unquoted(match["value"]), number
    return Foreign(values, lines) if values else None


def _unquoted(value: str) -> str:
    quoted = re.match(r"""(["'])(.*?)\1\s*(?:#.*)?$""", value)
    return quoted[2] if quoted else re.split(r"\s#", value, maxsplit=1)[0].strip()


def _document(text: str, path: Path) -> Foreign:
    if text.lstrip().startswith("{"):
        text = text.replace("\t", " ")  # JSON may be indented with tabs, and holds them nowhere else
    document = Document(text, path)
    if not isinstance(document.values, dict):
        got = f"a {type(document.values).__name__}"
        raise ConfigError([Problem(str(path), got, "a mapping, or lines of KEY=value")])
    if document.problems:
        raise ConfigError([document.located(problem) for problem in document.problems])
    return Foreign(document.values, document.lines)
