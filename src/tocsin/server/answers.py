"""What the server answers and takes, as the OpenAPI document describes it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tocsin.records import Quiet, RowState, Severity

ChannelName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9._-]{0,63}$")]
Number = float | None
"""None stands for a missing value."""


class Told(BaseModel):
    """An answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FaultParts(Told):
    """What is wrong with a request."""

    code: str
    """The same from version to version."""
    got: str
    wanted: str
    hint: str


class Refusal(Told):
    """Every answer that is no success has this form."""

    error: FaultParts


class ReasonTold(Told):
    """One feature's share in a score, see `tocsin.records.Reason`."""

    feature: str
    value: Number
    usual_low: Number
    usual_high: Number
    contribution: Number
    unit: str
    similar_low: Number
    similar_high: Number
    normal: Number


class ScoreTold(Told):
    """What a model says of a row."""

    score: float
    p_value: float
    flagged: bool
    state: RowState
    model: str
    version: int
    reasons: list[ReasonTold] = []


class RefusedRow(Told):
    """A row of a batch that the schema does not take."""

    row: int
    """Counted from 0."""
    reason: str
    detail: str


class BatchTold(Told):
    """What a model says of many rows, column by column; of refused ones scores are null."""

    model: str
    version: int
    rows: int
    score: list[Number]
    p_value: list[Number]
    flagged: list[bool]
    state: list[RowState | Literal["refused"]]
    refused: list[RefusedRow]


class EventsTaken(Told):
    """Events that the log keeps for good; those that it had already are not counted again."""

    taken: int
    new: int


class AlertTold(Told):
    """An alert, and what became of it at each sink."""

    id: str
    entity: str
    """A pseudonym, where the config hides identities."""
    entities: list[str]
    """Of an incident, those that made it one; `entity` is empty then."""
    cause: str
    incident: str
    """The id of the incident that it belongs to; of an incident, its own."""
    quiet: Quiet
    """Why it is kept and not delivered; empty if it is delivered."""
    start_us: int | None
    end_us: int | None
    rows: int
    score: float
    p_value: float
    severity: Severity
    state: RowState
    model: str
    reasons: list[ReasonTold]
    generated: bool
    confidence: float | None
    committed_us: int
    deliveries: dict[str, Literal["waiting", "delivered", "given_up"]]


class AlertsTold(Told):
    """A page of alerts, the newest first."""

    alerts: list[AlertTold]
    next: str | None
    """Given as `before`, the page that follows; null at the end."""


class VersionTold(Told):
    """A registered version."""

    name: str
    version: int
    digest: str
    created: str
    passed: bool
    generated: bool
    size_bytes: int


class ModelsTold(Told):
    """Versions, the oldest first, and where channels point."""

    models: list[VersionTold]
    channels: dict[str, int]


class StatusTold(Told):
    """How the service stands."""

    name: str
    tocsin: str
    model: str
    version: int
    stream: dict[str, Any]


class Health(Told):
    """A word."""

    status: Literal["ok"]


class Moved(Told):
    """Where a channel points now."""

    name: str
    channel: str
    version: int


class Promotion(BaseModel):
    """Which version is to serve."""

    model_config = ConfigDict(extra="forbid", strict=True)

    version: Annotated[int, Field(ge=1, le=2**31)]
    channel: ChannelName = "champion"
    approval: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    """Why a person lets a soft bound pass."""


class Rollback(BaseModel):
    """Which channel is to go back to the version before."""

    model_config = ConfigDict(extra="forbid", strict=True)

    channel: ChannelName = "champion"


Cell = float | int | bool | Annotated[str, Field(max_length=1_024)] | None
RowGiven = Annotated[dict[Annotated[str, Field(max_length=1_024)], Cell], Field(min_length=1, max_length=256)]


class ScoreAsked(BaseModel):
    """One row, as a source would read it."""

    model_config = ConfigDict(extra="forbid")

    row: RowGiven
    window: Annotated[list[RowGiven], Field(max_length=1_000)] | None = None
    """Rows before it, the oldest first: they take the place of what the service remembers of the entity."""
    reasons: bool = False


RowsGiven = Annotated[list[RowGiven], Field(min_length=1, max_length=10_000)]
EventGiven = Annotated[dict[str, Any], Field(min_length=1, max_length=256)]
EventsGiven = Annotated[list[EventGiven], Field(min_length=1, max_length=10_000)]
