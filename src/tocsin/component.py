"""What every part shares: its parameters, its place in a room, and the only dynamic import in Tocsin.

A part is one class in one file. The file name is the `type:` in the config, the class name is the same in
CamelCase, and the keyword-only typed constructor is the schema of its parameters. Parts of other packages come
through entry points `tocsin.<room>` and are named `package/name`; they are loaded only when a config on this
machine names them.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from math import inf
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Annotated, Any, Literal, Self, cast, get_type_hints

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError, create_model
from pydantic_core import ErrorDetails

from tocsin.errors import ConfigError, MissingExtraError, Problem, UnknownPartError, did_you_mean

Room = Literal["sources", "features", "detectors", "thresholds", "sinks"]

MAX_SHOWN = 80
"""Characters of a refused value in a message."""
_WANTED = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "model_type": "a mapping",
    "string_pattern_mismatch": "text of the form {pattern}",
    "string_too_long": "text of a length of at most {max_length}",
    "string_too_short": "text of a length of at least {min_length}",
    "string_type": "text",
    "tuple_type": "a list",
}
"""What a user would call what pydantic wanted, by its kind of error."""
_EXTRAS = {
    "polars": "data",
    "sklearn": "train",
    "matplotlib": "report",
    "jinja2": "report",
    "gufo": "snmp",
    "psutil": "host",
    "google": "wal",
    "optuna": "tune",
    "mlflow": "mlflow",
    "obstore": "cloud",
    "xgboost": "boost",
    "torch": "deep",
    "pyod": "bench",
    "river": "bench",
    "fastapi": "serve",
    "uvicorn": "serve",
    "msgspec": "serve",
    "apprise": "notify",
    "nats": "nats",
    "redis": "redis",
    "paho": "mqtt",
}
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_BYTES = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*")


def seconds(text: str | float) -> float:
    """`2m`, `1.5h`, `250ms` or a number of seconds -> seconds, greater than 0."""
    return _quantity(text, _SECONDS, "a duration such as 30s, 5m, 2h or 7d")


def size_bytes(text: str | float) -> int:
    """`400MB`, `64MiB` or a number of bytes -> bytes, greater than 0."""
    return int(_quantity(text, _BYTES, "a size such as 400MB or 64MiB"))


def _quantity(text: str | float, units: Mapping[str, float], wanted: str) -> float:
    if isinstance(text, int | float) and not isinstance(text, bool):
        value = float(text)
    else:
        match = _QUANTITY.fullmatch(str(text))
        if match is None or match[2] not in units:
            raise ValueError(f"wanted {wanted}")
        value = float(match[1]) * units[match[2]]
    if not 0 < value < float("inf"):
        raise ValueError(f"wanted {wanted}, greater than 0")
    return value


Duration = Annotated[float, BeforeValidator(seconds)]
"""Seconds, written as `2m` or as a number."""
Size = Annotated[int, BeforeValidator(size_bytes)]
"""Bytes, written as `400MB` or as a number."""


@dataclass(frozen=True, slots=True)
class PartSpec:
    """A part as a config names it: resolved later, by the room that needs it."""

    type: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The mapping a config would hold."""
        return {"type": self.type, **self.parameters}

    def __str__(self) -> str:
        """`robust_zscore`, or `robust_zscore with min_scale: 1.0`, as a config has its parameters."""
        values = yaml.safe_dump(_plain(self.parameters), default_flow_style=True, sort_keys=False, width=inf).strip()
        return f"{self.type} with {values[1:-1]}" if self.parameters else self.type


def _plain(value: Any) -> Any:
    """Lists and mappings in place of tuples and parts."""
    if isinstance(value, PartSpec):
        return _plain(value.to_json())
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def part_spec(value: object) -> object:
    """A mapping with `type` and parameters -> `PartSpec`; anything else is refused."""
    if isinstance(value, PartSpec):
        return value
    if not isinstance(value, Mapping) or not isinstance(value.get("type"), str):
        raise ValueError("wanted a mapping with a `type` and its parameters")
    return PartSpec(value["type"], {str(key): item for key, item in value.items() if key != "type"})


Spec = Annotated[PartSpec, BeforeValidator(part_spec), PlainSerializer(PartSpec.to_json)]
"""The type of a config entry or a parameter that holds a part."""


@dataclass(frozen=True, slots=True)
class Risk:
    """A setting of a server with which it may lose what it acknowledged."""

    setting: str
    """As the server's own config has it."""
    found: str
    """What it is, and what may be lost."""
    hint: str
    loses: bool = True
    """False where it must only be weighed."""


class Part:
    """Base of every part: parameters, equality and repr come from the constructor's signature.

    A constructor takes keyword-only, typed, immutable parameters with defaults, keeps each under its own name and
    opens nothing.
    """

    def parameters(self) -> dict[str, Any]:
        """The constructor's arguments, as they can be passed to it again."""
        return {
            name: getattr(self, name) for name in inspect.signature(type(self).__init__).parameters if name != "self"
        }

    def spec(self) -> PartSpec:
        """This part as a config would name it, in JSON values."""
        model = parameter_model(type(self))
        return PartSpec(snake_case(type(self).__name__), model(**self.parameters()).model_dump(mode="json"))

    def risks(self) -> tuple[Risk, ...]:
        """What a server that this part speaks with may lose, as it stands now; it is asked, and nothing is changed.

        Raises
        ------
        TocsinError
            If it cannot be asked.
        """
        return ()

    @classmethod
    def example(cls, folder: Path) -> Self:
        """A small working instance for the contract checks and the docs; may write files into `folder`."""
        return cls()

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.parameters().items())
        return f"{type(self).__name__}({arguments})"


