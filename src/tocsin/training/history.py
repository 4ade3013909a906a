"""Rows of a source on their way to a model: schema, quarantine, deduplication, pseudonyms, labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from tocsin.annotations import Labeller, Window, array_labeller, column_labeller, label_windows, read_windows
from tocsin.component import PartSpec, Room, build, parameter_model, part
from tocsin.config import Config, LabelsConfig
from tocsin.errors import ConfigError, DataError, Problem
from tocsin.privacy import Privacy
from tocsin.records import Batch
from tocsin.sources.base import Intake, Quarantine, Source, Tally
from tocsin.training.limits import Limits
from tocsin.training.split import in_time_order

_OF_ENDING = {".jsonl": "jsonl", ".json": "jsonl", ".parquet": "parquet"}

Progress = Callable[[str, int], None]
"""Called with a stage and the rows done in it."""


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
    """

    def __init__(self, config: Config, privacy: Callable[[], Privacy], progress: Progress) -> None:
        self._config = config
        self._privacy = privacy
        self._progress = progress
        self.quarantine_file = config.resolve("quarantine.jsonl")

    def read(self, spec: PartSpec, labels: LabelsConfig | None, limits: Limits) -> History:
        """Everything a source holds.

        Raises
        ------
        DataError
            If no row is left, with what became of those received.
        """
        tally = Tally()
        batches = []
        for batch in self.batches(spec, labels, tally):
            limits.check("the next batch")
            batches.append(batch)
        whole = Batch.concatenate(batches)
        if not whole.rows:
            raise DataError(
                f"source {spec.type} {spec.parameters.get('path', '')}".rstrip(),
                f"{tally.received} rows received, {tally.quarantined} of them quarantined, none left",
                "rows that fit the schema",
                f"the reasons are in {self.quarantine_file}" if tally.quarantined else "the files hold no rows",
            )
        return History(in_time_order(whole, self._config.schema_), tally)

    def batches(self, spec: PartSpec, labels: LabelsConfig | None, tally: Tally) -> Iterator[Batch]:
        """Typed, pseudonymised, labelled rows, batch by batch as they come."""
        schema = self._config.schema_
        intake = Intake(
            cast("Source", local_part("sources", spec, self._config)),
            schema,
            labels=self._labeller(labels),
            pseudonymise=(lambda batch: self._privacy().apply(schema, batch)) if schema.identities else None,
            quarantine=Quarantine(self.quarantine_file),
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
            return array_labeller(self._config.resolve(labels.array), labels.series)
        return column_labeller(labels)

    def _windows(self, labels: LabelsConfig | None) -> Sequence[Window] | None:
        if labels is None or labels.windows is None:
            return None
        windows = read_windows(self._config.resolve(labels.windows), labels.series)
        schema = self._config.schema_
        if schema.entity not in schema.identities:
            return windows
        return [replace(window, entity=self._privacy().pseudonym(window.entity)) for window in windows]


def local_part(room: Room, spec: PartSpec, config: Config) -> object:
    """A source or a sink of a config; its `path` is relative to the config's folder."""
    if "path" in spec.parameters:
        spec = PartSpec(spec.type, {**spec.parameters, "path": str(config.resolve(str(spec.parameters["path"])))})
    return build(room, spec, f"$.{room}")


def with_path(spec: PartSpec, path: Path | str) -> PartSpec:
    """The same source over other files; a source of no files makes way for the one that the name's ending tells."""
    if "path" in parameter_model(part("sources", spec.type)).model_fields:
        return PartSpec(spec.type, {**spec.parameters, "path": str(path)})
    ending = Path(str(path).removesuffix(".gz")).suffix
    return PartSpec(_OF_ENDING.get(ending, "csv"), {"path": str(path)})


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
