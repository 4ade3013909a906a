"""What every part must hold to, whatever its room: each check is given a class and an empty folder.

A check that fails raises AssertionError with a sentence that says what to change.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, NoReturn, cast, get_type_hints
from unittest.mock import patch

import orjson

from tocsin.component import Part, PartSpec, Room, build, parameter_model, snake_case

Kind = type[Part]

# What a constructor would use to reach a file or the network.
_WAYS_OUT = ("builtins.open", "io.open", "os.open", "socket.socket")
# A section of a numpy docstring: its name, a line of dashes, and all up to the next one.
_PARAMETERS = re.compile(r"^Parameters\n-{3,}\n(.*?)(?=^\w[^\n]*\n-{3,}\n|\Z)", re.DOTALL | re.MULTILINE)
_DOCUMENTED = re.compile(r"^(\w+(?:, \w+)*)(?: :.*)?$", re.MULTILINE)


def require(truth: object, failure: str) -> None:
    """Raise AssertionError with this sentence unless it is true; an optimised run keeps it."""
    if not truth:
        raise AssertionError(failure)


def check_its_file_bears_its_name(kind: Kind, _: Path) -> None:
    """The file is the class name in snake_case: that is how a config finds it."""
    file = kind.__module__.rpartition(".")[2]
    require(
        file == snake_case(kind.__name__),
        f"{kind.__name__} stands in {file}.py; move it to {snake_case(kind.__name__)}.py or rename it",
    )


def check_it_is_the_only_part_of_its_file(kind: Kind, _: Path) -> None:
    """One public part in one file."""
    module = vars(sys.modules[kind.__module__])
    public = [
        name
        for name, value in module.items()
        if inspect.isclass(value)
        and issubclass(value, Part)
        and value.__module__ == kind.__module__
        and not name.startswith("_")
    ]
    require(public == [kind.__name__], f"{kind.__module__} holds the parts {public}; give each a file of its own")


def check_parameters_are_keyword_only_and_typed(kind: Kind, _: Path) -> None:
    """The constructor's signature is the schema of the config entry."""
    hints = get_type_hints(kind.__init__)
    for name, parameter in _signature(kind).items():
        require(
            parameter.kind is inspect.Parameter.KEYWORD_ONLY,
            f"{kind.__name__}: make {name} a keyword-only parameter; a part without any writes `def __init__(self)`",
        )
        require(name in hints, f"{kind.__name__}: give the parameter {name} a type, the config is checked with it")


def check_defaults_and_examples_are_immutable(kind: Kind, folder: Path) -> None:
    """A default that can change is shared by all instances."""
    for name, parameter in _signature(kind).items():
        require(
            parameter.default is parameter.empty or _is_immutable(parameter.default),
            f"{kind.__name__}: the default of {name} can be changed; take a tuple, a frozenset or None",
        )
    for name, value in kind.example(folder).parameters().items():
        require(_is_immutable(value), f"{kind.__name__}: {name} keeps {value!r}, which can be changed; take a tuple")


def check_it_has_an_example(kind: Kind, folder: Path) -> None:
    """`example` gives an instance; it must be overridden where a parameter has no default."""
    open_ = [name for name, parameter in _signature(kind).items() if parameter.default is parameter.empty]
    require(
        not open_ or "example" in {name for base in kind.__mro__ if base is not Part for name in vars(base)},
        f"{kind.__name__}: {', '.join(open_)} has no default; give one, or override `example`",
    )
    require(type(kind.example(folder)) is kind, f"{kind.__name__}.example gives no {kind.__name__}")


def check_it_is_documented(kind: Kind, _: Path) -> None:
    """The docstring is the reference page: what it is, and every parameter, no more and no fewer."""
    require(sys.modules[kind.__module__].__doc__, f"{kind.__module__} needs a docstring that names its source")
    # An inherited text describes the base class.
    text = inspect.cleandoc(vars(kind).get("__doc__") or "")
    require(text, f"{kind.__name__} needs a docstring: what it does, when to take it, its parameters")
    section = _PARAMETERS.search(text + "\n")
    documented = [name for names in _DOCUMENTED.findall(section[1] if section else "") for name in names.split(", ")]
    wanted = list(_signature(kind))
    require(
        sorted(documented) == sorted(wanted),
        f"{kind.__name__}: the docstring's Parameters are {documented}, the constructor's are {wanted}",
    )


