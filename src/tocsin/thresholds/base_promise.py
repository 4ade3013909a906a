"""What a threshold says of its budget, as a model stores it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from tocsin.errors import IntegrityError

_Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0, lt=2**53)]


class _Promise(BaseModel):
    """The keys and ranges of `LevelThreshold.promise`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    asked: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    served: _Amount
    unit: Literal["alerts/day", "alerts/row"]
    state: Literal["held", "provisional", "extrapolated", "fixed"]
    interval: Annotated[list[_Amount], Field(min_length=2, max_length=2)]
    blocks: _Count
    days: _Amount | None
    days_needed: _Amount | None
    rows: _Count
    rows_needed: _Count | None
    level: FiniteFloat
    level_p: Annotated[float, Field(gt=0, le=1)]
    together: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None
    doubts: Annotated[str, Field(max_length=200, pattern=r"^[a-z_]+(, [a-z_]+)*$")] | None


def restored(promise: Any, where: str) -> Mapping[str, Any]:
    """The promise of a stored model.

    Raises
    ------
    IntegrityError
        If a key is missing or unknown, or a value is none that a threshold would tell.
    """
    try:
        return _Promise.model_validate(promise).model_dump()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, (f"{where}.promise", *first["loc"])))
        raise IntegrityError(place[:200], repr(first["input"])[:80], first["msg"]) from None