def snake_case(name: str) -> str:
    """`RobustZScore` -> `robust_zscore`: a capital starts a word unless the last word is one letter."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", re.sub(r"ZScore", "Zscore", name)).lower()


def _room(room: Room) -> ModuleType:
    return import_module(f"tocsin.{room}")


@lru_cache
def catalogue(room: Room) -> tuple[str, ...]:
    """The names of our own parts in a room, sorted; read from the file names, nothing is imported.

    Files named `base` or `base_...` hold what parts of the room share.
    """
    files = (module.name for module in iter_modules(_room(room).__path__))
    return tuple(sorted(name for name in files if name.partition("_")[0] != "base"))


def outside_parts(room: Room) -> tuple[str, ...]:
    """The parts that other installed packages offer, as `package/name`."""
    points = entry_points(group=f"tocsin.{room}")
    return tuple(sorted(f"{point.dist.name}/{point.name}" for point in points if point.dist))


def part(room: Room, name: str, where: str = "") -> type[Part]:
    """The class of a part.

    Raises
    ------
    UnknownPartError
        If the room has no part of that name.
    MissingExtraError
        If a package that the part needs is not installed.
    """
    where = where or f"{room}"
    if "/" in name:
        return _outside_part(room, name, where)
    if name not in catalogue(room):
        known = (*catalogue(room), *outside_parts(room))
        raise UnknownPartError(where, f'"{name}"', f"one of: {', '.join(known)}", did_you_mean(name, known))
    with optional_packages(where):
        module = import_module(f"tocsin.{room}.{name}")
    for kind in vars(module).values():
        ours = inspect.isclass(kind) and issubclass(kind, Part) and kind.__module__ == module.__name__
        if ours and snake_case(kind.__name__) == name:
            return cast("type[Part]", kind)
    raise UnknownPartError(where, f"no such part in {module.__file__}", f'a class that is "{name}" in CamelCase')


def _outside_part(room: Room, name: str, where: str) -> type[Part]:
    package, _, short = name.partition("/")
    for point in entry_points(group=f"tocsin.{room}", name=short):
        if point.dist and point.dist.name == package:
            kind = point.load()
            if inspect.isclass(kind) and issubclass(kind, Part):
                return kind
            raise UnknownPartError(where, f"{name!r}, which is {kind!r}", "a class derived from tocsin's Part")
    known = outside_parts(room)
    raise UnknownPartError(
        where, f'"{name}"', f"one of: {', '.join(known) or 'none is installed'}", did_you_mean(name, known)
    )


def parameter_model(kind: type[Part]) -> type[BaseModel]:
    """The part's constructor as a strict schema: unknown parameters are errors."""
    hints = get_type_hints(kind.__init__, include_extras=True)
    fields: dict[str, Any] = {
        name: (hints[name], ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in inspect.signature(kind.__init__).parameters.items()
        if name != "self"
    }
    return create_model(
        kind.__name__,
        __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=True, validate_default=True),
        **fields,
    )


def problems_of(
    error: ValidationError, where: str, known_keys: Callable[[tuple[int | str, ...]], tuple[str, ...]]
) -> list[Problem]:
    """A validation error as problems with their `$.path`; `known_keys` tells what the mapping at a path may hold."""
    return [_problem(detail, where, known_keys(detail["loc"][:-1])) for detail in error.errors(include_url=False)]


def _problem(detail: ErrorDetails, where: str, known: tuple[str, ...]) -> Problem:
    path = where + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in detail["loc"])
    if detail["type"] == "extra_forbidden":
        key = str(detail["loc"][-1])
        return Problem(path, f'unknown key "{key}"', f"one of: {', '.join(known)}", did_you_mean(key, known))
    if detail["type"] == "missing":
        return Problem(path, "nothing", "a value")
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    got, comma, wanted = message.rpartition(", wanted ")
    if detail["type"] == "value_error" and comma:
        return Problem(path, got, wanted)
    shown = repr(detail["input"])
    ours = _WANTED.get(detail["type"])
    wanted = ours.format(**detail.get("ctx", {})) if ours else message.removeprefix("wanted ")
    return Problem(path, shown if len(shown) <= MAX_SHOWN else shown[: MAX_SHOWN - 3] + "...", wanted)


def build(room: Room, spec: PartSpec, where: str = "$") -> Part:
    """The part that a spec names, with its parameters checked; nothing is opened.

    Raises
    ------
    ConfigError
        If the part is unknown or a parameter does not fit; all problems are listed.
    """
    try:
        kind = part(room, spec.type, f"{where}.type")
    except UnknownPartError as error:
        raise ConfigError([error.problem]) from None
    model = parameter_model(kind)
    try:
        values = model.model_validate(dict(spec.parameters))
    except ValidationError as error:
        raise ConfigError(problems_of(error, where, lambda _: tuple(model.model_fields))) from None
    try:
        return kind(**{name: getattr(values, name) for name in model.model_fields})
    except ConfigError as error:  # of a part that it holds
        problems = [replace(item, where=where + item.where.removeprefix("$")) for item in error.problems]
        raise ConfigError(problems) from None
    except ValueError as error:
        raise ConfigError([Problem(where, str(error))]) from None


@contextmanager
def optional_packages(where: str) -> Iterator[None]:
    """Turn the import error of an optional package into the name of the extra that brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRAS:
            raise
        raise MissingExtraError(where, package, _EXTRAS[package]) from error


def expect_package(where: str, package: str) -> None:
    """Raise MissingExtraError unless an optional package is installed; nothing of it is run."""
    if find_spec(package) is None:
        raise MissingExtraError(where, package, _EXTRAS[package])
