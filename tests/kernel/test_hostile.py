"""Programs that come from elsewhere: whatever their constants say, they are refused, or run within bounds.

The compiled kernel looks at no bounds while it runs, so all that could lead it out of its memory must be refused first.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tocsin.errors import IntegrityError, SchemaError
from tocsin.kernel import golden
from tocsin.kernel.program import Operation, Program
from tocsin.kernel.run import Kernel
from tocsin.records import SECOND, Batch

ENTITIES = 3
MOST_BYTES = 2**25
"""More than that of every entity is no feature but an attack."""
HOSTILE: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([None, True, False, "", "text", "1", "nan", "inf", "1e400", [], {}, [[]], [None], {"hour": []}]),
    st.sampled_from([0, 1, -1, 2, 3, 63, 64, 1_024, 4_096, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1]),
    st.sampled_from([-(2**31), -(2**53), -(2**63)]),
    st.sampled_from([0.0, -0.0, 0.5, -1.5, 1e-300, 1e18, 1e30, 1e308]),
)
OPERATIONS = golden.program().operations
STREAM = golden.stream().take(slice(0, 120))

Path = tuple[Any, ...]
"""Keys and indices that lead to a constant."""


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Where there is something to replace; of a long list, only its ends."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths(item, (*path, key))
    elif isinstance(value, list | tuple):
        for place in sorted({0, len(value) - 1} if value else ()):
            yield from paths(value[place], (*path, place))


def listed(value: Any) -> Any:
    """As JSON would hold it, so that it can be changed."""
    if isinstance(value, dict):
        return {key: listed(item) for key, item in value.items()}
    return [listed(item) for item in value] if isinstance(value, list | tuple) else value


def with_constant(operation: Operation, path: Path, value: Any) -> Operation:
    constants = copy.deepcopy(listed(operation.constants))
    inside = constants
    for step in path[:-1]:
        inside = inside[step]
    inside[path[-1]] = value
    return replace(operation, constants=constants)


def without(operation: Operation, name: str) -> Operation:
    return replace(operation, constants={key: item for key, item in operation.constants.items() if key != name})


def alone(operation: Operation) -> Program:
    """A program of this operation, and of those that write what it reads, as it comes out of a file."""
    needed = [other for other in OPERATIONS if set(other.outputs) & set(operation.inputs)]
    program = Program((*needed, operation), operation.outputs, "time", "host")
    return Program.from_json(orjson.loads(orjson.dumps(program.to_json())))


def outcome(kernel: type[Any], program: Program) -> str:
    """What the kernel makes of the stream, or that it refuses the program or the rows."""
    try:
        made = kernel(program, entities=ENTITIES)
        assert made.bytes_per_entity <= MOST_BYTES
        return golden.hashed(made.run(STREAM, made.start()))
    except (IntegrityError, SchemaError):
        return "refused"


@st.composite
def changed(draw: st.DrawFn, operation: Operation) -> Operation:
    """The operation with one or two of its constants replaced, left out or invented."""
    for _ in range(draw(st.integers(1, 2))):
        places = sorted(paths(listed(operation.constants)), key=repr)
        how = draw(st.sampled_from(["replace"] * 6 + ["leave out", "invent"]))
        if how == "invent" or not places:
            operation = replace(operation, constants={**operation.constants, draw(st.text(max_size=3)): draw(HOSTILE)})
        elif how == "leave out":
            operation = without(operation, str(draw(st.sampled_from(places))[0]))
        else:
            operation = with_constant(operation, draw(st.sampled_from(places)), draw(HOSTILE))
    return operation


@pytest.mark.parametrize("number", range(len(OPERATIONS)), ids=lambda number: f"{number}-{OPERATIONS[number].kind}")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_hostile_constants_are_refused_or_run(number: int, data: st.DataObject) -> None:
    outcome(Kernel, alone(data.draw(changed(OPERATIONS[number]))))


@pytest.mark.parametrize("number", range(len(OPERATIONS)), ids=lambda number: f"{number}-{OPERATIONS[number].kind}")
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_the_sources_refuse_what_the_compiled_kernel_refuses(
    number: int, sources: type[Kernel], data: st.DataObject
) -> None:
    program = alone(data.draw(changed(OPERATIONS[number])))
    assert outcome(sources, program) == outcome(Kernel, program)


@pytest.mark.parametrize("time", [2**60, -(2**60)])
def test_a_time_with_which_64_bits_cannot_reckon_is_refused(time: int) -> None:
    """Differences of such times wrap around, and a window would count a row into memory that is not its own."""
    rows = Operation("panes", (), ("rows",), {"pane_us": 1, "panes": 3, "statistics": ["count"], "min_count": 1})
    kernel = Kernel(Program((rows,), ("rows",), "time"))
    state = kernel.start()
    with pytest.raises(SchemaError):
        kernel.run(Batch({"time": np.array([time])}), state)
    with pytest.raises(ValueError):  # noqa: PT011  # whatever it says
        kernel.step(state, None, time, [])
    assert len(state) == 0


def test_a_program_that_wants_a_mebibyte_of_every_entity_many_times_over_is_refused() -> None:
    wide = {"pane_us": SECOND, "panes": 30, "bins": 4_096, "reads": "number"}
    operations = tuple(Operation("share", ("x",), (f"share_{number}",), wide) for number in range(64))
    assert Kernel(Program(operations[:1], ("share_0",), "time")).bytes_per_entity < MOST_BYTES
    with pytest.raises(IntegrityError):
        Kernel(Program(operations, ("share_0",), "time"))


def test_more_entities_than_any_memory_holds_are_refused() -> None:
    rows = Operation("panes", (), ("rows",), {"pane_us": 1, "panes": 3, "statistics": ["count"], "min_count": 1})
    with pytest.raises(IntegrityError, match="at most a tebibyte"):
        Kernel(Program((rows,), ("rows",), "time"), entities=10**12)
