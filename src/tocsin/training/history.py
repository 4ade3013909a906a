"""Rows of a source on their way to a model: schema, quarantine, deduplication, pseudonyms, labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from tocsin import observe
from tocsin.annotations import ANOMALY, ArrayLabeller, ColumnLabeller, Labeller, Window, label_windows, read_windows
from tocsin.component import PartSpec, Room, build, parameter_model, part, part_spec
from tocsin.config import Config, LabelsConfig
from tocsin.errors import ConfigError, DataError, Problem, did_you_mean
from tocsin.privacy import Privacy
from tocsin.records import LABEL, Batch
from tocsin.sources.base import Intake, Quarantine, Source, Tally
from tocsin.sources.base_files import format_of
from tocsin.sources.base_remote import RemoteSource
from tocsin.storage import Meter, elsewhere
from tocsin.training.limits import Limits
from tocsin.training.period import Period, Within, no_clock
from tocsin.training.split import in_time_order


class Progress(Protocol):
    """Told how far long work is: the stage, what of it is done, and of how much where that is known."""

    def __call__(self, stage: str, done: int, total: int = 0, /) -> None:
        """Another step is done."""


@dataclass(frozen=True, slots=True)
class History:
    """All rows of a source, ready for the features: typed, pseudonymised, labelled, in time order."""

    batch: Batch
    tally: Tally


class Reader:
    """Reads sources as one config says.

    Parameters
    ----------
    config
        Names the schema, the labels and the quarantine's folder.
    privacy
        Called for when the first row comes, so that looking at a config makes no key.
    progress
        Told how many rows were received.
    meter
        Counts what is asked of storage elsewhere, and bounds it.
    clock
        The time of day, from which a period counts back.
    """

    def __init__(
        self,
        config: Config,
        privacy: Callable[[], Privacy],
        progress: Callable[[str, int], None],
        meter: Meter | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._config = config
        self._privacy = privacy
        self._progress = progress
        self._meter = meter or Meter()
        self._clock = clock
        self.quarantine_file = config.resolve("quarantine.jsonl")

    def read(
        self, spec: PartSpec, labels: LabelsConfig | None, limits: Limits, period: Period | None = None
    ) -> History:
        """Everything a source holds, or what of it lies in a period.

        Raises
        ------
        DataError
            If no row is left, with what became of those received.
        """
        self.bounded(spec)
        tally = Tally()
        within = self.within(period)
        batches = []
        for batch in self.batches(spec, labels, tally, within=within):
            limits.check("the next batch")
            batches.append(batch)
        whole = Batch.concatenate(batches)
        if not whole.rows and within and within.seen and tally.ignored:
            got, hint = f"rows from {within.seen}, none left", "ask for a period in which rows lie"
            raise DataError(f"source {spec.type}", got, f"rows {within}", hint)
        if not whole.rows:
            raise DataError(
                f"source {spec.type} {spec.parameters.get('path', '')}".rstrip(),
                _what_became(tally),
                "rows that fit the schema",
                self._where_to_look(tally),
            )
        history = History(in_time_order(whole, self._config.schema_), tally)
        if labels is not None and labels.windows is not None and not (history.batch[LABEL] == ANOMALY).any():
            self._miss(labels, history.batch)
        return history

    def _miss(self, labels: LabelsConfig, batch: Batch) -> None:
        times = batch[self._config.schema_.time or ""]
        first, last = np.datetime_as_string(times[[0, -1]].astype("datetime64[us]"), unit="s", timezone="UTC").tolist()
        observe.windows_without_rows(len(self._windows(labels) or ()), first, last)

    def _where_to_look(self, tally: Tally) -> str:
        if tally.reasons:
            return f"the reasons are in {self.quarantine_file}"
        return "ask the source, or the labels, for other rows" if tally.ignored else "the files hold no rows"

    def columns(self, spec: PartSpec, labels: LabelsConfig | None) -> tuple[str, ...]:
        """The columns of a source's first rows, but that of the labels."""
        source = self.source(spec)
        if not source.replayable:
            wanted = "telemetry that can be read twice, or fields by their names"
            raise ConfigError([Problem("$.schema.others", f"a live source, {spec.type}", wanted)])
        source.open()
        try:
            while not source.ended:
                batch = source.read(1.0)
                if batch is not None and batch.rows:
                    return tuple(name for name in batch if labels is None or name != labels.column)
        finally:
            source.close()
        return ()

    def endless(self, spec: PartSpec) -> bool:
        """Whether a source goes on until it is stopped."""
        return self.source(spec).endless

    def within(self, period: Period | None) -> Within | None:
        """Which rows a period leaves, as of now; raises ConfigError where rows have no time."""
        return Within(period, self._clock(), self._config.schema_) if period else None

    def source(self, spec: PartSpec, since: datetime | None = None) -> Source:
        """A source at work for this config; rows from before a moment are not wanted."""
        source = cast("Source", local_part("sources", spec, self._config))
        if isinstance(source, RemoteSource):
            source.meter = self._meter
            source.since = since.timestamp() if since else None
        return source

    def bounded(self, spec: PartSpec) -> None:
        """Refuse a source that goes on until it is stopped, where all of it is wanted.

        Raises
        ------
        ConfigError
            Then, with what to set.
        """
        if self.endless(spec):
            hint = "set `samples`, or for prometheus `last` or `end`, or no `follow`; `tocsin score` alone follows"
            raise ConfigError([Problem("$.source", f"a source that never ends, {spec.type}", "one that does", hint)])

    def begin(self, spec: PartSpec) -> None:
        """Forget what earlier commands refused, once it is sure that there is a source to read.

        The quarantine file holds the rows that the last command refused.
        """
        local_part("sources", spec, self._config)
        self.quarantine_file.unlink(missing_ok=True)

    def batches(
        self,
        spec: PartSpec,
        labels: LabelsConfig | None,
        tally: Tally,
        *,
        keep_refused: bool = True,
        within: Within | None = None,
    ) -> Iterator[Batch]:
        """Typed, pseudonymised, labelled rows, batch by batch as they come."""
        schema = self._config.schema_
        intake = Intake(
            self.source(spec, within.since if within else None),
            schema,
            labels=self._labeller(labels),
            wanted=within,
            pseudonymise=(lambda batch: self._privacy().apply(schema, batch)) if schema.identities else None,
            quarantine=Quarantine(self.quarantine_file) if keep_refused else None,
            tally=tally,
        )
        windows = self._windows(labels)
        for batch in intake:
            self._progress("reading", tally.received)
            if windows is None or schema.time is None:
                yield batch
            else:
                entities = batch[schema.entity] if schema.entity else None
                yield label_windows(batch, windows, batch[schema.time], entities)

    def _labeller(self, labels: LabelsConfig | None) -> Labeller | None:
        if labels is None or labels.windows is not None:
            return None
        if labels.array is not None:
            return ArrayLabeller(self._config.resolve(labels.array), labels.series)
        return ColumnLabeller(labels)

    def _windows(self, labels: LabelsConfig | None) -> Sequence[Window] | None:
        if labels is None or labels.windows is None:
            return None
        schema = self._config.schema_
        windows = read_windows(self._config.resolve(labels.windows), labels.series, schema.timezone)
        if schema.entity not in schema.identities:
            return windows
        return [replace(window, entity=self._privacy().pseudonym(window.entity)) for window in windows]