def check_an_unknown_parameter_is_refused(kind: Kind, folder: Path) -> None:
    """A misspelt parameter is a TypeError that names the class."""
    try:
        kind(**{**kind.example(folder).parameters(), "no_such_parameter": 1})
    except TypeError as error:
        require(kind.__name__ in str(error), f"the TypeError of {kind.__name__} does not name it: {error}")
    else:
        raise AssertionError(f"{kind.__name__} swallows an unknown parameter; take no **keywords")


def check_parameters_rebuild_it(kind: Kind, folder: Path) -> None:
    """`parameters()` can be passed to the constructor again and come back equal."""
    parameters = kind.example(folder).parameters()
    again = kind(**parameters).parameters()
    require(
        again == parameters, f"{kind.__name__}: {parameters} came back as {again}; keep each parameter under its name"
    )


def check_its_config_entry_rebuilds_it(kind: Kind, folder: Path) -> None:
    """`spec()` is JSON, and what a config reads from it is the same part."""
    part = kind.example(folder)
    entry = orjson.loads(orjson.dumps(part.spec().to_json()))
    name = entry.pop("type")
    again: Part
    if kind.__module__.startswith("tocsin."):
        again = build(cast("Room", kind.__module__.split(".")[1]), PartSpec(name, entry))
    else:
        values = parameter_model(kind).model_validate(entry)
        again = kind(**{field: getattr(values, field) for field in entry})
    require(type(again) is kind, f"the spec of {kind.__name__} builds a {type(again).__name__}")
    require(
        again.parameters() == part.parameters(),
        f"{kind.__name__}: a config entry of {part.parameters()} is read back as {again.parameters()}",
    )


def check_repr_names_every_parameter(kind: Kind, folder: Path) -> None:
    """Error messages show a part by its repr."""
    part = kind.example(folder)
    for name in part.parameters():
        require(f"{name}=" in repr(part), f"the repr of {kind.__name__} leaves out {name}: {part!r}")


def check_its_constructor_opens_nothing(kind: Kind, folder: Path) -> None:
    """A config is checked on machines that have neither its files nor its servers."""
    parameters = kind.example(folder).parameters()
    kind(**parameters)  # what a constructor imports is imported now

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError(f"the constructor of {kind.__name__} opens a file or a socket; do that in `open` or `fit`")

    with ExitStack() as closed:
        for way in _WAYS_OUT:
            closed.enter_context(patch(way, refuse))
        kind(**parameters)


def _signature(kind: Kind) -> Mapping[str, inspect.Parameter]:
    parameters = inspect.signature(kind.__init__).parameters
    return {name: parameter for name, parameter in parameters.items() if name != "self"}


def _is_immutable(value: object) -> bool:
    if isinstance(value, tuple | frozenset):
        return all(_is_immutable(item) for item in value)
    if is_dataclass(value):  # a frozen one can be hashed; a `PartSpec` is frozen around JSON values
        return type(value).__hash__ is not None
    return value is None or isinstance(value, bool | int | float | str | bytes | Enum | Path)


CHECKS: tuple[Callable[[Kind, Path], None], ...] = (
    check_its_file_bears_its_name,
    check_it_is_the_only_part_of_its_file,
    check_parameters_are_keyword_only_and_typed,
    check_defaults_and_examples_are_immutable,
    check_it_has_an_example,
    check_it_is_documented,
    check_an_unknown_parameter_is_refused,
    check_parameters_rebuild_it,
    check_its_config_entry_rebuilds_it,
    check_repr_names_every_parameter,
    check_its_constructor_opens_nothing,
)
