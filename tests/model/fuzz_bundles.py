"""A child that loads mutants of bundles one after the other: `fuzz_bundles.py FOLDER SEED COUNT`.

A mutant of the files is sealed anew, so that it is not refused for its hash; one of the arrays is what a reader would
make of sealed files. Both reach the structure behind the hashes. What comes of it is printed as JSON. A crash ends the
process, as does a mutant that takes longer than ten seconds; which one it was is the last line on standard error.
"""

from __future__ import annotations

import resource
import signal
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from tocsin.checks.mutants import mutants
from tocsin.errors import TocsinError
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.bundle import ARRAYS, MANIFEST, Bundle, digest, pack, unpack
from tocsin.model.documents import canonical, sha256

LOAD_S = 10
MEMORY = 4 * 2**30
PARTS = ("content", "content", "content", "notes", "arrays")
LAST_RESORT = "cannot be rebuilt"
VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2**31, 2**53, 2**63 - 1, -1e308, 1e308, 5e-324, 0.5, "", "x", "load", "time",
    "x" * 5_000, "../../etc/passwd", "\x00", "\u202e", "os/system", [], [0], ["x"] * 300, {},
    {"type": "isolation_forest"},
    [[[[[[[[[[]]]]]]]]]],
)  # fmt: skip

Manifest = dict[str, Any]
Files = dict[str, bytes]


def seal(manifest: Manifest) -> bytes:
    """Canonical JSON with its own hash, of whatever can be written so."""
    manifest = {key: item for key, item in manifest.items() if key != "sha256"}
    return canonical({**manifest, "sha256": sha256(canonical(manifest, "mutant"))}, "mutant")


def change_array(bundle: Bundle, random: np.random.Generator) -> Bundle:
    """Other numbers, another order, another shape or type."""
    name = random.choice(sorted(bundle.arrays))
    changed = list(mutants(bundle.arrays[name], random))
    _, mutant = changed[random.integers(len(changed))]
    return Bundle(bundle.content, {**bundle.arrays, name: mutant}, bundle.notes)


def change_bits(bundle: Bundle, random: np.random.Generator) -> Bundle:
    """A few bits of one array turned over."""
    name = random.choice(sorted(bundle.arrays))
    array = bundle.arrays[name].copy()
    raw = array.reshape(-1).view(np.uint8)
    if len(raw):
        for place in random.integers(len(raw), size=random.integers(1, 9)):
            raw[place] ^= np.uint8(1 << random.integers(8))
    return Bundle(bundle.content, {**bundle.arrays, name: array}, bundle.notes)


def change_names(bundle: Bundle, random: np.random.Generator) -> Bundle:
    """Two arrays that changed places, one that is gone, or one more."""
    names = sorted(bundle.arrays)
    one, other = random.choice(names), random.choice(names)
    arrays = {**bundle.arrays, one: bundle.arrays[other], other: bundle.arrays[one]}
    match random.integers(3):
        case 0:
            arrays.pop(one)
        case 1:
            arrays[f"detector.{random.integers(9)}"] = bundle.arrays[one]
    return Bundle(bundle.content, arrays, bundle.notes)


def change_value(bundle: Bundle, random: np.random.Generator) -> Files:
    """A value of the manifest replaced, taken away or added; sealed with the digest that a reader will find."""
    files = pack(bundle)
    manifest = orjson.loads(files[MANIFEST])
    part = manifest[PARTS[random.integers(len(PARTS))]] if random.random() < 0.95 else manifest
    places = list(places_in(part))
    holder, key = places[random.integers(len(places))]
    match random.integers(8):
        case 0:
            holder.pop(key)
        case 1 if isinstance(holder, list):
            holder.insert(key, holder[key])
        case 1:
            holder[str(random.choice(["more", "type", "", "n" * 300]))] = holder[key]
        case 2 if isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
            holder[key] = random.choice([holder[key] + 1, holder[key] - 1, -holder[key], holder[key] * 1_000])
            holder[key] = holder[key].item()
        case 3 if isinstance(holder, list):
            holder[key] = holder[random.integers(len(holder))]
        case _:
            holder[key] = VALUES[random.integers(len(VALUES))]
    return resealed(manifest, files[ARRAYS])


