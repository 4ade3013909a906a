"""Whether the golden hash would notice: a constant, a word of memory or an operator that is another one."""

from __future__ import annotations

import ast
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np
import pytest

import tocsin
from tocsin.errors import IntegrityError, SchemaError
from tocsin.kernel import golden
from tocsin.kernel.program import Operation, Program
from tocsin.kernel.run import Kernel
from tocsin.records import SECOND, Batch

FOLDER = Path(golden.__file__).parent
OPERATIONS = golden.program().operations
STREAM = golden.stream()
SAMPLE = 16
"""Mutants that a run of the tests takes; another seed takes others."""
NEVER_ENDS_S = 20

OTHER = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
ARITHMETIC = (
    "arithmetic", "columns", "counts", "decay", "quantiles", "rates", "recent", "repeats", "returns", "scores",
    "seasons", "sequences", "values", "windows",
)  # fmt: skip
NOT_FELT = {"panes-11-min_count", "recent-15-min_count", "share-30-bins"}
"""A count is told however small it is; three values meet in no bin."""
UNNOTICED = {
    # Other centuries, and what lies below the last digit of nearly every logarithm.
    "arithmetic": {
        "era_day - era_day // 1460", "era_day - era_day // 1460 + era_day // 36524",
        "era_day - era_day // 1460 + era_day // 36524 - era_day // 146096",
        "365 * year + year // 4 - year // 100", "5 * year_day + 2",
        "(x - (share - 1.0)) / share", "exponent * _LN2_LOW + lost",
    },
    # Guards against a memory that came from a file.
    "quantiles": {"self.first - 1", "self.cells - 1"},
    "values": {"self.last + 1"},
    # Cells of a ring, which may be taken in any order.
    "rates": {"pairs - 1", "at + self.words", "seconds + slack", "SLACK_SHARE * seconds"},
    "repeats": {"at + 1", "count + 1"},
    # Of two values, one of which is the row's own.
    "returns": {"oldest + 1"},
    # A correction for the rounding of a mean, mostly 0.
    "recent": {"rest * rest / held", "squares -= rest * rest / held"},
    # Not in the way of a row.
    "sequences": {"steps - 1"},
    "windows": {"pane_us * panes"},
}  # fmt: skip
"""What may be another operator without one bit of the golden stream being another, by module."""


def told(operations: tuple[Operation, ...]) -> str:
    """The hash of these operations' outputs, or why there are none."""
    names = tuple(name for operation in operations for name in operation.outputs)
    try:
        kernel = Kernel(Program(operations, names, "time", "host", ("id",)), entities=golden.ENTITIES)
        return golden.hashed(kernel.run(STREAM, kernel.start()))
    except (IntegrityError, SchemaError) as error:
        return str(error)


