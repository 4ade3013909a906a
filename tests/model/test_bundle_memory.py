"""What reading a bundle takes: no more than twice what it declares and 64 MiB, whatever its bytes are."""

from __future__ import annotations

import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest

from tocsin.model.bundle import ARRAYS, MANIFEST, Bundle, pack
from tocsin.model.documents import seal, sha256

MIB = 2**20
CHILD = """
import sys
from pathlib import Path
from tocsin.errors import IntegrityError
from tocsin.model.bundle import read

def peak():
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])

before = peak()
try:
    read(Path(sys.argv[1]))
    print("read", peak() - before)
except IntegrityError as error:
    print("refused", peak() - before)
"""


def peak_mib(folder: Path, files: dict[str, bytes]) -> tuple[str, float]:
    """What came of reading these files in a fresh process, and by how much its memory grew at most."""
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    done = subprocess.run([sys.executable, "-c", CHILD, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outcome, kilobytes = done.stdout.split()
    return outcome, int(kilobytes) / 1_024


def declaring(files: dict[str, bytes], sides: list[int], packed: bytes) -> dict[str, bytes]:
    """Sealed files whose one array has other sides and other bytes than were written."""
    manifest = orjson.loads(files[MANIFEST])
    manifest.pop("sha256")
    manifest["arrays"][0]["shape"] = sides
    manifest["files"] = {ARRAYS: {"sha256": sha256(packed), "size": len(packed)}}
    return {MANIFEST: seal(manifest, MANIFEST), ARRAYS: packed}


@pytest.fixture(autouse=True)
def _can_be_measured(need: Callable[[bool, str], None]) -> None:
    need(Path("/proc/self/status").exists(), "the peak of a process is told by /proc alone")


@pytest.fixture
def small() -> dict[str, bytes]:
    return pack(Bundle({}, {"a": np.zeros(8)}, {}))


@pytest.mark.parametrize("filled", [True, False], ids=["random", "zeros"])
def test_an_honest_bundle_takes_twice_what_it_declares_at_most(
    filled: bool, rng: np.random.Generator, tmp_path: Path
) -> None:
    numbers = rng.normal(size=8 * MIB) if filled else np.zeros(8 * MIB)
    outcome, grown = peak_mib(tmp_path / "model", pack(Bundle({}, {"a": numbers}, {})))
    assert outcome == "read"
    assert grown <= 2 * numbers.nbytes / MIB + 64


@pytest.mark.parametrize(
    ("sides", "data", "declared_mib"),
    [
        ([8], zlib.compress(bytes(512 * MIB), 9), 0),
        ([8], b"".join(zlib.compress(bytes(64)) for _ in range(10_000)), 0),
        ([16 * MIB], zlib.compress(bytes(64)), 128),
        ([2**62, 2**62, 4], zlib.compress(bytes(64)), 0),
        ([2**31, 0], zlib.compress(b""), 0),
    ],
    ids=["a bomb", "streams behind each other", "less than declared", "sides that overflow", "an empty huge side"],
)
def test_hostile_bytes_take_no_more_either(
    sides: list[int], data: bytes, declared_mib: int, small: dict[str, bytes], tmp_path: Path
) -> None:
    outcome, grown = peak_mib(tmp_path / "model", declaring(small, sides, data))
    assert outcome == "refused"
    assert grown <= 2 * declared_mib + 64
