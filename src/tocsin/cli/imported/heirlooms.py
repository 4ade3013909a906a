"""What other systems wrote down of their models: Networking Tester's registry, AnalyzerMCPServer's package.

Figures, versions and dates are read. Files of models are named and never opened: loading them would run code.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import orjson

from tocsin.errors import IntegrityError, visible
from tocsin.model.documents import sha256
from tocsin.registry.ledger import Heirloom
from tocsin.storage.archive import Archive

MAX_JSON_BYTES = 4 * 2**20
MAX_TEXT = 300
MAX_FIGURES = 50
MAX_FILES = 20
MAX_DEPTH = 6
MAX_MEMBER_BYTES = 256 * 2**20
CODE = (".joblib", ".pkl", ".pickle", ".skops", ".onnx", ".pt", ".h5")
"""Endings of files that hold, or may hold, code."""
REFUSED = "loading a file of this kind runs code that is in it; train the model here"
_MANIFEST, _METADATA = "deployment_manifest.json", "metadata.json"


class Found(NamedTuple):
    """What was read, and what of it could not be."""

    heirlooms: list[Heirloom]
    problems: list[str]


def networking_tester(data: bytes, where: str) -> Found:
    """The versions of `model_registry.json`, in its older and its later form.

    Raises
    ------
    IntegrityError
        If it is no such registry.
    """
    document = _document(data, where)
    models = document.get("models")
    if not isinstance(models, list):
        raise IntegrityError(where, "no list of models", "the registry of Networking Tester, or a ZIP")
    found = Found([], [])
    seen: set[tuple[str, str, str]] = set()
    for place, model in enumerate(models):
        versions = model.get("versions") if isinstance(model, dict) else None
        if not isinstance(versions, list) or not _text(model.get("model_name")):
            found.problems.append(f"models[{place}]: no model_name with a list of versions")
            continue
        for number, entry in enumerate(versions):
            at = f"models[{place}].versions[{number}]"
            if not isinstance(entry, dict) or not _text(entry.get("version")):
                found.problems.append(f"{at}: no version")
                continue
            heirloom = _of_registry(_text(model["model_name"]), entry, sha256(data))
            if heirloom.identity in seen:
                found.problems.append(f"{at}: version {heirloom.version} of {heirloom.name} for the second time")
                continue
            seen.add(heirloom.identity)
            found.heirlooms.append(heirloom)
    return found


def analyzer(archive: Archive, where: str) -> Found:
    """The model of a deployment package, held against the list of hashes that is in it.

    Raises
    ------
    IntegrityError
        If it is no such package, or a file is not what its list says.
    """
    manifest = _document(archive.read(_MANIFEST, MAX_JSON_BYTES), _MANIFEST)
    hashes = manifest.get("file_integrity")
    if not isinstance(hashes, dict):
        raise IntegrityError(where, "no list of hashes", "file_integrity in deployment_manifest.json")
    for name in archive.names:
        if name != _MANIFEST and sha256(archive.read(name, MAX_MEMBER_BYTES)) != hashes.get(name):
            raise IntegrityError(f"{where} {name}", "bytes that its list does not know", "those that were packed")
    if missing := sorted(hashes.keys() - set(archive.names)):
        raise IntegrityError(where, f"no {_text(missing[0])}", "every file of its list")
    metadata = _document(archive.read(_METADATA, MAX_JSON_BYTES), _METADATA) if _METADATA in archive.names else manifest
    model, evaluation = (_mapping(metadata.get(key)) for key in ("model_info", "evaluation_info"))
    version = _text(manifest.get("model_version")) or _text(model.get("version"))
    if not version:
        raise IntegrityError(where, "no version of a model", "model_version in deployment_manifest.json")
    heirloom = Heirloom(
        system="AnalyzerMCPServer",
        name=_text(model.get("model_type")) or "model",
        version=version,
        description=_text(model.get("training_source")),
        created=_text(model.get("created_at")),
        figures=_figures(evaluation.get("basic_metrics")),
        refused=_refused(name for name in archive.names if name.endswith(CODE)),
        source=sha256(archive.read(_MANIFEST, MAX_JSON_BYTES)),
    )
    return Found([heirloom], [])


def _of_registry(name: str, entry: Mapping[str, Any], source: str) -> Heirloom:
    metadata = _mapping(entry.get("metadata"))
    paths = (entry.get("model_path"), entry.get("scaler_path"))
    return Heirloom(
        system="Networking Tester",
        name=name,
        version=_text(entry["version"]),
        description=_text(entry.get("description")),
        created=_text(entry.get("creation_date")) or _text(entry.get("creation_timestamp")),
        figures=_figures(entry.get("metrics") or metadata.get("evaluation_metrics") or metadata.get("metrics")),
        refused=_refused(_text(path).replace("\\", "/").rpartition("/")[2] for path in paths if _text(path)),
        source=source,
    )


def _document(data: bytes, where: str) -> dict[str, Any]:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise IntegrityError(where, f"no JSON ({error.msg})", "a document", "nothing of it was taken over") from error
    if not isinstance(document, dict):
        raise IntegrityError(where, f"a {type(document).__name__}", "a mapping")
    return document


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    """Short text that no terminal obeys; a number as text, anything else as none."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return visible(str(value))[:MAX_TEXT]
    return ""


def _refused(names: Iterator[str]) -> dict[str, str]:
    return dict.fromkeys(list(names)[:MAX_FILES], REFUSED)


def _figures(value: Any) -> dict[str, float]:
    """Finite numbers by their path, the first ones."""
    found: dict[str, float] = {}

    def walk(item: Any, path: str, depth: int) -> None:
        if isinstance(item, dict) and depth < MAX_DEPTH:
            for key, inner in item.items():
                walk(inner, f"{path}.{_text(key)}" if path else _text(key), depth + 1)
        elif isinstance(item, int | float) and not isinstance(item, bool) and path and len(found) < MAX_FIGURES:
            found[path[:MAX_TEXT]] = float(item)

    walk(value, "", 0)
    return {path: figure for path, figure in found.items() if math.isfinite(figure)}
