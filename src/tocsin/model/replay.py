"""A model's golden rows, scored in a child process before the model is let into this one.

What no check of its structure foresaw ends the child, not the server: it may take little memory and ten seconds, gets
the bytes through a pipe, and can neither write, start anything nor reach a network. Once is enough for a model, a
machine and the code on it; that it was done stands in a marker, whose loss costs a second.
"""

from __future__ import annotations

import os
import platform
import resource
import signal
import subprocess
import sys
from collections.abc import Collection
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from tocsin import observe
from tocsin.errors import IntegrityError, TocsinError
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.bundle import ARRAYS, MANIFEST, Bundle, pack, unpack

WALL_S = 10.0
CPU_S = 10
MEMORY_BYTES = 2**29
"""What a replay may take beside six times the arrays: the code that is loaded already does not count."""
TOLERANCE = 1e-6
MAX_MARKERS = 256
READY = b"R"
FORBIDDEN, MEMORY = 77, 78
"""How a child ends that tries what it must not, or is short of memory."""
_MIB = 2**20
_PATHS = "--paths"
# More threads would only ask for more memory.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_HARMLESS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_DIRECTORY
_FORBIDDEN = ("socket.", "subprocess.", "os.", "shutil.", "pickle.", "ctypes.")
_LOOKING = ("os.listdir", "os.scandir")
"""What importing does."""


def replay_once(bundle: Bundle, markers: Path, outside: Collection[str] = ()) -> None:
    """Replay a model unless this machine has, with the code that it has now.

    Parameters
    ----------
    bundle
        What was unpacked.
    markers
        Folder of what was replayed, at most `MAX_MARKERS` small files.
    outside
        As in `AnomalyModel.from_bundle`.

    Raises
    ------
    IntegrityError
        As `replay` does.
    """
    digest = bundle.digest
    code = (digest, version("tocsin"), np.__version__, platform.python_version(), platform.machine(), *sorted(outside))
    marker = markers / sha256("\n".join(code).encode()).hexdigest()
    with suppress(OSError):
        if marker.read_text("ascii") == digest:
            return
    replay(bundle, outside)
    observe.model_replayed(digest)
    with suppress(OSError):
        markers.mkdir(parents=True, exist_ok=True)
        marker.write_text(digest, "ascii")
        for old in sorted(markers.iterdir(), key=lambda path: path.stat().st_mtime)[:-MAX_MARKERS]:
            old.unlink()


def replay(bundle: Bundle, outside: Collection[str] = ()) -> None:
    """Load a model in a child process and have it score its golden rows there.

    Raises
    ------
    IntegrityError
        If the child refuses the model, crashes, hangs, asks for too much, or gives other scores.
    """
    files = pack(bundle)
    declared = sum(array.nbytes for array in bundle.arrays.values())
    memory = MEMORY_BYTES + 6 * declared
    module = ["-I", "-B", "-m", "tocsin.model.replay"]
    command = [sys.executable, *module, str(memory), str(len(files[MANIFEST])), *outside]
    if outside:  # their packages are found where they are found here
        command += [_PATHS, *map(os.path.abspath, sys.path)]
    with subprocess.Popen(  # noqa: S603  # this interpreter runs this file
        command,
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=_ENVIRONMENT,
    ) as child:
        told = _told(child, files[MANIFEST] + files[ARRAYS])
    if child.returncode < 0:
        ended = signal.Signals(-child.returncode).name
        raise IntegrityError("model", f"a replay that was ended by {ended}", f"scores within {CPU_S} s of work")
    answer = orjson.loads(told or b"{}") if child.returncode == 0 else {}
    if "refused" in answer:
        raise IntegrityError(*answer["refused"])
    if "scores" not in answer:
        wanted = f"scores of its golden rows with at most {memory // _MIB} MiB"
        raise IntegrityError("model", f"a replay that failed with code {child.returncode}", wanted)
    if not np.allclose(answer["scores"], bundle.arrays["golden.scores"], rtol=0, atol=TOLERANCE):
        raise IntegrityError("model", "other scores in its replay", "those it was stored with")


def _told(child: subprocess.Popen[bytes], data: bytes) -> bytes:
    """What the child answers; the clock runs from when it is ready and nothing of the model was read yet."""
    if child.stdout is None or child.stdout.read(len(READY)) != READY:
        return b""
    try:
        return child.communicate(data, timeout=WALL_S)[0]
    except subprocess.TimeoutExpired:
        child.kill()
        raise IntegrityError("model", f"a replay that took more than {WALL_S:g} s", "scores in less") from None


def _confine(memory: int) -> None:
    """Leave this process no way to anything but an answer."""
    used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
    limits = {resource.RLIMIT_CPU: used + CPU_S, resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CORE: 0}
    with suppress(FileNotFoundError):  # elsewhere than on Linux, nobody can tell what is mapped already
        mapped = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
        limits[resource.RLIMIT_AS] = mapped + memory
    for limit, most in limits.items():
        resource.setrlimit(limit, (most, most))
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        forbidden = bool(arguments[2] & ~_HARMLESS)
    else:
        forbidden = event.startswith(_FORBIDDEN) and event not in _LOOKING
    if forbidden:
        os._exit(FORBIDDEN)


def main(memory: int, manifest: int, outside: Collection[str]) -> None:
    """Answer with the scores of the golden rows of the bundle on standard input, or with why it is refused."""
    _confine(memory)
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    data = sys.stdin.buffer.read()
    answer: dict[str, Any]
    try:
        bundle = unpack({MANIFEST: data[:manifest], ARRAYS: data[manifest:]})
        answer = {"scores": AnomalyModel.from_bundle(bundle, outside).replayed().tolist()}
    except TocsinError as error:
        problem = error.problem
        answer = {"refused": (problem.where, problem.got, problem.wanted, problem.hint)}
    except MemoryError:
        os._exit(MEMORY)
    sys.stdout.buffer.write(orjson.dumps(answer))


if __name__ == "__main__":
    named = sys.argv[3:]
    at = named.index(_PATHS) if _PATHS in named else len(named)
    sys.path += named[at + 1 :]
    main(int(sys.argv[1]), int(sys.argv[2]), named[:at])