def changed(constants: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each constant with another value of its kind."""
    for name, value in constants.items():
        if isinstance(value, bool):
            yield name, not value
        elif isinstance(value, int | float):
            yield name, value * 2
        elif isinstance(value, list | tuple) and len(value) > 1:
            yield name, [value[-1], *value[1:-1], value[0]]


CHANGED = [
    pytest.param(number, name, value, id=f"{operation.kind}-{number}-{name}")
    for number, operation in enumerate(OPERATIONS)
    for name, value in changed(operation.constants)
    if f"{operation.kind}-{number}-{name}" not in NOT_FELT
]


@pytest.mark.parametrize(("number", "name", "value"), CHANGED)
def test_another_constant_gives_other_bits(number: int, name: str, value: Any) -> None:
    other = replace(OPERATIONS[number], constants={**OPERATIONS[number].constants, name: value})
    assert told((*OPERATIONS[:number], other, *OPERATIONS[number + 1 :])) != told(OPERATIONS)


def test_another_word_of_memory_gives_other_bits() -> None:
    constants = {"pane_us": 5 * SECOND, "panes": 4, "statistics": ["count", "sum"], "min_count": 1}
    kernel = Kernel(Program((Operation("panes", ("x",), ("n", "sum"), constants),), ("n", "sum"), "time"))
    rows = Batch({"time": np.arange(80) * SECOND, "x": 100 + np.arange(80.0) % 7})

    def continued(word: int | None) -> str:
        state = kernel.start()
        kernel.run(rows.take(slice(0, 44)), state)
        if word is not None:
            state.slabs[0, word] ^= 2**45
        return golden.hashed(kernel.run(rows.take(slice(44, None)), state))

    # Not the first two, by which others are found. Counts and sums of panes that left the window lie there unread.
    noticed = [continued(word) != continued(None) for word in range(2, kernel.plan.words)]
    assert sum(noticed) >= 8


class Operator:
    """An operator of a module of the kernel, in a function that is run for every row."""

    def __init__(self, module: str, number: int) -> None:
        self.module = module
        self.number = number

    def __repr__(self) -> str:
        tree = ast.parse((FOLDER / f"{self.module}.py").read_text(encoding="utf-8"))
        node = operators(tree)[self.number]
        return f"{self.module}.py:{node.lineno}: {ast.unparse(node)}"

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """The sources of the kernel, one of them with another operator."""
        if not name.startswith("tocsin.kernel."):
            return None
        loader = mutating(self.number) if name == f"tocsin.kernel.{self.module}" else SourceFileLoader
        return FileFinder(str(FOLDER), (loader, SOURCE_SUFFIXES)).find_spec(name)


def operators(tree: ast.Module) -> list[ast.BinOp | ast.AugAssign]:
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
    return [
        node
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in OTHER
    ]


def mutating(number: int) -> type[SourceFileLoader]:
    class Mutating(SourceFileLoader):
        def get_code(self, fullname: str) -> CodeType:
            tree = ast.parse(self.get_data(self.path))
            node = operators(tree)[number]
            node.op = OTHER[type(node.op)]()
            code: CodeType = compile(tree, self.path, "exec")
            return code

    return Mutating


def all_operators() -> list[Operator]:
    trees = {module: ast.parse((FOLDER / f"{module}.py").read_text(encoding="utf-8")) for module in ARITHMETIC}
    return [
        Operator(module, number)
        for module, tree in trees.items()
        for number, node in enumerate(operators(tree))
        if ast.unparse(node) not in UNNOTICED.get(module, ())
    ]


@contextmanager
def in_place_of_the_kernel(mutant: Operator) -> Iterator[None]:
    """While this lasts, what is imported of the kernel is the mutant."""
    taken = {name: module for name, module in sys.modules.items() if f"{name}.".startswith("tocsin.kernel.")}
    finders = list(sys.meta_path)

    def forget() -> None:
        for name in [name for name in sys.modules if f"{name}.".startswith("tocsin.kernel.")]:
            del sys.modules[name]

    forget()
    # First, since it may put a finder of its own in front.
    import_module("tocsin.kernel")
    sys.meta_path.insert(0, mutant)
    try:
        yield
    finally:
        forget()
        sys.modules.update(taken)
        tocsin.kernel = taken["tocsin.kernel"]
        sys.meta_path[:] = finders


def stop(*_: object) -> None:
    raise TimeoutError


def hash_of(mutant: Operator) -> str:
    """The golden hash that it gives, or how it fails."""
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(NEVER_ENDS_S)
    try:
        with in_place_of_the_kernel(mutant):
            from tocsin.kernel.golden import golden as mutated

            return mutated()
    except Exception as error:  # noqa: BLE001  # a mutant may fail in any way
        return type(error).__name__
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_an_operator_in_place_of_another_gives_other_bits(rng: np.random.Generator) -> None:
    mutants = rng.choice(np.array(all_operators(), dtype=object), SAMPLE, replace=False).tolist()
    assert [mutant for mutant in mutants if hash_of(mutant) == golden.golden()] == []
