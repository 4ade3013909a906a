"""What a model is once it has learnt, as a bundle keeps it: written, and rebuilt from nothing but the bundle."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from tocsin.component import Part, PartSpec, build, part_spec
from tocsin.config import FeaturesConfig, PreparationConfig
from tocsin.detectors.base import Detector
from tocsin.errors import IntegrityError
from tocsin.kernel.program import Program
from tocsin.kernel.run import Kernel
from tocsin.model.bundle import Bundle
from tocsin.model.design import Design
from tocsin.model.profile import Profile, described
from tocsin.model.training_rows import TrainingRows
from tocsin.preparation import Preparation
from tocsin.records import Matrix, Vector
from tocsin.schema import Schema, describe
from tocsin.thresholds.base import AlertBudget, Threshold

KIND = "tocsin.anomaly_model"
GOLDEN_ROWS = 16


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """The pieces that belong together; their content and arrays are the model's identity."""

    design: Design
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
            "code": version("tocsin"),
            "schema": describe(design.schema),
            "features": design.features.model_dump(mode="json"),
            "program": self.kernel.program.to_json(),
            "preparation": design.preparation.model_dump(mode="json"),
            "detector": _named(self.detector, design.detector),
            "threshold": _named(self.threshold, design.threshold),
            "threshold_state": {
                name: item for name, item in self.threshold.state().items() if not isinstance(item, np.ndarray)
            },
            "budget": {"per_day": budget.per_day, "per_row": budget.per_row, "cooldown_s": budget.cooldown_s},
            "entities": design.entities,
            "inputs": sorted(self.inputs),
            "share": self.share,
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What was learnt, by room and name."""
        threshold = {name: item for name, item in self.threshold.state().items() if isinstance(item, np.ndarray)}
        return {
            **_under("preparation", self.preparation.state()),
            **_under("detector", self.detector.state()),
            **_under("threshold", threshold),
            **_under("training", self.training.state()),
            **self.profile.state(),
            "golden.features": self.golden,
            "golden.scores": self.golden_scores,
        }

    @classmethod
    def restore(cls, bundle: Bundle, outside: Collection[str] = ()) -> Self:
        """What `content` and `arrays` wrote; see `AnomalyModel.from_bundle`."""
        if bundle.content.get("kind") != KIND:
            raise IntegrityError("model", f"kind {bundle.content.get('kind')!r}", KIND)
        foreign = {name for name in part_types(bundle.content) if "/" in name} - set(outside)
        if foreign:
            hint = "name it in the config of this machine if you trust it"
            raise IntegrityError("model", f"parts of other packages: {', '.join(sorted(foreign))}", "our own", hint)
        try:
            return cls._rebuild(bundle)
        except IntegrityError:
            raise
        except Exception as error:  # a hostile manifest may break anything: every break is the same refusal
            got = f"a manifest that cannot be rebuilt ({error})"
            raise IntegrityError("model", got, "a model of Tocsin") from error

    @classmethod
    def _rebuild(cls, bundle: Bundle) -> Self:
        content, arrays = bundle.content, bundle.arrays
        design = Design(
            Schema.model_validate(content["schema"]),
            FeaturesConfig.model_validate(content["features"]),
            PreparationConfig.model_validate(content["preparation"]),
            cast("PartSpec", part_spec(content["detector"])),
            cast("PartSpec", part_spec(content["threshold"])),
            AlertBudget(**content["budget"]),
            content["entities"],
        )
        if type(design.entities) is not int or design.entities < 1:
            raise IntegrityError("model entities", repr(design.entities)[:80], "a whole number of at least 1")
        detector = cast("Detector", build("detectors", design.detector, "$.detector"))
        threshold = cast("Threshold", build("thresholds", design.threshold, "$.threshold"))
        kernel = Kernel(Program.from_json(content["program"]), entities=design.entities)
        seen = len(kernel.program.outputs)
        width = seen // detector.steps
        if width * detector.steps != seen:
            raise IntegrityError("model program", f"{seen} columns", f"some columns, {detector.steps} times over")
        for name, shape in {"golden.features": (GOLDEN_ROWS, seen), "golden.scores": (GOLDEN_ROWS,)}.items():
            if arrays[name].shape != shape:
                raise IntegrityError(f"model array {name}", f"shape {arrays[name].shape}", str(shape))
        return cls(
            design=design,
            inputs=frozenset(content["inputs"]),
            share=float(content["share"]),
            kernel=kernel,
            preparation=Preparation.restore(design.preparation, bundle.under("preparation."), width),
            detector=type(detector).restore(detector.parameters(), bundle.under("detector."), width),
            threshold=type(threshold).restore(
                threshold.parameters(), {**content["threshold_state"], **bundle.under("threshold.")}
            ),
            training=TrainingRows.restore(bundle.under("training."), width),
            profile=Profile.restore(arrays, len(described(design.schema))),
            golden=arrays["golden.features"],
            golden_scores=arrays["golden.scores"],
        )


def part_types(content: Any) -> set[str]:
    """Every `type` anywhere in a manifest or a config: whatever could lead to an import."""
    if isinstance(content, Mapping):
        own = {content["type"]} if isinstance(content.get("type"), str) else set()
        return own.union(*(part_types(item) for item in content.values()))
    if isinstance(content, list | tuple):
        return set().union(*(part_types(item) for item in content))
    return set()


def _named(fitted: Part, spec: PartSpec) -> dict[str, Any]:
    """A part with all its parameters, under the name that finds it again: a class does not know its package."""
    return {**fitted.spec().to_json(), "type": spec.type}


def _under(room: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {f"{room}.{name}": array for name, array in arrays.items()}
