"""What a manifest may say, key by key: the content that makes a model what it is, and the notes about it.

A manifest may come from anywhere. Whatever is not described here is refused with its place, before anything is built
from it; sizes and ranges are those that no model of Tocsin needs more of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from tocsin.component import Spec
from tocsin.config import FeaturesConfig, PreparationConfig
from tocsin.config.alerts import MAX_COOLDOWN_S, MAX_PER_DAY
from tocsin.errors import IntegrityError
from tocsin.kernel.program import Operation, Program
from tocsin.model.bundle import MANIFEST
from tocsin.schema import Schema
from tocsin.thresholds.base import AlertBudget

KIND: Final = "tocsin.anomaly_model"
MAX_ENTITIES = 2**31
MAX_INPUTS = 100_000
MAX_COLUMNS = 2**20
MAX_OPERATIONS = 65_536
MAX_WORD = 4_096
"""Characters of a name or of a value: a feature's name holds a few of those that a schema takes."""

_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Word = Annotated[str, Field(max_length=MAX_WORD)]
_Names = Annotated[tuple[_Word, ...], Field(max_length=MAX_COLUMNS)]
_Version = Annotated[str, Field(max_length=64, pattern=r"^[\w.+!-]+$")]
_Library = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]
_Count = Annotated[int, Field(ge=0, lt=2**53)]
_Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Moment = Annotated[str, Field(max_length=40, pattern=r"^[0-9T:.+Z-]+$")]
_Section = TypeVar("_Section", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Budget(_Strict):
    per_day: Annotated[float, Field(gt=0, le=MAX_PER_DAY)] | None
    per_row: Annotated[float, Field(gt=0, lt=1)] | None
    cooldown_s: Annotated[float, Field(ge=0, le=MAX_COOLDOWN_S)]

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.per_day is None) == (self.per_row is None):
            raise ValueError("wanted one of per_day and per_row")
        return self

    def budget(self) -> AlertBudget:
        return AlertBudget(self.per_day, self.per_row, self.cooldown_s)


class _Operation(_Strict):
    kind: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]
    inputs: _Names
    outputs: _Names
    constants: Annotated[Mapping[_Word, JsonValue], Field(max_length=64)]


class _Program(_Strict):
    operations: Annotated[tuple[_Operation, ...], Field(max_length=MAX_OPERATIONS)]
    outputs: Annotated[_Names, Field(min_length=1)]
    time: _Word | None
    entity: _Word | None
    key: _Names

    def program(self) -> Program:
        steps = (Operation(step.kind, step.inputs, step.outputs, step.constants) for step in self.operations)
        return Program(tuple(steps), self.outputs, self.time, self.entity, self.key)


class Content(_Strict):
    """What makes a model what it is; with the arrays it is the model's identity."""

    kind: Literal["tocsin.anomaly_model"]
    code: _Version
    """Of the Tocsin that fitted it."""
    schema_: Annotated[Schema, Field(alias="schema")]
    features: FeaturesConfig
    program: _Program
    preparation: PreparationConfig
    detector: Spec
    threshold: Spec
    threshold_state: Annotated[Mapping[_Word, JsonValue], Field(max_length=64)]
    budget: _Budget
    entities: Annotated[int, Field(ge=1, le=MAX_ENTITIES)]
    precision: Literal["float64", "float32"] = "float64"
    inputs: Annotated[tuple[_Digest, ...], Field(max_length=MAX_INPUTS)]
    share: Annotated[float, Field(gt=0, le=1)]


class _Data(_Strict):
    rows: _Count
    entities: _Count
    from_: Annotated[_Moment | None, Field(alias="from")]
    to: _Moment | None


class _Rounding(_Strict):
    rows: _Count
    largest: _Amount
    mean: _Amount
    changed: _Amount
    bytes_before: _Count
    bytes_after: _Count


class Notes(_Strict):
    """What is known about a model; no part of its identity."""

    report: Mapping[_Word, JsonValue] | None = None
    verdict: Mapping[_Word, JsonValue] | None = None
    train_seconds: _Amount | None = None
    peak_memory_bytes: _Count | None = None
    generated: bool = False
    """Whether it learnt from made-up telemetry."""
    inputs: Annotated[Mapping[_Digest, _Word], Field(max_length=MAX_INPUTS)] = Field(default_factory=dict)
    """The files it learnt from, by their SHA-256."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    libraries: Annotated[Mapping[_Library, _Version], Field(max_length=64)] = Field(default_factory=dict)
    parent: _Digest | None = None
    """The model that it was trained to replace."""
    data: _Data | None = None
    precision: _Rounding | None = None
    """What storing numbers shorter did to the scores."""


def checked(kind: type[_Section], value: Mapping[str, Any], where: str) -> _Section:
    """A mapping of JSON values as what it must be.

    Raises
    ------
    IntegrityError
        With the `$.path` of the first value that is not as described.
    """
    place = f"{MANIFEST} {where}"
    try:
        text = orjson.dumps(value)
        _refuse_long_words(value, place)
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"])
        got = "nothing" if first["type"] == "missing" else repr(first["input"])[:80]
        raise IntegrityError(f"{place}{''.join(steps)}"[:400], got, first["msg"][:400]) from None
    except TypeError as error:  # orjson.JSONEncodeError
        raise IntegrityError(place, f"a value that JSON cannot hold ({error})", "a manifest") from None


def _refuse_long_words(value: Any, place: str) -> None:
    """A schema or a part may hold any text, of which no name or value needs to be long."""
    if isinstance(value, str) and len(value) > MAX_WORD:
        raise IntegrityError(place[:400], f"{len(value)} characters", f"at most {MAX_WORD}")
    if isinstance(value, Mapping):
        for name, item in value.items():
            _refuse_long_words(name, place)
            _refuse_long_words(item, f"{place}.{name}")
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            _refuse_long_words(item, f"{place}[{number}]")
