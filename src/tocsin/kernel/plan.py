"""A program made ready: registers for its columns, actions for its operations, a place in the slab for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tocsin.errors import IntegrityError
from tocsin.kernel import encoders
from tocsin.kernel.columns import Calendar, Linear, Log1p, Magnitude, OneHot, Product, Ratio
from tocsin.kernel.decay import Decay
from tocsin.kernel.encoders import Encoder
from tocsin.kernel.frame import Action
from tocsin.kernel.program import Operation, Program
from tocsin.kernel.quantiles import Quantiles
from tocsin.kernel.rates import Rate
from tocsin.kernel.recent import Recent
from tocsin.kernel.repeats import Repeats
from tocsin.kernel.returns import Returns
from tocsin.kernel.scores import ZScore
from tocsin.kernel.seasons import Residual
from tocsin.kernel.sequences import RowSequence
from tocsin.kernel.values import Distinct, Share
from tocsin.kernel.windows import Panes

WORD_BYTES = 8
MAX_SLAB_WORDS = 2**21
"""16 MiB: a program may come from a file, and must not ask for all memory there is."""
_NUMBERS = np.dtype(np.float64)
_TEXT = np.dtype(object)
_TIMES = np.dtype(np.int64)


class Load(NamedTuple):
    """A value of the row on its way into a register."""

    columns: tuple[str, ...]
    """One, or the parts of the key."""
    encoder: Encoder | None
    """How it becomes a number; None if it is one."""
    register: int


class _Kind(NamedTuple):
    """How an operation is made ready."""

    make: Callable[[Mapping[str, Any], Sequence[int], int], Action]
    arity: range = range(1, 2)
    """How many inputs it may have."""
    encoder: Callable[[Mapping[str, Any]], Encoder | None] = lambda _: None


def _of_values(constants: Mapping[str, Any]) -> Encoder | None:
    return {"text": encoders.fingerprints, "number": None}[constants["reads"]]


CLOCKED = "calendar"
"""The operation whose one input is the time itself."""
_KINDS: Mapping[str, _Kind] = {
    "log1p": _Kind(Log1p),
    "ratio": _Kind(Ratio, range(2, 3)),
    "product": _Kind(Product, range(2, 3)),
    "magnitude": _Kind(Magnitude),
    "linear": _Kind(Linear),
    CLOCKED: _Kind(Calendar),
    "one_hot": _Kind(OneHot, encoder=encoders.codes),
    "hash_one_hot": _Kind(OneHot, encoder=encoders.bins),
    # The encoder does it all: a code is its own magnitude.
    "code": _Kind(Magnitude, encoder=encoders.codes),
    "panes": _Kind(Panes, range(2)),
    "rate": _Kind(Rate, range(1, 3)),
    "decay": _Kind(Decay),
    "zscore": _Kind(ZScore),
    "recent": _Kind(Recent, range(2)),
    "residual": _Kind(Residual, range(2, 10)),
    "sequence": _Kind(RowSequence, range(1, 1_025)),
    "distinct": _Kind(Distinct, encoder=_of_values),
    "share": _Kind(Share, encoder=_of_values),
    "quantiles": _Kind(Quantiles),
    "returns": _Kind(Returns, encoder=_of_values),
}


class Plan:
    """What the kernel does with a row.

    Parameters
    ----------
    program
        It may come from a file and is checked as a whole.

    Attributes
    ----------
    actions
        One per operation, in order.
    repeats
        Finds rows that were seen before, if the program names a key.
    loads, stores
        The values that a row brings, and the registers that are the program's outputs.
    reads
        The columns that a batch must have, and their types.
    words
        8-byte words of an entity's slab.
    horizon
        Microseconds after which nothing that an entity did has any effect.

    Raises
    ------
    IntegrityError
        If the program names an operation the kernel lacks, or its constants or names do not fit together.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.fingerprint = program.fingerprint
        self.reads: dict[str, np.dtype[Any]] = {}
        self.loads: list[Load] = []
        self.actions: list[Action] = []
        self._columns: dict[str, int] = {}
        """Registers of what operations have written so far."""
        self._loaded: dict[tuple[tuple[str, ...], Encoder | None], int] = {}
        self.registers = 0
        self._written = {name for operation in program.operations for name in operation.outputs}
        if len(self._written) < sum(len(operation.outputs) for operation in program.operations) or len(
            set(program.outputs)
        ) < len(program.outputs):
            raise IntegrityError("program", "a column that is written twice", "each name once")
        for number, operation in enumerate(program.operations):
            self.actions.append(self._action(f"program operation {number} ({operation.kind})", operation))
        self.stores = [self._input("program outputs", name, None) for name in program.outputs]
        self.repeats = self._repeats()
        self.words = self._lay_out()
        self.horizon = max((action.horizon for action in self.actions), default=0)
        if self.words:
            if program.time is None:
                raise IntegrityError("program", "a window or a rate without a clock", "the name of the time column")
            self._read("program", program.time, _TIMES)

    def _action(self, where: str, operation: Operation) -> Action:
        kind = _KINDS.get(operation.kind)
        if kind is None:
            raise IntegrityError(where, "an unknown kind", f"one of: {', '.join(_KINDS)}")
        if len(operation.inputs) not in kind.arity:
            wanted = " to ".join(str(number) for number in dict.fromkeys((kind.arity[0], kind.arity[-1])))
            raise IntegrityError(where, f"{len(operation.inputs)} inputs", wanted)
        try:
            encoder = kind.encoder(operation.constants)
            inputs = self._inputs(where, operation, encoder)
            action = kind.make(operation.constants, inputs, self.registers)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise IntegrityError(where, f"constants that do not fit: {error}") from error
        if action.width != len(operation.outputs) or not operation.outputs:
            raise IntegrityError(where, f"{len(operation.outputs)} outputs", str(action.width or "at least one"))
        for name in operation.outputs:
            self._columns[name] = self._register()
        return action

    def _inputs(self, where: str, operation: Operation, encoder: Encoder | None) -> list[int]:
        if operation.kind != CLOCKED:
            return [self._input(where, name, encoder) for name in operation.inputs]
        if operation.inputs != (self.program.time,):
            raise IntegrityError(where, f'"{operation.inputs[0]}"', "the name of the time column")
        self._read(where, operation.inputs[0], _TIMES)
        return []

    def _input(self, where: str, name: str, encoder: Encoder | None) -> int:
        dtype = _TEXT if encoder else _NUMBERS
        if name not in self._written:
            self._read(where, name, dtype)
            return self._load((name,), encoder)
        if name not in self._columns or encoder:
            raise IntegrityError(where, f'"{name}" before it is written, or as {dtype}', "an earlier number")
        return self._columns[name]

    def _read(self, where: str, name: str, dtype: np.dtype[Any]) -> None:
        if self.reads.setdefault(name, dtype) != dtype:
            raise IntegrityError(where, f'"{name}" as {dtype}', f"{self.reads[name]}, as elsewhere in the program")

    def _load(self, columns: tuple[str, ...], encoder: Encoder | None) -> int:
        if (columns, encoder) not in self._loaded:
            self._loaded[columns, encoder] = self._register()
            self.loads.append(Load(columns, encoder, self._loaded[columns, encoder]))
        return self._loaded[columns, encoder]

    def _register(self) -> int:
        self.registers += 1
        return self.registers - 1

    def _repeats(self) -> Repeats | None:
        """Nothing is remembered of keys where nothing is remembered of rows."""
        if not self.program.key or not any(action.words for action in self.actions):
            return None
        return Repeats(self._load(self.program.key, encoders.keys))

    def _lay_out(self) -> int:
        words = 0
        for action in [*self.actions, *([self.repeats] if self.repeats else [])]:
            action.at = words
            words += action.words
        if words > MAX_SLAB_WORDS:
            got = f"{words * WORD_BYTES:,} bytes for every entity"
            wanted = f"at most {MAX_SLAB_WORDS * WORD_BYTES:,}"
            raise IntegrityError("program", got, wanted, "take fewer panes, or bits")
        return words