def change_packed(bundle: Bundle, random: np.random.Generator) -> Files:
    """Bytes of the stream of arrays: cut, lengthened, turned over, or a bomb; sealed with their hash."""
    files = pack(bundle)
    packed = bytearray(files[ARRAYS])
    match random.integers(4):
        case 0:
            packed = packed[: random.integers(len(packed))]
        case 1:
            packed += random.bytes(int(random.integers(1, 64)))
        case 2:
            packed[random.integers(len(packed))] ^= 1 << random.integers(8)
        case 3:
            packed = bytearray(zlib.compress(bytes(int(random.integers(2**24)))))
    return resealed(orjson.loads(files[MANIFEST]), bytes(packed))


def places_in(holder: Any) -> Iterator[tuple[Any, Any]]:
    """Every mapping and list within one, with each of its keys."""
    for key in range(len(holder)) if isinstance(holder, list) else sorted(holder):
        yield holder, key
        if isinstance(holder[key], dict | list):
            yield from places_in(holder[key])


def resealed(manifest: Manifest, packed: bytes) -> Files:
    """Files with the hashes and the digest that a reader will compute, where there are any."""
    if isinstance(manifest.get("files"), dict):
        manifest["files"] = {ARRAYS: {"sha256": sha256(packed), "size": len(packed)}}
    with suppress(Exception):  # what a reader cannot compute either
        raw, arrays, at = zlib.decompress(packed), {}, 0
        for entry in manifest["arrays"]:
            size = int(np.prod(entry["shape"])) * np.dtype(entry["dtype"]).itemsize
            arrays[entry["name"]] = np.frombuffer(raw[at : at + size], entry["dtype"]).reshape(entry["shape"])
            at += size
        manifest["digest"] = digest(manifest["content"], arrays)
    return {MANIFEST: seal(manifest), ARRAYS: packed}


CHANGES: tuple[Callable[[Bundle, np.random.Generator], Files | Bundle], ...] = (
    change_array, change_array, change_bits, change_bits, change_value, change_value, change_value, change_names,
    change_packed,
)  # fmt: skip


def main(folder: Path, seed: int, count: int) -> None:
    """Load so many mutants of the bundles in a folder and say what came of them."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    bundles = {
        path.name: unpack({name: (path / name).read_bytes() for name in (MANIFEST, ARRAYS)})
        for path in sorted(folder.iterdir())
    }
    random = np.random.default_rng(seed)
    found: Counter[str] = Counter()
    slowest = 0.0
    np.seterr(all="ignore")
    for number in range(count):
        name = str(random.choice(sorted(bundles)))
        change = CHANGES[random.integers(len(CHANGES))]
        try:
            mutant = change(bundles[name], random)
        except TocsinError:
            found["not written"] += 1  # what the writer refuses is no file that a reader could be given
            continue
        sys.stderr.write(f"{seed} {number} {name} {change.__name__}\n")
        signal.alarm(LOAD_S)
        began = time.monotonic()
        try:
            found[outcome(mutant)] += 1
        except Exception as error:
            raise AssertionError(f"{name}, {change.__name__}, seed {seed}, mutant {number}") from error
        slowest = max(slowest, time.monotonic() - began)
    signal.alarm(0)
    sys.stdout.buffer.write(orjson.dumps({**found, "slowest_s": slowest}))


def outcome(mutant: Files | Bundle) -> str:
    """`refused`, `loaded` where the model scores, or what only the last resort caught; anything else is an error."""
    try:
        model = AnomalyModel.from_bundle(mutant if isinstance(mutant, Bundle) else unpack(mutant))
    except TocsinError as error:
        return f"last resort: {error!s:.300}" if LAST_RESORT in str(error) else "refused"
    golden = model._golden
    scores = model.detector.score(model.prepared(golden))
    p = model.threshold.p_value(scores)
    model.threshold.flag(scores)
    model.reasons(golden)
    assert np.isfinite(scores).all(), scores
    assert ((p > 0) & (p <= 1)).all(), p
    return "loaded"


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
