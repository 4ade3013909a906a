"""What a model is once it has learnt, as a bundle keeps it: written, and rebuilt from nothing but the bundle."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from tocsin.arrays import Array
from tocsin.arrays import checked as arrays_as
from tocsin.component import Part, PartSpec, build
from tocsin.config import Config
from tocsin.detectors.base import Detector
from tocsin.errors import ConfigError, IntegrityError, MissingExtraError
from tocsin.features.base_units import units
from tocsin.kernel.program import Program
from tocsin.kernel.run import Kernel
from tocsin.kernel.sequences import with_sequence, without_sequence
from tocsin.model.bundle import MANIFEST, Bundle
from tocsin.model.design import Design
from tocsin.model.manifest import KIND, Content, Notes, checked
from tocsin.model.profile import Profile, described
from tocsin.model.rounding import short
from tocsin.model.training_rows import TrainingRows
from tocsin.preparation import Preparation
from tocsin.records import Matrix, Vector
from tocsin.schema import NUMERIC, Schema, describe
from tocsin.thresholds.base import Threshold

GOLDEN_ROWS = 16
_TYPES = {"time": np.dtype(np.int64), **dict.fromkeys(NUMERIC, np.dtype(np.float64))}


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """The pieces that belong together; their content and arrays are the model's identity."""

    design: Design
    code: str
    """Version of the Tocsin that fitted it."""
    inputs: frozenset[str]
    """SHA-256 of the files it learnt from."""
    share: float
    """The part of all entities that the calibration rows held."""
    kernel: Kernel
    preparation: Preparation
    detector: Detector
    threshold: Threshold
    training: TrainingRows
    profile: Profile
    golden: Matrix
    """A few training rows as the kernel computed them, (`GOLDEN_ROWS`, steps times d)."""
    golden_scores: Vector
    """What the detector said of them, (`GOLDEN_ROWS`,)."""

    def content(self) -> dict[str, Any]:
        """What goes into the manifest."""
        design, budget = self.design, self.design.budget
        return {
            "kind": KIND,
            "code": self.code,
            "schema": describe(design.schema),
            "features": design.features.model_dump(mode="json"),
            "program": self.kernel.program.to_json(),
            "preparation": design.preparation.model_dump(mode="json"),
            "detector": _named(self.detector, design.detector),
            "threshold": _named(self.threshold, design.threshold),
            "threshold_state": {
                name: item for name, item in self.threshold.state().items() if not isinstance(item, np.ndarray)
            },
            "budget": {"per_day": budget.per_day, "per_row": budget.per_row, "cooldown_s": float(budget.cooldown_s)},
            "entities": design.entities,
            "precision": design.precision,
            "inputs": sorted(self.inputs),
            "share": self.share,
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What was learnt, by room and name."""
        threshold = {name: item for name, item in self.threshold.state().items() if isinstance(item, np.ndarray)}
        detector = self.detector.state()
        if self.design.precision == "float32":
            detector = {name: short(array) for name, array in detector.items()}
        return {
            **_under("preparation", self.preparation.state()),
            **_under("detector", detector),
            **_under("threshold", threshold),
            **_under("training", self.training.state()),
            **self.profile.state(),
            "golden.features": self.golden,
            "golden.scores": self.golden_scores,
        }

    @classmethod
    def restore(cls, bundle: Bundle, outside: Collection[str] = ()) -> Self:
        """What `content` and `arrays` wrote; see `AnomalyModel.from_bundle`."""
        foreign = _foreign(bundle.content) - set(outside)
        if foreign:
            hint = "name it in the config of this machine if you trust it"
            raise IntegrityError("model", f"parts of other packages: {', '.join(sorted(foreign))}", "our own", hint)
        content = checked(Content, bundle.content, "$.content")
        checked(Notes, bundle.notes, "$.notes")
        try:
            fitted = cls._rebuild(content, bundle)
        except (IntegrityError, MissingExtraError):
            raise
        except ConfigError as error:
            problem = error.problem
            raise IntegrityError(f"{MANIFEST} {problem.where}", problem.got, problem.wanted, problem.hint) from error
        except Exception as error:  # the last resort: whatever breaks is no model, and nothing should come as far
            raise IntegrityError(
                "model", f"a manifest that cannot be rebuilt ({error})", "a model of Tocsin"
            ) from error
        if odd := bundle.arrays.keys() ^ fitted.arrays().keys():
            raise IntegrityError("model", f"unknown or missing arrays: {', '.join(sorted(odd))[:200]}", "its own alone")
        return fitted

    @classmethod
    def _rebuild(cls, content: Content, bundle: Bundle) -> Self:
        design = Design(
            content.schema_,
            content.features,
            content.preparation,
            content.detector,
            content.threshold,
            content.budget.budget(),
            content.entities,
            content.precision,
        )
        detector = cast("Detector", build("detectors", design.detector, "$.content.detector"))
        threshold = cast("Threshold", build("thresholds", design.threshold, "$.content.threshold"))
        kernel = Kernel(content.program.program(), entities=design.entities)
        width = len(_declared(kernel.program, detector.steps).outputs)
        _check_reads(kernel, design.schema)
        golden = {
            "features": Array((GOLDEN_ROWS, width * detector.steps), missing=True),
            "scores": Array((GOLDEN_ROWS,)),
        }
        kept = arrays_as(bundle.under("golden."), golden, "golden")
        return cls(
            design=design,
            code=content.code,
            inputs=frozenset(content.inputs),
            share=content.share,
            kernel=kernel,
            preparation=Preparation.restore(design.preparation, bundle.under("preparation."), width),
            detector=type(detector).restore(detector.parameters(), bundle.under("detector."), width),
            threshold=type(threshold).restore(
                threshold.parameters(), {**content.threshold_state, **bundle.under("threshold.")}
            ),
            training=TrainingRows.restore(bundle.under("training."), width),
            profile=Profile.restore(bundle.arrays, len(described(design.schema))),
            golden=kept["features"],
            golden_scores=kept["scores"],
        )


def named_by(config: Config) -> set[str]:
    """Parts of other packages that a config names, and which its models may therefore hold."""
    return _foreign([spec.to_json() for spec in (config.detector, config.threshold, *config.features.derive)])


def _foreign(content: Any) -> set[str]:
    """Every `type` of another package anywhere in a manifest or a config: whatever could lead to an import of it."""
    if isinstance(content, Mapping):
        name = content.get("type")
        own = {name} if isinstance(name, str) and "/" in name else set()
        return own.union(*(_foreign(item) for item in content.values()))
    if isinstance(content, list | tuple):
        return set().union(*(_foreign(item) for item in content))
    return set()


def _declared(program: Program, steps: int) -> Program:
    """The program without what strings its rows together; refused where it does so for another detector."""
    if steps == 1:
        return program
    last = program.operations[-1] if program.operations else None
    if last is not None and last.kind == "sequence" and last.inputs:
        declared = without_sequence(program)
        if with_sequence(declared, steps, last.constants["max_gap_us"]) == program:
            return declared
    raise IntegrityError("model program", "no sequence that its detector could look at", f"one of {steps} rows")


def _check_reads(kernel: Kernel, schema: Schema) -> None:
    """A program reads what the schema has, as what it is, and has the same clock, entity and key."""
    types = {name: _TYPES.get(field.dtype, np.dtype(object)) for name, field in schema.fields.items()}
    for name, dtype in kernel.plan.reads.items():
        if name not in types or types[name] != dtype:
            wanted = f"{types.get(name, 'a column')}, as in the schema"
            raise IntegrityError("model program", f'"{name[:80]}" as {dtype}', wanted)
    program = kernel.program
    if (program.time, program.entity, program.key) != (schema.time, schema.entity, schema.key):
        raise IntegrityError("model program", "another time, entity or key", "those of the schema")
    try:
        units(schema, program)
    except (LookupError, TypeError, AttributeError) as error:
        raise IntegrityError(
            "model program", f"constants that tell no unit ({error})", "those of its features"
        ) from error


def _named(fitted: Part, spec: PartSpec) -> dict[str, Any]:
    """A part with all its parameters, under the name that finds it again: a class does not know its package."""
    return {**fitted.spec().to_json(), "type": spec.type}


def _under(room: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {f"{room}.{name}": array for name, array in arrays.items()}
