"""From text to a whole config: preset underneath, references put in, every problem with its line and path."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, PrivateAttr, ValidationError, model_validator

from tocsin.component import PartSpec, Spec, problems_of
from tocsin.config.alerts import AlertsConfig
from tocsin.config.document import Document
from tocsin.config.live import ServerConfig, StreamConfig
from tocsin.config.search import TuneConfig
from tocsin.config.sections import (
    FeaturesConfig,
    HistoryConfig,
    LabelsConfig,
    LimitsConfig,
    LoggingConfig,
    PreparationConfig,
    PrivacyConfig,
    RegistryConfig,
    Section,
    SplitConfig,
    Targets,
    TrackingConfig,
)
from tocsin.errors import ConfigError, Problem
from tocsin.presets import merged, merged_part, read_preset
from tocsin.schema import Schema

NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
MAX_CONFIG_BYTES = 1 << 20
MIN_SECRET = 4
"""Characters; what is shorter is told as it is."""
ANY = "*"
"""In a feature's columns: each of those that the schema calls `others`."""
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Config(Section):
    """A whole config. `schema` is kept as `schema_`, since pydantic has a method of that name."""

    version: Literal[1]
    name: str = Field(pattern=f"^{NAME}$")
    preset: str | None = None
    schema_: Schema = Field(alias="schema")
    source: Spec | None = None
    test: Spec | None = None
    history: HistoryConfig = HistoryConfig()
    labels: LabelsConfig | None = None
    test_labels: LabelsConfig | None = None
    features: FeaturesConfig = FeaturesConfig()
    preparation: PreparationConfig = PreparationConfig()
    detector: Spec = PartSpec("isolation_forest")
    threshold: Spec = PartSpec("conformal")
    split: SplitConfig = SplitConfig()
    tune: TuneConfig | None = None
    alerts: AlertsConfig = AlertsConfig()
    gate: Targets = Field(default_factory=dict)
    registry: RegistryConfig = RegistryConfig()
    tracking: TrackingConfig | None = None
    sinks: tuple[Spec, ...] = (PartSpec("console"),)
    stream: StreamConfig = StreamConfig()
    server: ServerConfig | None = None
    privacy: PrivacyConfig = PrivacyConfig()
    limits: LimitsConfig = LimitsConfig()
    logging: LoggingConfig = LoggingConfig()
    _folder: Path = PrivateAttr(default=Path())
    _document: Document | None = PrivateAttr(default=None)
    _given: Mapping[str, str] = PrivateAttr(default_factory=dict)
    """What the environment gave for a reference, by its value: often a secret."""

    @model_validator(mode="after")
    def _test_labels_have_rows(self) -> Self:
        if self.test_labels is not None and self.test is None:
            raise ValueError("test_labels without a test source would have no effect, wanted both or neither")
        return self

    @property
    def folder(self) -> Path:
        """Where the config lies; its paths are relative to that."""
        return self._folder

    @property
    def text(self) -> str:
        """The config as its author wrote it, references to the environment unresolved."""
        return self._document.text if self._document else ""

    def with_columns(self, columns: Iterable[str]) -> Self:
        """The config in which those that its schema calls `others` are fields, and stand for every `*` of a feature."""
        schema, features = self.schema_.with_columns(columns), self.features
        if schema is self.schema_:
            return self
        derive = (
            PartSpec(spec.type, {name: _spread(value, schema.found) for name, value in spec.parameters.items()})
            for spec in features.derive
        )
        spread = {
            "columns": _spread(features.columns, schema.found),
            "derive": tuple(derive),
            "aside": _spread(features.aside, schema.found),
        }
        return self.model_copy(update={"schema_": schema, "features": features.model_copy(update=spread)})

    def resolve(self, path: str) -> Path:
        """A path of the config, which is relative to the config's own folder."""
        try:
            return self._folder / Path(path).expanduser()
        except RuntimeError as error:  # ~nobody
            raise ConfigError([Problem(path, str(error), "a path")]) from error

    def located(self, problem: Problem) -> Problem:
        """The problem with its file and line, where there is a text; references stand for what they were given."""
        shown = _with_references(problem, self._given)
        return self._document.located(shown) if self._document else shown


