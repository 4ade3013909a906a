"""What `tocsin bench` finds on every named set: Tocsin as it is shipped beside what people would take instead.

No bar: the table of docs/bench.md is made from it.
"""

from __future__ import annotations

import os
from pathlib import Path

import orjson

from tocsin import log
from tocsin.bench.cases import named
from tocsin.bench.peers import missing
from tocsin.bench.run import judge
from tocsin.bench.table import document, markdown

DATA = Path(os.environ.get("TOCSIN_DATA", ""))


def main(out: Path) -> None:
    """Measure, print a table, write the JSON."""
    log.configure("error")
    judged = list(judge(named((), DATA)))
    print(markdown(judged, missing()))
    out.write_bytes(orjson.dumps(document(judged, missing()), option=orjson.OPT_INDENT_2))
