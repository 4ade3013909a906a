"""Generated telemetry as one batch, and as a file that says so in every row."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tocsin.records import Batch, Column
from tocsin.synthetic.flows import flows
from tocsin.synthetic.frames import frames
from tocsin.synthetic.hosts import hosts
from tocsin.synthetic.plan import Plan
from tocsin.synthetic.services import services
from tocsin.synthetic.wifi import wifi

Kind = Literal["flows", "hosts", "services", "wifi", "frames"]
GENERATORS: Mapping[Kind, Callable[[Plan], Batch]] = {
    "flows": flows,
    "hosts": hosts,
    "services": services,
    "wifi": wifi,
    "frames": frames,
}


def generate(kind: Kind, plan: Plan = Plan()) -> Batch:  # noqa: B008  # frozen
    """Labelled rows of one preset, in time order.

    Raises
    ------
    LimitExceeded
        If there would be more than 5 million rows.
    """
    return GENERATORS[kind](plan)


def to_csv(batch: Batch, path: Path) -> int:
    """Write all columns but those whose names begin with an underscore; the number of rows."""
    names = [name for name in batch if not name.startswith("_")]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(zip(*(_texts(batch[name]) for name in names), strict=True))
    return batch.rows


def _texts(column: Column) -> list[Any]:
    if column.dtype.kind == "M":
        return list(np.datetime_as_string(column, unit="us", timezone="UTC"))
    if column.dtype.kind == "b":
        return list(np.where(column, "true", "false"))
    return list(column.tolist())