def _spread(value: Any, columns: Sequence[str]) -> Any:
    """A list in which each word with a `*` gives way to as many as there are columns."""
    if not isinstance(value, list | tuple):
        return value
    whole: list[Any] = []
    for word in value:
        spread = isinstance(word, str) and ANY in word
        whole += [word.replace(ANY, column) for column in columns] if spread else [word]
    return tuple(whole)


def load(path: Path) -> Config:
    """Read and parse a config file.

    Raises
    ------
    ConfigError
        With every problem found, each with its line and its `$.path`.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_CONFIG_BYTES + 1)
        if len(content) > MAX_CONFIG_BYTES:
            raise ConfigError([Problem(str(path), "more bytes", f"at most {MAX_CONFIG_BYTES:,}")])
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        hint = "tocsin init --preset flows writes a first config" if isinstance(error, FileNotFoundError) else ""
        raise ConfigError([Problem(str(path), f"no readable text file ({error})", "a config", hint)]) from error
    return parse(text, path)


def parse(text: str, path: Path = Path("tocsin.yaml")) -> Config:
    """Parse a config; `path` names it in messages and gives the folder that its paths are relative to."""
    document = Document(text, path)
    values = document.values
    if not isinstance(values, dict):
        raise ConfigError([Problem(str(path), f"a {type(values).__name__}", "a mapping with version, name, source …")])
    problems = [*document.problems]
    given: dict[str, str] = {}
    values = _substitute(values, "$", problems, given)
    underneath: dict[str, Any] = {}
    if isinstance(values.get("preset"), str):
        try:
            underneath = read_preset(values["preset"])
        except ConfigError as error:
            problems.extend(error.problems)
    whole = merged(underneath, values)
    if isinstance(whole.get("schema"), dict) and "found" in whole["schema"]:
        got = 'the key "found", which a training writes'
        problems.append(Problem("$.schema.found", got, "others, or fields by their names"))
    if isinstance(whole.get("source"), dict) and isinstance(whole.get("test"), dict):
        whole["test"] = merged_part(whole["source"], whole["test"])
    try:
        config = Config.model_validate(whole)
    except ValidationError as error:
        found = problems_of(error, "$", _known_keys)
        # what a preset that is not there would have brought is not its author's mistake
        brought = {"$.schema", "$.source", "$.test"} if "preset" in values and not underneath else set()
        problems.extend(item for item in found if item.where not in brought)
        config = None
    if problems or config is None:
        raise ConfigError([document.located(_with_references(problem, given)) for problem in problems])
    config._folder, config._document, config._given = path.parent, document, given
    return config


def _known_keys(steps: tuple[int | str, ...]) -> tuple[str, ...]:
    """The keys that the mapping at this path may hold."""
    model: Any = Config
    for step in steps:
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return ()
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        if step not in fields:
            continue
        model = _section(fields[str(step)].annotation)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return ()
    return tuple(field.alias or name for name, field in model.model_fields.items())


def _section(annotation: Any) -> Any:
    options = [annotation, *getattr(annotation, "__args__", ())]
    return next((item for item in options if isinstance(item, type) and issubclass(item, BaseModel)), None)


def _substitute(value: Any, path: str, problems: list[Problem], given: dict[str, str]) -> Any:
    """The value with what the environment gives for its references, which is noted in `given`."""
    if isinstance(value, dict):
        return {key: _substitute(item, f"{path}.{key}", problems, given) for key, item in value.items()}
    if isinstance(value, list):
        return [_substitute(item, f"{path}[{index}]", problems, given) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value
    for name in _REFERENCE.findall(value):
        if name in os.environ:
            given[os.environ[name]] = f"${{{name}}}"
        else:
            got, hint = f"${{{name}}}, which is not set", f"export {name}=…"
            problems.append(Problem(path, got, "an environment variable", hint))
    return _REFERENCE.sub(lambda match: os.environ.get(match[1], ""), value)


def _with_references(problem: Problem, given: Mapping[str, str]) -> Problem:
    """The problem without what the environment gave: a message must not tell a secret."""
    got = problem.got
    for value, reference in given.items():
        got = got.replace(value, reference) if len(value) >= MIN_SECRET else got
    return replace(problem, got=got)
