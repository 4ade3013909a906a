"""What is to be trained, as a config says it, and whether its parts fit together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, cast

import numpy as np

from tocsin.calibration import codes_of
from tocsin.component import PartSpec, build
from tocsin.config import ANY, Config, FeaturesConfig, PreparationConfig
from tocsin.detectors.base import Detector
from tocsin.errors import ConfigError, Problem, SchemaError, TocsinError, did_you_mean
from tocsin.features.base import Feature, compile_program
from tocsin.kernel.program import Program
from tocsin.kernel.sequences import MAX_GAP_US, with_sequence
from tocsin.records import Batch
from tocsin.schema import NUMERIC, Schema
from tocsin.thresholds.base import AlertBudget

MISSED_ROWS = 10
"""A gap of so many usual steps of an entity begins a new sequence."""
WIDEST = 1_024
"""Columns of which the kernel keeps several rows."""


@dataclass(frozen=True, slots=True)
class Design:
    """A model before it has seen any row."""

    schema: Schema
    features: FeaturesConfig
    preparation: PreparationConfig
    detector: PartSpec
    threshold: PartSpec
    budget: AlertBudget
    entities: int
    precision: Literal["float64", "float32"] = "float64"
    """What the detector's numbers are kept as."""

    @classmethod
    def of(cls, config: Config) -> Self:
        """The design that a config describes; until telemetry is read, `*` stands for itself."""
        config, alerts = config.with_columns((ANY,)), config.alerts
        return cls(
            schema=config.schema_,
            features=config.features,
            preparation=config.preparation,
            detector=config.detector,
            threshold=config.threshold,
            budget=AlertBudget(alerts.budget.per_day, alerts.budget.per_row, alerts.cooldown),
            entities=config.limits.entities,
            precision=config.registry.precision,
        )

    def derived(self) -> tuple[Feature, ...]:
        """The feature parts, built and checked."""
        return tuple(
            cast("Feature", build("features", spec, f"$.features.derive[{index}]"))
            for index, spec in enumerate(self.features.derive)
        )

    def columns(self) -> tuple[str, ...]:
        """The schema fields that enter the matrix as they are: all numeric ones if the config names no feature."""
        if self.features.columns or self.features.derive:
            return self.features.columns
        return self.schema.numeric

    def program(self, training: Batch, derived: Sequence[Feature] | None = None) -> Program:
        """The feature program as it is learnt on these rows, whole or of the first features alone."""
        features = self.derived() if derived is None else derived
        whole = compile_program(self.schema, self.columns(), features, training, self.features.names)
        return replace(whole, outputs=tuple(name for name in whole.outputs if name not in self.features.aside))

    @property
    def steps(self) -> int:
        """Rows of an entity that the detector looks at together."""
        return cast("Detector", build("detectors", self.detector, "$.detector")).steps

    def sequence(self, program: Program, training: Batch) -> Program:
        """The program as the kernel runs it: with the rows before each row, if the detector looks at them.

        Raises
        ------
        SchemaError
            If there are too many columns to keep several rows of them.
        """
        if self.steps == 1:
            return program
        if len(program.outputs) > WIDEST:
            got = f"{self.detector.type} on {len(program.outputs)} columns in {self.steps} rows at once"
            hint = "take isolation_forest, or set steps to 1 where the detector has them"
            raise SchemaError("$.detector", got, f"at most {WIDEST} columns", hint)
        return with_sequence(program, self.steps, self._max_gap_us(training))

    def _max_gap_us(self, training: Batch) -> int:
        """So long that a few rows may be lost between two that belong together."""
        if self.schema.time is None:
            return MAX_GAP_US
        times = training[self.schema.time]
        entities = codes_of(training[self.schema.entity] if self.schema.entity else None, training.rows)
        order = np.lexsort((times, entities))
        gaps = np.diff(times[order])[np.diff(entities[order]) == 0]
        gaps = gaps[gaps > 0]
        return min(MISSED_ROWS * int(np.median(gaps)), MAX_GAP_US) if len(gaps) else MAX_GAP_US

    def computed(self, program: Program) -> tuple[str, ...]:
        """What is to be seen of a program, in its order: its columns, and those that the config sets aside."""
        every = (*self.columns(), *(name for operation in program.operations for name in operation.outputs))
        wanted = {*program.outputs, *self.features.aside}
        return tuple(name for name in dict.fromkeys(every) if name in wanted)

    def no_rows(self) -> Batch:
        """Typed columns without a row: with them a declaration is checked and nothing is learnt."""
        nothing, _ = self.schema.split(Batch({name: np.empty(0, dtype=object) for name in self.schema.fields}))
        return nothing


