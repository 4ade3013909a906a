"""The config's first step of three: text to typed values, all problems at once.

Parsing opens and resolves nothing: parts stay `PartSpec`s until `system.check` looks whether they fit, and nothing
is opened before the work begins. Values of the named preset lie underneath; a mapping is merged key by key, a list
replaces a list, and a part of another `type` replaces the preset's part whole. `test` lies on `source` in the same way.
"""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from tocsin.component import Duration, PartSpec, Size, Spec, problems_of
from tocsin.errors import ConfigError, Problem
from tocsin.presets import read_preset
from tocsin.schema import Schema

NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
MAX_CONFIG_BYTES = 1 << 20
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PER_TIME = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*(minute|hour|day|week)\s*")
_PER_ROWS = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*(\d+)\s*rows?\s*")
_SHARE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*")
_PER_DAY = {"minute": 1_440.0, "hour": 24.0, "day": 1.0, "week": 1 / 7}


class Section(BaseModel):
    """A mapping of the config: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Rate(Section):
    """How many alerts: a number a day, or, where there is no clock, a share of the rows."""

    per_day: float | None = None
    per_row: float | None = None
    text: str = ""


def rate(value: object) -> object:
    """`3/day`, `1/hour`, `5/1000 rows` or `1%` (of the rows) -> `Rate`."""
    if isinstance(value, Rate | Mapping):
        return value
    text = str(value)
    if match := _PER_TIME.fullmatch(text):
        found = Rate(per_day=float(match[1]) * _PER_DAY[match[2]], text=text)
    elif match := _PER_ROWS.fullmatch(text):
        found = Rate(per_row=float(match[1]) / max(float(match[2]), 1.0), text=text)
    elif match := _SHARE.fullmatch(text):
        found = Rate(per_row=float(match[1]) / 100, text=text)
    else:
        raise ValueError("wanted a rate such as 3/day, 1/hour, 5/1000 rows or 1%")
    if not found.per_day and not 0 < (found.per_row or 0) < 1:
        raise ValueError("wanted a rate above 0 and below all rows")
    return found


AlertRate = Annotated[Rate, BeforeValidator(rate)]


def _words(value: object) -> object:
    if isinstance(value, str | int | float):
        return (str(value),)
    return tuple(map(str, value)) if isinstance(value, list) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_words)]


class LabelsConfig(Section):
    """What is known of the rows: a column, incident windows, or an array beside the data.

    Parameters
    ----------
    column, normal, ignore
        A column of the telemetry, its values that mean normal, and values whose rows are left out. Case does not
        matter. Every other value is an anomaly of that name.
    windows, series
        A JSON or CSV file of incidents with start and end; `series` picks one key of a JSON mapping.
    array
        A file with one 0 or 1 per row of the source, in its order (text, .npy or .npz with `series` as the key).
    """

    column: str | None = None
    normal: Words = ("0", "normal", "benign", "false")
    ignore: Words = ()
    windows: str | None = None
    array: str | None = None
    series: str | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum(kind is not None for kind in (self.column, self.windows, self.array)) != 1:
            raise ValueError("wanted exactly one of column, windows, array")
        return self


class FeaturesConfig(Section):
    """The feature matrix: schema fields that enter as they are, then what features derive."""

    columns: Words = ()
    derive: tuple[Spec, ...] = ()


class PreparationConfig(Section):
    """What is done to the matrix before the detector; all of it learnt on the training rows.

    Parameters
    ----------
    scale
        `standard` (mean, deviation), `robust` (median, interquartile range), `none`, or `auto`: robust for a column
        with outliers by the clipping rule at 3, standard for the others.
    clip
        Values further than this many interquartile ranges outside the quartiles are moved to that border. A column
        whose interquartile range is 0 is left alone.
    """

    scale: Literal["auto", "standard", "robust", "none"] = "auto"
    clip: float | None = Field(default=None, gt=0)


class SplitConfig(Section):
    """How history is divided; what is neither train nor calibration is the test part.

    With a clock the parts follow each other in time. `by: entity` keeps each entity in one part.
    """

    train: float = Field(default=0.6, gt=0, lt=1)
    calibration: float = Field(default=0.2, gt=0, lt=1)
    by: Literal["time", "entity"] = "time"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.train + self.calibration > 1:
            raise ValueError(f"train + calibration is {self.train + self.calibration:g}, wanted at most 1")
        return self


class AlertsConfig(Section):
    """The alert budget and how flagged rows become alerts."""

    budget: AlertRate = Rate(per_day=3.0, text="3/day")
    cooldown: Duration = 120.0
    at_most: AlertRate | None = None


class RegistryConfig(Section):
    """Where versions are kept, and how many."""

    path: str = "registry"
    keep: int = Field(default=5, ge=1)


class PrivacyConfig(Section):
    """What becomes of fields marked `identity`."""

    identities: Literal["pseudonym", "subnet", "plain"] = "pseudonym"
    key_file: str = ".tocsin/site.key"


class LimitsConfig(Section):
    """What a run may take; reaching a limit ends it with nothing half published."""

    memory: Size | None = None
    entities: int = Field(default=20_000, ge=1)
    train_time: Duration | None = None


class LoggingConfig(Section):
    """How log lines look."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Config(Section):
    """A whole config. `schema` is kept as `schema_`, since pydantic has a method of that name."""

    version: Literal[1]
    name: str = Field(pattern=f"^{NAME}$")
    preset: str | None = None
    schema_: Schema = Field(alias="schema")
    source: Spec | None = None
    test: Spec | None = None
    labels: LabelsConfig | None = None
    test_labels: LabelsConfig | None = None
    features: FeaturesConfig = FeaturesConfig()
    preparation: PreparationConfig = PreparationConfig()
    detector: Spec = PartSpec("isolation_forest")
    threshold: Spec = PartSpec("conformal")
    split: SplitConfig = SplitConfig()
    alerts: AlertsConfig = AlertsConfig()
    gate: Mapping[str, str] = {}
    registry: RegistryConfig = RegistryConfig()
    sinks: tuple[Spec, ...] = (PartSpec("console"),)
    privacy: PrivacyConfig = PrivacyConfig()
    limits: LimitsConfig = LimitsConfig()
    logging: LoggingConfig = LoggingConfig()
    folder: Path = Field(default=Path(), exclude=True)
    _document: _Document | None = PrivateAttr(default=None)

    def resolve(self, path: str) -> Path:
        """A path of the config, which is relative to the config's own folder."""
        return self.folder / Path(path).expanduser()

    def located(self, problem: Problem) -> Problem:
        """The problem with the file and the line that it comes from, where there is a text."""
        return self._document.located(problem) if self._document else problem


