"""The gate zoo: saboteurs that no gate may let through, and honest refits that none may stop.

A saboteur counts as rejected if its verdict fails, and for its own reason if a gate that is meant for it is among those
that say so. A ladder tells the weakest strength at which it is still rejected. An honest refit (other weeks, another
seed, a few more or fewer entities, telemetry that grows) counts as accepted if its verdict passes and asks nobody.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
from benchmarks._saboteurs import installed
from benchmarks._zoo import SABOTEURS, WORLDS, Judged, Saboteur, World, Zoo, nsl_kdd

from tocsin import log

LEAST_ACCEPTED = 0.9


def main(out: Path) -> None:
    """Measure, print the tables, write the JSON."""
    log.configure("error")
    with installed():
        results = {world.preset: _of(world) for world in _worlds()}
    bars = {}
    for preset, found in results.items():
        saboteurs, refits = found["saboteurs"].values(), found["refits"].values()
        right = sum(case["right"] for case in saboteurs)
        accepted = sum(case["accepted"] for case in refits)
        bars[f"{preset}: every saboteur rejected for its own reason"] = right == len(saboteurs)
        bars[f"{preset}: {LEAST_ACCEPTED:.0%} of the honest refits accepted"] = accepted >= LEAST_ACCEPTED * len(refits)
        print(f"{preset}: {right} of {len(saboteurs)} saboteurs rejected, {accepted} of {len(refits)} refits accepted")
    out.write_bytes(orjson.dumps({**results, "bars": bars}, option=orjson.OPT_INDENT_2))


def _worlds() -> Iterator[World]:
    yield from WORLDS
    if folder := os.environ.get("TOCSIN_DATA"):
        yield nsl_kdd(Path(folder))
    else:
        print("flows/nsl_kdd left out: TOCSIN_DATA does not name the folder of real data")


def _of(world: World) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        zoo = Zoo(world, Path(folder))
        print(f"{world.preset}, an honest champion: {'passed' if zoo.first.passed else 'refused'}")
        saboteurs = {one.name: _ladder(zoo, one) for one in SABOTEURS if not one.needs or getattr(world, one.needs)}
        refits = {name: _refit(name, zoo.judged(refit)) for name, refit in world.honest()}
    return {"saboteurs": saboteurs, "refits": refits}


def _ladder(zoo: Zoo, saboteur: Saboteur) -> dict[str, Any]:
    """A saboteur at its full strength, then weaker and weaker until it is not rejected."""
    ladder: dict[float, Judged] = {}
    for strength in (saboteur.strength, *saboteur.weaker):
        ladder[strength] = zoo.spoilt(saboteur, strength)
        if not ladder[strength].rejected:
            break
    at_full = ladder[saboteur.strength]
    weakest = [strength for strength, found in ladder.items() if found.rejected][-1:]
    print(
        f"  {saboteur.name:28}{saboteur.strength:7g} {saboteur.unit:12}"
        f"{f'down to {weakest[0]:g}' if weakest else 'not rejected':16}{', '.join(at_full.refused_by)}",
        flush=True,
    )
    return {
        "strength": saboteur.strength,
        "unit": saboteur.unit,
        "right": bool(saboteur.gates & set(at_full.refused_by)),
        "weakest_rejected": weakest[0] if weakest else None,
        "ladder": [{"strength": strength, **asdict(found)} for strength, found in ladder.items()],
    }


def _refit(name: str, found: Judged) -> dict[str, Any]:
    if not found.accepted:
        print(f"  {name}: {'; '.join(found.reasons)}", flush=True)
    return {"accepted": found.accepted, **asdict(found)}
