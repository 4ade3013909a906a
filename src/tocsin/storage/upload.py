"""What a run leaves behind, copied beside a registry that is elsewhere: report, verdict, page, pictures and model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import orjson

from tocsin import observe
from tocsin.errors import LimitExceeded, TocsinError
from tocsin.storage.bucket import Bucket
from tocsin.storage.meter import Meter
from tocsin.storage.opening import elsewhere, open_bucket

MANIFEST = "manifest.json"
MAX_FILES = 64
MAX_BYTES = 128 * 2**20
_UPLOADED = ("report.json", "verdict.json", "report.html", "*.png", "*.svg", "model/*")
"""Neither the config, which may name what is secret, nor rows and predictions, which nobody asked for."""


def upload_run(place: str, folder: Path, meter: Meter) -> bool:
    """Copy a finished run to `runs/<its name>/`; a run without a manifest there is one that broke off.

    A run is on the disk and its version is registered by then: what cannot be copied is told, and stops nothing.

    Parameters
    ----------
    place
        Where the registry is; nothing is to be done if that is a folder.
    folder
        Of the run.
    meter
        Counts and bounds what is asked of the bucket.
    """
    if not elsewhere(place):
        return False
    try:
        files, size = _copied(open_bucket(place, meter=meter), folder)
    except TocsinError as error:
        observe.run_not_uploaded(folder.name, error.problem.got)
        return False
    observe.run_uploaded(folder.name, files, size)
    return True


def _copied(bucket: Bucket, folder: Path) -> tuple[int, int]:
    paths = list(_artefacts(folder))
    size = sum(path.stat().st_size for path in paths)
    if len(paths) > MAX_FILES or size > MAX_BYTES:
        raise LimitExceeded(folder.name, f"{len(paths)} files of {size} bytes", f"at most {MAX_FILES} of {MAX_BYTES}")
    files: dict[str, dict[str, str | int]] = {}
    for path in paths:
        data, name = path.read_bytes(), path.relative_to(folder).as_posix()
        bucket.create(f"runs/{folder.name}/{name}", data)
        files[name] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    text = orjson.dumps({"run": folder.name, "files": files}, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2)
    bucket.create(f"runs/{folder.name}/{MANIFEST}", text)
    return len(files), size


def _artefacts(folder: Path) -> Iterator[Path]:
    found = {path for pattern in _UPLOADED for path in folder.glob(pattern)}
    return (path for path in sorted(found) if path.is_file() and not path.is_symlink())
