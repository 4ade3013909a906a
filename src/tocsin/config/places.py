"""Values at dotted places of a config, as `detector.trees` or `features.derive[2].windows`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tocsin.component import Spec, problems_of
from tocsin.config.parsing import Config
from tocsin.config.sections import FeaturesConfig, PreparationConfig
from tocsin.errors import ConfigError, Problem, did_you_mean

_SECTIONS: Mapping[str, TypeAdapter[Any]] = {
    "detector": TypeAdapter(Spec),
    "features": TypeAdapter(FeaturesConfig),
    "preparation": TypeAdapter(PreparationConfig),
}
_STEP = re.compile(r"\.?([A-Za-z_]\w*)|\[(\d+)\]")
"""A key or a number in a list."""


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
    """The config with other values at these places of its detector, its features or its preparation.

    Raises
    ------
    ConfigError
        If there is no such place, or a value does not fit there. What fits a part is found when it is built.
    """
    sections: dict[str, Any] = {}
    for place, value in values.items():
        first, *rest = _steps(place)
        section = sections.setdefault(first, _plain(config, first))
        sections[first] = _put(section, rest, value, place)
    return config.model_copy(update={name: _checked(name, section) for name, section in sections.items()})


def written(config: Config, places: Iterable[str]) -> dict[str, Any]:
    """What a user writes to have the values that a config has at these places.

    A list is written whole, since a list of a config takes the place of the preset's; a part says its type.
    """
    found: dict[str, Any] = {}
    for place in places:
        here = found
        there: Any = {step: _plain(config, step) for step in _steps(place)[:1]}
        names = [step for step in _steps(place) if isinstance(step, str)]
        for step in _steps(place):
            value = there[step]
            if isinstance(value, Mapping) and step != names[-1]:
                here = here.setdefault(step, {"type": value["type"]} if "type" in value else {})
                there = value
                continue
            here[step] = value
            break
    return found


def _steps(place: str) -> list[Any]:
    """`features.derive[2].windows` -> its keys and numbers."""
    steps = [match[1] or int(match[2]) for match in _STEP.finditer(place)]
    whole = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    if not steps or whole != f".{place}" or steps[0] not in _SECTIONS:
        wanted = f"a place in {', '.join(_SECTIONS)}, as detector.trees"
        raise ConfigError([Problem(place, "no place that can be searched", wanted, did_you_mean(place, _SECTIONS))])
    return steps


def _plain(config: Config, section: str) -> Any:
    return _SECTIONS[section].dump_python(getattr(config, section), mode="json", exclude_unset=section == "features")


def _put(under: Any, steps: list[Any], value: Any, place: str) -> Any:
    """A copy in which the value stands behind these steps; keys may be new, places in a list may not."""
    if not steps:
        return value
    step, *rest = steps
    if isinstance(step, str) and isinstance(under, Mapping):
        return {**under, step: _put(under.get(step, {}), rest, value, place)}
    if isinstance(step, int) and isinstance(under, list) and step < len(under):
        return [*under[:step], _put(under[step], rest, value, place), *under[step + 1 :]]
    there = f"a list of {len(under)}" if isinstance(under, list) else f"a {type(under).__name__}"
    raise ConfigError([Problem(place, f"{there} before {step!r}", "a key of a mapping, or a number within a list")])


def _checked(name: str, section: Any) -> Any:
    try:
        return _SECTIONS[name].validate_python(section)
    except ValidationError as error:
        raise ConfigError(problems_of(error, f"$.{name}", lambda _: ())) from None