def check_design(config: Config) -> list[Problem]:
    """Everything that keeps the parts of a config from working together; opens nothing."""
    design = Design.of(config)
    return [
        *_check_columns(design),
        *problems_in(design.derived),
        *(problems_in(lambda: _compile(design), "$.features") or _check_names(design)),
        *(problems_in(lambda: build("detectors", design.detector, "$.detector")) or _check_detector(design)),
        *problems_in(lambda: build("thresholds", design.threshold, "$.threshold")),
        *_check_clock(config),
    ]


def problems_in(step: Callable[[], Any], where: str = "") -> list[Problem]:
    """What a step of the building refuses; an empty list if it succeeds."""
    try:
        step()
    except ConfigError as error:
        return list(error.problems)
    except TocsinError as error:
        problem = error.problem
        place = f"{where} ({problem.where})" if where else problem.where
        return [Problem(place, problem.got, problem.wanted, problem.hint)]
    return []


def _check_columns(design: Design) -> list[Problem]:
    fields = design.schema.fields
    return [
        Problem(
            f"$.features.columns[{index}]",
            f'"{name}"' + (f", a {fields[name].dtype}" if name in fields else ""),
            f"a numeric field: {', '.join(design.schema.numeric)}",
            did_you_mean(name, design.schema.numeric) or "derive a category feature from text",
        )
        for index, name in enumerate(design.features.columns)
        if name not in fields or fields[name].dtype not in NUMERIC
    ]


def _check_names(design: Design) -> list[Problem]:
    """Columns that no feature gives; those of a vocabulary (`protocol=tcp`) are known after training alone."""
    try:
        whole = design.program(design.no_rows())
    except TocsinError:
        return []  # said already, part by part
    known = {*design.columns(), *(name for operation in whole.operations for name in operation.outputs)}
    aside = [
        Problem(
            f"$.features.aside[{index}]", f'"{name}"', "a column that is computed",
            did_you_mean(name, known) or "where a preset set it aside, `aside: []` begins anew",
        )
        for index, name in enumerate(design.features.aside)
        if name not in known and "=" not in name
    ]  # fmt: skip
    fields = [
        Problem(f"$.features.names.{name}", "a field", "a column that a feature derives", "give the field an alias")
        for name in design.features.names
        if name in design.schema.fields
    ]
    return aside + fields


def _check_detector(design: Design) -> list[Problem]:
    """Columns that it names and nothing gives; rows that follow each other where there is no time."""
    if design.steps > 1 and design.schema.time is None:
        got = f"{design.detector.type}, which looks at {design.steps} rows that follow each other, without a clock"
        return [Problem("$.detector", got, "schema.time, or a detector of single rows")]
    try:
        names = design.program(design.no_rows()).outputs
    except TocsinError:
        return []  # said already, part by part
    if any(feature.learn(design.schema, design.no_rows()) for feature in design.derived()):
        return []  # a vocabulary may bring the column
    return problems_in(lambda: cast("Detector", build("detectors", design.detector)).meet(names), "$.detector")


def _compile(design: Design) -> None:
    try:
        derived = design.derived()
    except ConfigError:
        return  # said already, part by part
    if set(design.columns()) - set(design.schema.numeric):
        return
    design.program(design.no_rows(), derived)


def _check_clock(config: Config) -> list[Problem]:
    schema, problems = config.schema_, []
    if schema.time is None:
        budget, at_most = config.alerts.budget, config.alerts.at_most
        if budget.per_day is not None:
            got = f'"{budget.text}" without a clock'
            problems.append(Problem("$.alerts.budget", got, "a share of the rows such as 1% or 5/1000 rows"))
        if at_most is not None:
            problems.append(Problem("$.alerts.at_most", f'"{at_most.text}" without a clock', "no such limit"))
        if config.labels is not None and config.labels.windows is not None:
            wanted = "schema.time, or labels as a column"
            problems.append(Problem("$.labels.windows", "windows without a clock", wanted))
    if config.split.by == "entity" and schema.entity is None:
        problems.append(Problem("$.split.by", "entity", "time, since the schema names no entity field"))
    if config.test is None and config.split.train + config.split.calibration >= 1:
        got = f"train {config.split.train:g} and calibration {config.split.calibration:g}, all of history"
        problems.append(Problem("$.split", got, "a part to judge on, or a source of test rows as $.test"))
    return problems
