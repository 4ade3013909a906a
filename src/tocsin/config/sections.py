"""The mappings of a config, one class each: their keys, types, defaults and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tocsin.component import Duration, Size, Spec


class Section(BaseModel):
    """A mapping of the config: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
