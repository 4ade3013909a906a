"""Every column of a model before it is trained: where it comes from, in which unit, over which time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tocsin.features.base_units import units
from tocsin.features.base_windows import window_text
from tocsin.kernel.program import Operation, Program
from tocsin.model.design import Design
from tocsin.records import SECOND

FIELD = "field"
_GROUPS: Mapping[str, str] = {
    "log1p": "log_scale", "panes": "rolling", "recent": "rolling", "one_hot": "category", "hash_one_hot": "category",
    "code": "category", "distinct": "fan_out", "share": "frequency", "quantiles": "quantile",
}  # fmt: skip
"""Operations by the feature that they stand for, where the two differ in name."""
_ON_ITS_OWN_SCALE = ("magnitude", "linear")
"""What such an operation writes belongs to the group of what it reads."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the catalogue."""

    name: str
    group: str
    """That of a field, or the feature that computes the column; a counter's rate stands for the counter."""
    unit: str
    inputs: tuple[str, ...] = ()
    """The columns that it is computed from; none for a field."""
    window: str = ""
    """How far back it looks, as `10m`; "" for what looks at the row alone."""
    shown: bool = True
    """Whether the detector is shown it."""


def columns(design: Design) -> tuple[Column, ...]:
    """The columns of a design in their order: fields that enter as they are, then what features derive.

    What a vocabulary will bring is known after training alone.
    """
    whole = design.program(design.no_rows())
    fields = tuple(
        Column(name, design.schema.fields[name].group or FIELD, design.schema.fields[name].unit)
        for name in design.columns()
    )
    aside = design.features.aside
    found = (*fields, *_derived(design, whole))
    return tuple(
        Column(item.name, item.group, item.unit, item.inputs, item.window, item.name not in aside) for item in found
    )


def _derived(design: Design, program: Program) -> Iterator[Column]:
    known = units(design.schema, program)
    groups = {name: item.group or FIELD for name, item in design.schema.fields.items()}
    wanted = frozenset(design.computed(program))
    between: dict[str, tuple[str, ...]] = {}
    """What nobody sees of an operation that serves another -> what it was computed from."""
    for operation in program.operations:
        group = _group(design, operation, groups)
        sources = [source for name in operation.inputs for source in between.get(name, (name,))]
        for name in operation.outputs:
            groups[name] = group
            if name in wanted:
                yield Column(name, group, known[name], tuple(dict.fromkeys(sources)), _window(operation))
            else:
                between[name] = operation.inputs


def _group(design: Design, operation: Operation, groups: Mapping[str, str]) -> str:
    first = design.schema.fields.get(operation.inputs[0]) if operation.inputs else None
    counted = operation.kind == "rate" and first is not None and first.kind == "counter"
    if counted or operation.kind in _ON_ITS_OWN_SCALE:
        return groups[operation.inputs[0]]
    return _GROUPS.get(operation.kind, operation.kind)


def _window(operation: Operation) -> str:
    constants = operation.constants
    if "pane_us" in constants:
        return window_text(constants["pane_us"] * constants["panes"] / SECOND)
    span = constants.get("window_us") or constants.get("half_life_us")
    return window_text(span / SECOND) if span else ""
