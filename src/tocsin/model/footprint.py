"""What a model will compute and keep, told before it has seen a row."""

from __future__ import annotations

from dataclasses import dataclass

from tocsin.kernel.plan import WORD_BYTES
from tocsin.kernel.run import ENTITY_BYTES, Kernel
from tocsin.model.design import Design
from tocsin.records import SECOND


@dataclass(frozen=True, slots=True)
class Share:
    """What one feature takes."""

    feature: str
    columns: tuple[str, ...]
    """As far as they are declared; a vocabulary brings more."""
    bytes_per_entity: int = 0
    remembers_s: float = 0.0
    """Seconds after which nothing that it saw has any effect."""
    learns: bool = False
    """Whether training rows add to it."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a model takes, feature by feature and in all."""

    shares: tuple[Share, ...]
    bytes_per_entity: int
    entities: int
    """How many of them hold state at once."""
    fingerprint: str | None
    """Of the feature program, if it needs no training rows to be known."""

    @property
    def bytes(self) -> int:
        """Memory of all entities together."""
        return self.bytes_per_entity * self.entities


def footprint(design: Design, entities: int | None = None) -> Footprint:
    """What a model of this design takes for so many entities, by default as many as it may hold; opens nothing."""
    schema, columns, derived = design.schema, design.columns(), design.derived()
    programs = [design.program(design.no_rows(), derived[:number]) for number in range(len(derived) + 1)]
    kernel = Kernel(design.sequence(programs[-1], design.no_rows()))
    plan = kernel.plan
    shares = [Share("fields", columns)] if columns else []
    for feature, spec, before, program in zip(derived, design.features.derive, programs, programs[1:], strict=False):
        actions = plan.actions[len(before.operations) : len(program.operations)]
        shares.append(
            Share(
                spec.type,
                program.outputs[len(before.outputs) :],
                WORD_BYTES * sum(action.words for action in actions),
                max((action.horizon for action in actions), default=0) / SECOND,
                bool(feature.learn(schema, design.no_rows())),
            )
        )
    learns = any(share.learns for share in shares)
    if design.steps > 1:
        last = plan.actions[-1]
        shares.append(Share("rows before", (), WORD_BYTES * last.words, last.horizon / SECOND))
    if plan.repeats is not None:
        shares.append(Share("last keys", (), WORD_BYTES * plan.repeats.words))
    if plan.words:
        shares.append(Share("name and place", (), ENTITY_BYTES))
    return Footprint(
        tuple(shares),
        kernel.bytes_per_entity,
        (entities or design.entities) if schema.entity else 1,
        None if learns else kernel.program.fingerprint,
    )
