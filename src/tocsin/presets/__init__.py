"""Ready-made configs for kinds of telemetry: YAML only, one file per preset or variant (`flows`, `flows/zeek`).

A variant may name the preset that it lies on (`preset: hosts`), as a user's config does.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import yaml

from tocsin.errors import ConfigError, Problem, did_you_mean


def presets() -> tuple[str, ...]:
    """Names of all presets; a variant is `preset/variant`."""
    root = files(__name__)
    names = [entry.name.removesuffix(".yaml") for entry in root.iterdir() if entry.name.endswith(".yaml")]
    variants = [
        f"{folder.name}/{entry.name.removesuffix('.yaml')}"
        for folder in root.iterdir()
        if folder.is_dir()
        for entry in folder.iterdir()
        if entry.name.endswith(".yaml")
    ]
    return tuple(sorted(names + variants))


def read_preset(name: str) -> dict[str, Any]:
    """The preset's values, to lie underneath a user's config.

    Raises
    ------
    ConfigError
        If there is no preset of that name.
    """
    if name not in presets():
        wanted = f"one of: {', '.join(presets())}"
        raise ConfigError([Problem("$.preset", f'"{name}"', wanted, did_you_mean(name, presets()))])
    values: dict[str, Any] = yaml.safe_load(files(__name__).joinpath(f"{name}.yaml").read_text("utf-8"))
    underneath = values.pop("preset", None)
    return merged(read_preset(underneath), values) if underneath else values


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Values that lie on others: mappings are merged key by key, everything else takes the place of what is below."""
    both = {key for key in over if isinstance(under.get(key), dict) and isinstance(over[key], dict)}
    return {**under, **over, **{key: merged_part(under[key], over[key]) for key in both}}


def merged_part(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Merged, unless the upper one is a part of another type: its parameters then mean other things."""
    same = over.get("type", under.get("type")) == under.get("type")
    return merged(under, over) if same else over
