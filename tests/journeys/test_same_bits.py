"""The same data, config and seed give the same model, on however many threads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

Run = Callable[..., CompletedProcess[str]]
FOREST = ("{type: robust_zscore}", "{type: isolation_forest, trees: 50}")


def test_two_processes_train_one_model(site: Path, configure: Callable[..., Path], in_child: Run) -> None:
    configure(FOREST)
    digests = []
    for threads in ("1", "2"):
        limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)
        done = in_child("train", "--no-plots", "--json", **limits, PYTHONHASHSEED=threads)
        assert done.returncode == 0, done.stderr
        digests.append(json.loads(done.stdout)["model"])
    assert digests[0] == digests[1]


def test_another_seed_other_rows_or_another_budget_is_another_model(
    site: Path, configure: Callable[..., Path], tocsin: Run, lines: list[str]
) -> None:
    def digest() -> str:
        return str(json.loads(tocsin("train", "--no-plots", "--json").stdout)["model"])

    configure(FOREST)
    digests = [digest()]
    configure(FOREST, ("trees: 50", "trees: 50, seed: 7"))
    digests.append(digest())
    configure(FOREST, ("budget: 1%", "budget: 2%"))
    digests.append(digest())
    configure(FOREST)
    (site / "data" / "rows.csv").write_text("\n".join(lines[:-1]) + "\n", "utf-8")
    digests.append(digest())
    assert len(set(digests)) == 4


def test_where_the_files_lie_is_no_part_of_the_model(site: Path, tocsin: Run) -> None:
    here = json.loads(tocsin("train", "--no-plots", "--json").stdout)["model"]
    elsewhere = site / "elsewhere"
    elsewhere.mkdir()
    for name in ("tocsin.yaml", "data", "registry", ".tocsin"):  # another site key is another pseudonym for every host
        (site / name).rename(elsewhere / name)
    there = json.loads(tocsin("-c", elsewhere / "tocsin.yaml", "train", "--no-plots", "--json").stdout)["model"]
    assert there == here
