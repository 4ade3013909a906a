"""From 5G reports to blocks: `python jamming_blocks.py FOLDER OUT` writes train.csv and test.csv for wifi/radio.

FOLDER holds `merged_data.csv.gz` (daisy-field, 5G_JDD). Neighbouring rows resemble each other, so that rows drawn at
random would give the test away: whole blocks of 500 rows are judged, every fifth of them.
"""

from __future__ import annotations

import csv
import gzip
import sys
from pathlib import Path

BLOCK = 500
EVERY = 5


def main(folder: Path, out: Path) -> None:
    """Write both files; cells stay as they are."""
    with gzip.open(folder / "merged_data.csv.gz", "rt", encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    for name, judged in (("train", False), ("test", True)):
        with (out / f"{name}.csv").open("w", encoding="utf-8", newline="") as written:
            writer = csv.writer(written)
            writer.writerow(header)
            writer.writerows(row for number, row in enumerate(rows) if (number // BLOCK % EVERY == 0) == judged)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