def load(path: Path) -> Config:
    """Read and parse a config file.

    Raises
    ------
    ConfigError
        With every problem found, each with its line and its `$.path`.
    """
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ConfigError([Problem(str(path), f"{path.stat().st_size} bytes", f"at most {MAX_CONFIG_BYTES}")])
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        hint = "tocsin init --preset flows writes a first config"
        raise ConfigError([Problem(str(path), f"no readable text file ({error})", "a config", hint)]) from error
    return parse(text, path)


def parse(text: str, path: Path = Path("tocsin.yaml")) -> Config:
    """Parse a config; `path` names it in messages and gives the folder that its paths are relative to."""
    document = _Document(text, path)
    values = document.values
    if not isinstance(values, dict):
        raise ConfigError([Problem(str(path), f"a {type(values).__name__}", "a mapping with version, name, source …")])
    problems = [*document.problems]
    values = _substitute(values, "$", problems)
    underneath: dict[str, Any] = {}
    if isinstance(values.get("preset"), str):
        try:
            underneath = read_preset(values["preset"])
        except ConfigError as error:
            problems.extend(error.problems)
    merged = _merge(underneath, values)
    merged.pop("folder", None)
    if isinstance(merged.get("source"), dict) and isinstance(merged.get("test"), dict):
        merged["test"] = _merge_part(merged["source"], merged["test"])
    try:
        config = Config.model_validate({**merged, "folder": path.parent})
    except ValidationError as error:
        found = problems_of(error, "$", _known_keys)
        # without its preset a config lacks a schema, which is not its author's mistake
        problems.extend(item for item in found if item.where != "$.schema" or not problems)
        config = None
    if problems or config is None:
        raise ConfigError([document.located(problem) for problem in problems])
    config._document = document
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
    return tuple(field.alias or name for name, field in model.model_fields.items() if name != "folder")


def _section(annotation: Any) -> Any:
    options = [annotation, *getattr(annotation, "__args__", ())]
    return next((item for item in options if isinstance(item, type) and issubclass(item, BaseModel)), None)


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    both = {key for key in over if isinstance(under.get(key), dict) and isinstance(over[key], dict)}
    return {**under, **over, **{key: _merge_part(under[key], over[key]) for key in both}}


def _merge_part(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Merged, unless the upper one is a part of another type: its parameters then mean other things."""
    same = over.get("type", under.get("type")) == under.get("type")
    return _merge(under, over) if same else over


def _substitute(value: Any, path: str, problems: list[Problem]) -> Any:
    if isinstance(value, dict):
        return {key: _substitute(item, f"{path}.{key}", problems) for key, item in value.items()}
    if isinstance(value, list):
        return [_substitute(item, f"{path}[{index}]", problems) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value
    problems.extend(
        Problem(path, f"${{{name}}}, which is not set", "an environment variable", f"export {name}=…")
        for name in _REFERENCE.findall(value)
        if name not in os.environ
    )
    return _REFERENCE.sub(lambda match: os.environ.get(match[1], ""), value)


class _Loader(yaml.SafeLoader):
    """YAML in which only true and false are booleans: `no` is a word, as in a label."""


_Loader.yaml_implicit_resolvers = {
    letter: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
    ]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false|True|False)$"), list("tTfF"))


class _Document:
    """A YAML text, its values, and the line of every path in it."""

    def __init__(self, text: str, path: Path) -> None:
        self.path = path
        self.lines: dict[str, int] = {}
        self.problems: list[Problem] = []
        try:
            loader = _Loader(text)
            node = loader.get_single_node()
            self.values: Any = loader.construct_document(node) if node is not None else {}
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f"{path}:{mark.line + 1}" if mark else str(path)
            raise ConfigError([Problem(where, str(getattr(error, "problem", error)), "YAML")]) from error
        if node is not None:
            self._walk(node, "$")

    def _walk(self, node: yaml.Node, path: str) -> None:
        self.lines[path] = node.start_mark.line + 1
        for child_path, child in self._children(node, path):
            self._walk(child, child_path)

    def _children(self, node: yaml.Node, path: str) -> Iterator[tuple[str, yaml.Node]]:
        if isinstance(node, yaml.SequenceNode):
            yield from ((f"{path}[{index}]", item) for index, item in enumerate(node.value))
        if isinstance(node, yaml.MappingNode):
            seen: set[Hashable] = set()
            for key, value in node.value:
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
