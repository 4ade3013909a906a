"""The mappings of a config, one class each: their keys, types, defaults and what they mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tocsin.component import Duration, Size, Spec

MAX_PER_DAY = 1e6
MAX_COOLDOWN_S = 30 * 86_400.0
_PER_TIME = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*(minute|hour|day|week)\s*")
_PER_ROWS = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*(\d+)\s*rows?\s*")
_SHARE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*")
_PER_DAY = {"minute": 1_440.0, "hour": 24.0, "day": 1.0, "week": 1 / 7}


class Section(BaseModel):
    """A mapping of the config: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Rate(Section):
    """How many alerts: a number a day, or, where there is no clock, a share of the rows."""

    per_day: float | None = None
    per_row: float | None = None
    text: str = ""


def rate(value: object) -> object:
    """`3/day`, `1/hour`, `5/1000 rows` or `1%` (of the rows) -> `Rate`."""
    if isinstance(value, Rate):
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
    if not 0 < (found.per_day or 0) <= MAX_PER_DAY and not 0 < (found.per_row or 0) < 1:
        raise ValueError(f"wanted a rate above 0, at most {MAX_PER_DAY:g} a day and below all rows")
    return found


AlertRate = Annotated[Rate, BeforeValidator(rate)]


def _words(value: object) -> object:
    if isinstance(value, str | int | float):
        return (str(value),)
    return tuple(map(str, value)) if isinstance(value, list) else value


def _asked(value: object) -> object:
    """Targets without a comparison are those of the preset that a user took away; YAML reads `off` as false."""
    if not isinstance(value, Mapping):
        return value
    words = {True: "on", False: "off"}
    return {
        name: words[target] if isinstance(target, bool) else target
        for name, target in value.items()
        if target is not None
    }


Targets = Annotated[Mapping[str, str], BeforeValidator(_asked)]
PathText = Annotated[str, Field(min_length=1, max_length=1_000, pattern=r"^[^\x00\n]+$")]
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]


class LabelsConfig(Section):
    """What is known of the rows: a column, incident windows, or an array beside the data.

    Parameters
    ----------
    column, normal, ignore
        A column of the telemetry, its values that mean normal, and values whose rows are left out. Case does not
        matter. Every other value is an anomaly of that name.
    windows, series
        A JSON or CSV file of incidents with start and end; `series` picks one key of a JSON mapping, one entity of a
        CSV file.
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
        idle = {"series"} if self.column else {"normal", "ignore"}
        if self.column and not self.normal:
            raise ValueError("normal is empty, wanted the values that mean normal; every row would be an anomaly")
        if said := sorted(idle & self.model_fields_set):
            raise ValueError(f"{' and '.join(said)} would have no effect here, wanted without")
        return self


class FeaturesConfig(Section):
    """The feature matrix: schema fields that enter as they are, then what features derive.

    Parameters
    ----------
    columns, derive
        Names of fields; features as mappings with `type`.
    names
        Other names for columns that features derive, as another system calls them: ours -> theirs. A name that no
        feature derives waits for one that does.
    aside
        Columns that are computed, for other features and for exports, and that the detector is not shown.
    keep
        `all` columns that are not set aside, or `auto`: training sets aside, too, what only hides anomalies from the
        detector, judged on the last part of the training rows. It costs up to some hundred trainings.
    wait
        Take the rows of a stream in the order of their times, each held back for so long; a row that comes later
        still is scored alone. Without it rows are taken as they come, a late one at its own place in the windows.
    """

    columns: Words = ()
    derive: tuple[Spec, ...] = ()
    names: Mapping[str, str] = Field(default_factory=dict)
    aside: Words = ()
    keep: Literal["all", "auto"] = "all"
    wait: Duration | None = None


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
    cooldown: Annotated[Duration, Field(le=MAX_COOLDOWN_S)] = 120.0
    at_most: AlertRate | None = None
    adapt: bool = False

    @model_validator(mode="after")
    def _days(self) -> Self:
        if self.adapt and self.budget.per_day is None:
            raise ValueError(f'adapt goes by days and the budget is "{self.budget.text}", wanted alerts a day')
        return self

    @model_validator(mode="after")
    def _whole_alerts(self) -> Self:
        if self.at_most is not None and not (self.at_most.per_day or 0) >= 1:
            raise ValueError(f'at_most is "{self.at_most.text}", wanted a number of alerts a day, at least 1/day')
        return self

    @property
    def at_most_per_day(self) -> int | None:
        """Alerts delivered a day; None if they are not limited."""
        return round(self.at_most.per_day) if self.at_most and self.at_most.per_day else None


class RegistryConfig(Section):
    """Where versions are kept, how many, and who may move them.

    Parameters
    ----------
    path
        A folder, or a bucket: `s3://bucket/prefix`, `gs://bucket/prefix` (Firebase Storage is one).
    keep, max_age
        Versions that stay beside those that a channel needs; older ones than `max_age` go, too.
    max_size
        Bytes that one version may have.
    keys
        Folder of the signing keys of this machine.
    audience
        Which machines the versions are for, such as a site or a fleet: others refuse them.
    expires
        For how long a step of a channel counts as fresh.
    precision
        How arrays of numbers are stored: `float32` halves them, and the report says what that does to the scores.
    """

    path: PathText = "registry"
    keep: int = Field(default=5, ge=1, le=10_000)
    max_age: Duration | None = None
    max_size: Size = 32 * 2**20
    keys: PathText = ".tocsin/keys"
    audience: str = Field(default="", max_length=64, pattern=r"^[a-z0-9._-]*$")
    expires: Duration = 90 * 86_400.0
    precision: Literal["float64", "float32"] = "float64"


class HistoryConfig(Section):
    """Which part of what a source holds is learnt from.

    Parameters
    ----------
    last
        Rows from this long before now on; by default all.
    """

    last: Duration | None = None


class TrackingConfig(Section):
    """An MLflow that is told of every training (extra `mlflow`); nothing is ever loaded from it.

    Parameters
    ----------
    uri
        Of the tracking server or database, `sqlite:///mlflow.db`.
    experiment
        By default the name of the config.
    """

    uri: PathText
    experiment: str | None = None


class KeepConfig(Section):
    """How long a running service keeps what it wrote down."""

    alerts: Duration = 180 * 86_400.0
    verdicts: Duration = 7 * 86_400.0
    dead_letters: Duration = 7 * 86_400.0


class PrivacyConfig(Section):
    """What becomes of fields marked `identity`, and how long what tells of them is kept."""

    identities: Literal["pseudonym", "subnet", "plain"] = "pseudonym"
    key_file: PathText = ".tocsin/site.key"
    keep: KeepConfig = KeepConfig()


class LimitsConfig(Section):
    """What a run may take; reaching a limit ends it with nothing half published.

    Parameters
    ----------
    memory, train_time
        Bytes and seconds of a training.
    entities
        How many of them hold state at once.
    feature_cache
        Bytes on disk for features that the next training on the same rows need not compute.
    requests, transfer
        Requests to, and bytes from and to, storage elsewhere that a run may take.
    """

    memory: Size | None = None
    entities: int = Field(default=20_000, ge=1)
    train_time: Duration | None = None
    feature_cache: Size = 2 * 10**9
    requests: int = Field(default=5_000, ge=1)
    transfer: Size = 10**9


class LoggingConfig(Section):
    """How log lines look."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"
