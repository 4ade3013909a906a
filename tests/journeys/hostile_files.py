"""A child that puts hostile files wherever a file is read, and tells what came of it: `hostile_files.py SITE`.

Each file would run a command, or import a module, if anything loaded it the way its kind is loaded. An audit hook
notes whatever would be needed for that.
"""

from __future__ import annotations

import gzip
import io
import os
import sys
import zipfile
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from tocsin.cli import main
from tocsin.errors import TocsinError
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.bundle import ARRAYS, MANIFEST, unpack

WATCHED = (
    "pickle.find_class",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "subprocess.Popen",
    "ctypes.dlopen",
)
MARKER, MODULE = "owned", "hostile_marker"


class Audit:
    """What happened on the way of hostile files that does not on the way of honest ones."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.learning = True
        self._usual: set[tuple[object, ...]] = set()
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "exec":  # type hints, which are text in our sources, are run, too
            code = arguments[0]
            known = (code.co_filename, code.co_names)
            if self.learning:
                self._usual.add(known)
            elif known not in self._usual:
                self.events.append(f"exec {known}"[:200])
        elif not self.learning and (event in WATCHED or (event == "import" and arguments[0] == MODULE)):
            self.events.append(f"{event} {arguments[:1]}"[:200])


def hostile(folder: Path) -> dict[str, bytes]:
    """Twelve files by name; each kind as its own tools write it, with a payload in place of a model."""
    command = f"touch {folder / MARKER}"
    text = f"cos\nsystem\n(S'{command}'\ntR.".encode()
    binary = b"\x80\x04cos\nsystem\nX" + len(command).to_bytes(4, "little") + command.encode() + b"\x85R."
    imports = b"\x80\x04c" + f"{MODULE}\nload\n)R.".encode()
    array = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117) + b"\n"
    cut = {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode", "content": command}
    onnx = b"\x08\x08\x3a\x2a\x42\x28j\x1c\n\x08location\x12\x10../../etc/passwd\x70\x01"
    page = f"<html><script>fetch('/{MARKER}')</script><body onload=\"import('{MODULE}')\"></body></html>"
    return {
        "model.pkl": binary,
        "model.bin": text,
        "model.joblib": b"\x80\x03cjoblib.numpy_pickle\nNumpyArrayWrapper\nq\x00)\x81q\x01." + binary,
        "model.pkl.gz": gzip.compress(binary),
        "model.zip": zipped({"data.pkl": binary}),
        "model.skops": zipped({"schema.json": orjson.dumps(cut)}),
        "model.onnx": onnx,
        "model.html": page.encode(),
        "model.npy": b"\x93NUMPY\x01\x00v\x00" + array + binary,
        "model.pt": zipped({"archive/data.pkl": binary, "archive/version": b"3\n"}),
        "model.cloudpickle": b"\x80\x04ccloudpickle.cloudpickle\n_make_function\n0" + imports,
        "model.py": f"import os, {MODULE}\nos.system({command!r})\n".encode(),
    }


def zipped(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return packed.getvalue()


def loaded(folder: Path, name: str, data: bytes, good: Mapping[str, bytes]) -> str:
    """How a model's folder in which one file is hostile is refused."""
    for file, bytes_ in {**good, name: data}.items():
        (folder / file).unlink(missing_ok=True)
        (folder / file).write_bytes(bytes_)
    return refused(lambda: AnomalyModel.load(folder))


def refused(call: Callable[[], object]) -> str:
    try:
        call()
    except TocsinError as error:
        return f"{type(error).__name__}: {error.problem.where}"
    return "accepted"


def typed(*words: str) -> str:
    """The exit code of a command, and what it says is wrong."""
    sys.argv = ["tocsin", *words]
    printed = io.StringIO()
    try:
        with redirect_stdout(printed), redirect_stderr(io.StringIO()):
            main()
    except SystemExit as ended:
        return f"exit {ended.code}"
    return "went on"


def run(site: Path) -> None:
    """Every hostile file in every place; the good ones first, so that all is imported that honest work imports."""
    audit = Audit()
    (model,) = site.glob("runs/*/model")
    good = {name: (model / name).read_bytes() for name in (MANIFEST, ARRAYS)}
    objects = {path: path.read_bytes() for path in site.glob("registry/objects/*/*/*")}
    folder, rows = site / "copy", site / "data" / "hostile.csv"
    folder.mkdir()
    loaded(folder, MANIFEST, good[MANIFEST], good)
    for words in (("models", "verify"), ("score", "data/rows.csv"), ("check",), ("import-config", "tocsin.yaml")):
        typed(*words)
    told: dict[str, Any] = {}
    for name, data in {"nothing": b"\x00\x01", **hostile(site)}.items():
        audit.learning = name == "nothing"
        places: dict[str, str] = {
            "as manifest": loaded(folder, MANIFEST, data, good),
            "as arrays": loaded(folder, ARRAYS, data, good),
            "as bytes": refused(partial(unpack, {MANIFEST: data, ARRAYS: data})),
            "beside a model": refused(partial(unpack, {**good, name: data})),
        }
        for path in objects:
            path.chmod(0o600)
            path.write_bytes(data)
        places["in the registry"] = typed("models", "verify")
        for path, kept in objects.items():
            path.write_bytes(kept)
        rows.write_bytes(data)
        places["as telemetry"] = typed("score", str(rows))
        places["as a config of another system"] = typed("import-config", str(rows), "-o", str(site / "other.yaml"))
        places["as a config"] = typed("-c", str(rows), "check")
        rows.unlink()
        told[name] = places
    told.pop("nothing")
    before = len(audit.events)
    os.system("true")  # noqa: S605  # the audit does hear what it listens for
    told["control"] = audit.events.pop() if len(audit.events) > before else ""
    sys.stdout.buffer.write(orjson.dumps({"events": audit.events, "told": told}))


if __name__ == "__main__":
    run(Path(sys.argv[1]))
