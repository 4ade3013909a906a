"""What an alert is about: the column of the telemetry whose features gave most of its score.

One feature of a column stands for another from row to row, as noise has it; the column stays. So the shares of all
features of a column are added up, and a cause is one of the few names that the schema has.
"""

from __future__ import annotations

import numpy as np

from tocsin.kernel.program import Program
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.records import Matrix

ROWS = "rows"
"""What counts the rows themselves goes back to no field."""


def columns_behind(program: Program) -> tuple[str, ...]:
    """For each output of a program the field that it goes back to, by the first input of each operation."""
    behind: dict[str, str] = {}
    for operation in program.operations:
        for name in operation.outputs:
            first = operation.inputs[0] if operation.inputs else ROWS
            behind[name] = behind.get(first, first)
    return tuple(behind.get(name, name) for name in program.outputs)


def causes(model: AnomalyModel, values: Matrix) -> list[str]:
    """The cause of each row of features as they were computed, (n, steps * d)."""
    if not len(values):
        return []
    columns, numbers = np.unique(columns_behind(model.program), return_inverse=True)
    shares = np.maximum(model.explainer.contributions(values), 0.0)
    of_column = shares @ np.eye(len(columns))[numbers]
    return [str(columns[place]) for place in of_column.argmax(axis=1)]