def _what_became(tally: Tally) -> str:
    left_out = f", {tally.ignored} left out on purpose" if tally.ignored else ""
    rows = f"{tally.received} rows received, {tally.quarantined} of them quarantined{left_out}, none left"
    if not tally.files_refused:
        return rows
    files = "1 file" if tally.files_refused == 1 else f"{tally.files_refused} files"
    return f"{files} refused ({', '.join(sorted(tally.reasons))}), {rows}"


def losses(tally: Tally) -> tuple[str, ...]:
    """What a report owes its reader about rows that never came so far."""
    lost = f"{tally.quarantined} of {tally.received} rows received were quarantined"
    refused = f"{tally.files_refused} files could not be read, or not to their end"
    said = [text for text, number in ((lost, tally.quarantined), (refused, tally.files_refused)) if number]
    return (f"{'; '.join(said)}: see inputs.json.",) if said else ()


def check_part(config: Config, place: str, room: Room, spec: PartSpec) -> None:
    """Whether a source or a sink can be made; opens nothing.

    Raises
    ------
    ConfigError
        If not, or if a column that the source is told to name is no field.
    """
    made = build(room, spec, place)
    schema, labels = config.schema_, (config.labels, config.test_labels)
    known = {*schema.fields, *(item.column for item in labels if item and item.column)}
    if not isinstance(made, Source) or schema.others is not None:
        return
    if unknown := [name for name in made.named if name not in known]:
        wanted = "a field of the schema"
        raise ConfigError([Problem(place, f'a column "{name}"', wanted, did_you_mean(name, known)) for name in unknown])


def local_part(room: Room, spec: PartSpec, config: Config) -> object:
    """A source or a sink of a config; what is a path of this machine is relative to the config's folder."""
    made = build(room, spec, f"$.{room}")
    local = {
        name: str(config.resolve(value))
        for name, value in made.parameters().items()
        if isinstance(value, str)
        and (name in ("path", "spool") or name.endswith("_file") or (name == "url" and not elsewhere(value)))
    }
    return build(room, PartSpec(spec.type, {**spec.parameters, **local}), f"$.{room}") if local else made


def with_path(spec: PartSpec, path: Path | str) -> PartSpec:
    """The same source over other files; a source of no files makes way for the one that the name's ending tells."""
    if "path" in parameter_model(part("sources", spec.type)).model_fields:
        return PartSpec(spec.type, {**spec.parameters, "path": str(path)})
    files = cast("PartSpec", part_spec(spec.parameters.get("format") or {"type": format_of(str(path)) or "csv"}))
    return PartSpec(files.type, {**files.parameters, "path": str(path)})


def check_period(config: Config) -> list[Problem]:
    """What is wrong with the period that a config asks for."""
    return [no_clock("$.history.last")] if config.history.last is not None and config.schema_.time is None else []


def source_of(config: Config) -> PartSpec:
    """The config's source.

    Raises
    ------
    ConfigError
        If it names none.
    """
    if config.source is None:
        hint = 'for example source: {type: csv, path: "data/*.csv"}'
        raise ConfigError([Problem("$.source", "nothing", "a source", hint)])
    return config.source
