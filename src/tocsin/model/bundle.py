"""The bytes of a model: one JSON manifest and one file of arrays. Nothing in them is ever executed.

``manifest.json``  canonical JSON: format, content, index of the arrays, sizes and hashes, digest, notes, own hash
``arrays.bin``     zlib stream of the arrays' little-endian bytes, one after the other in the order of the index

A reader trusts nothing: sizes are capped before anything is read, hashes are taken of the very bytes that are
parsed, decompression ends one byte after the declared size, and the digest is computed anew.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tocsin.errors import IntegrityError, LimitExceeded, RegistryError
from tocsin.model.documents import canonical, seal, sha256, unseal
from tocsin.storage import LocalStore

FORMAT = 1
MANIFEST, ARRAYS = "manifest.json", "arrays.bin"
MAX_MANIFEST_BYTES = 4 * 2**20
MAX_ARRAYS_BYTES = 256 * 2**20
"""Cap of the arrays, both as stored and as unpacked."""
MAX_ARRAYS = 4_096
MAX_DIMENSIONS = 4
MAX_ARRAY_NAME = 200
LIMITS = {MANIFEST: MAX_MANIFEST_BYTES, ARRAYS: MAX_ARRAYS_BYTES}
"""The files of a bundle and the most bytes each may have."""

_DTYPES = {
    name: np.dtype(name).newbyteorder("<") for name in ("float64", "float32", "int64", "int32", "int8", "uint8", "bool")
}
_PIECE_BYTES = 2**16
_MISDECLARED = "more or fewer bytes than declared"
_KEYS = {"format", "content", "arrays", "files", "digest", "notes"}


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A model as values: what it is, and what is known about it."""

    content: Mapping[str, Any]
    """JSON values that make the model what it is: schema, program, parts and parameters, data digests."""
    arrays: Mapping[str, NDArray[Any]]
    """Fitted state; float64, float32, int64, int32, int8, uint8 or bool, up to 4 dimensions."""
    notes: Mapping[str, Any]
    """JSON values about the model: training time, peak memory, report, verdict. No part of its identity."""

    @property
    def digest(self) -> str:
        """The identity of this model."""
        return digest(self.content, self.arrays)

    def under(self, prefix: str) -> dict[str, NDArray[Any]]:
        """The arrays whose names begin so, by the rest of their names."""
        return {name.removeprefix(prefix): array for name, array in self.arrays.items() if name.startswith(prefix)}


def digest(content: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 in hex over the content and every array's name, dtype, shape and bytes: the model's identity.

    The same data, config and seed give the same digest, whatever the notes say and however zlib packs.

    Raises
    ------
    RegistryError
        If a value has no place in a bundle.
    LimitExceeded
        If there are too many arrays or bytes.
    """
    ordered = _in_order(arrays)
    total = hashlib.sha256(canonical({"content": content, "arrays": _index(ordered)}, "model"))
    for array in ordered.values():
        total.update(_raw(array))
    return total.hexdigest()


def pack(bundle: Bundle) -> dict[str, bytes]:
    """The files of a bundle by name.

    Raises
    ------
    RegistryError
        If a value has no place in a bundle: a dtype outside the closed set, NaN in the content or the notes.
    LimitExceeded
        If there are too many arrays or bytes.
    """
    ordered = _in_order(bundle.arrays)
    packer = zlib.compressobj()
    packed = b"".join([*(packer.compress(_raw(array)) for array in ordered.values()), packer.flush()])
    manifest = seal(
        {
            "format": FORMAT,
            "content": bundle.content,
            "arrays": _index(ordered),
            "files": {ARRAYS: {"sha256": sha256(packed), "size": len(packed)}},
            "digest": bundle.digest,
            "notes": bundle.notes,
        },
        MANIFEST,
    )
    for name, data in ((MANIFEST, manifest), (ARRAYS, packed)):
        if len(data) > LIMITS[name]:
            raise LimitExceeded(name, f"{len(data)} bytes", f"at most {LIMITS[name]}")
    return {MANIFEST: manifest, ARRAYS: packed}


def unpack(files: Mapping[str, bytes]) -> Bundle:
    """The bundle that files hold; its arrays are read-only.

    Raises
    ------
    IntegrityError
        If a file is missing or too many, or any bit is not what was packed.
    NewerFormatError
        If a newer Tocsin packed it.
    """
    _expect_files(files)
    for name, limit in LIMITS.items():
        if len(files[name]) > limit:
            raise IntegrityError(name, f"{len(files[name])} bytes", f"at most {limit}")
    manifest = _manifest(files[MANIFEST])
    packed = files[ARRAYS]
    if manifest["files"] != {ARRAYS: {"sha256": sha256(packed), "size": len(packed)}}:
        raise IntegrityError(ARRAYS, f"bytes with the hash {sha256(packed)[:12]}", "those named in the manifest")
    arrays = _arrays(manifest["arrays"], packed)
    if manifest["digest"] != digest(manifest["content"], arrays):
        raise IntegrityError(MANIFEST, f"the digest {str(manifest['digest'])[:12]}", "that of its content and arrays")
    return Bundle(manifest["content"], arrays, manifest["notes"])


def write(folder: Path, bundle: Bundle) -> None:
    """Write a bundle into a folder; the manifest comes last, so that a folder with one is whole.

    Raises
    ------
    ConflictError
        If the folder holds a bundle already.
    RegistryError
        If it cannot be packed or written.
    """
    store = LocalStore(folder)
    files = pack(bundle)
    for name in (ARRAYS, MANIFEST):
        store.put(name, files[name])


def read(folder: Path) -> Bundle:
    """Read a bundle from a folder; raises as `unpack` does."""
    store = LocalStore(folder)
    _expect_files(store.list(""))
    return unpack({name: store.get(name, limit) for name, limit in LIMITS.items()})


def _in_order(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Little-endian arrays, widest items first, so that each begins where its items are aligned."""
    if len(arrays) > MAX_ARRAYS:
        raise LimitExceeded("arrays", f"{len(arrays)} of them", f"at most {MAX_ARRAYS}")
    for name, array in arrays.items():
        if array.dtype.name not in _DTYPES or array.ndim > MAX_DIMENSIONS or not 0 < len(name) <= MAX_ARRAY_NAME:
            wanted = (
                f"{', '.join(_DTYPES)}; at most {MAX_DIMENSIONS} dimensions; a name of 1 to {MAX_ARRAY_NAME} characters"
            )
            raise RegistryError(
                f"array {name[:MAX_ARRAY_NAME]}", f"{array.dtype.name} of {array.ndim} dimensions", wanted
            )
    size = sum(array.nbytes for array in arrays.values())
    if size > MAX_ARRAYS_BYTES:
        raise LimitExceeded("arrays", f"{size} bytes", f"at most {MAX_ARRAYS_BYTES}", "train a smaller model")
    names = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    return {name: np.asarray(arrays[name], dtype=_DTYPES[arrays[name].dtype.name], order="C") for name in names}


def _index(ordered: Mapping[str, NDArray[Any]]) -> list[dict[str, Any]]:
    return [{"name": name, "dtype": array.dtype.name, "shape": list(array.shape)} for name, array in ordered.items()]


def _raw(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _expect_files(names: Iterable[str]) -> None:
    if set(names) != LIMITS.keys():
        raise IntegrityError(
            "bundle", f"the files {', '.join(sorted(names))[:200] or 'none'}", f"exactly: {', '.join(LIMITS)}"
        )


def _manifest(data: bytes) -> dict[str, Any]:
    manifest = unseal(data, MANIFEST, _KEYS, FORMAT)
    kinds = {"content": dict, "notes": dict, "arrays": list, "files": dict, "digest": str}
    for key, kind in kinds.items():
        if not isinstance(manifest[key], kind):
            raise IntegrityError(f"{MANIFEST} $.{key}", type(manifest[key]).__name__, kind.__name__)
    return manifest


def _arrays(index: list[Any], packed: bytes) -> dict[str, NDArray[Any]]:
    if len(index) > MAX_ARRAYS:
        raise IntegrityError(f"{MANIFEST} $.arrays", f"{len(index)} arrays", f"at most {MAX_ARRAYS}")
    shapes = [_shape(entry, f"{MANIFEST} $.arrays[{number}]") for number, entry in enumerate(index)]
    sizes = [math.prod(shape) * dtype.itemsize for dtype, shape in shapes]
    raw = _inflate(packed, sum(sizes))
    arrays, offset = {}, 0
    for entry, (dtype, shape), size in zip(index, shapes, sizes, strict=True):
        array = np.frombuffer(raw, dtype, math.prod(shape), offset).reshape(shape)
        if dtype.kind == "b" and (array.view(np.uint8) > 1).any():
            raise IntegrityError(f"array {entry['name']}", "a byte above 1", "0 or 1 in an array of bool")
        arrays[entry["name"]] = array
        offset += size
    if _index(_in_order(arrays)) != index:
        raise IntegrityError(f"{MANIFEST} $.arrays", "names twice or out of order", "each once, widest items first")
    return arrays


def _shape(entry: Any, where: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """One line of the index, checked so that no arithmetic on it can overflow."""
    if not isinstance(entry, dict) or entry.keys() != {"name", "dtype", "shape"}:
        raise IntegrityError(where, "another entry", "name, dtype and shape")
    name, dtype, shape = entry["name"], entry["dtype"], entry["shape"]
    if not isinstance(name, str) or not 0 < len(name) <= MAX_ARRAY_NAME:
        raise IntegrityError(f"{where}.name", repr(name)[:MAX_ARRAY_NAME], f"1 to {MAX_ARRAY_NAME} characters")
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise IntegrityError(f"{where}.dtype", repr(dtype)[:80], f"one of: {', '.join(_DTYPES)}")
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS or not all(type(side) is int for side in shape):
        raise IntegrityError(f"{where}.shape", repr(shape)[:80], f"at most {MAX_DIMENSIONS} whole numbers")
    # An empty side must not hide a huge one from the cap.
    if min(shape, default=0) < 0 or math.prod(max(side, 1) for side in shape) > MAX_ARRAYS_BYTES:
        raise IntegrityError(f"{where}.shape", repr(shape)[:80], f"at most {MAX_ARRAYS_BYTES} items")
    return _DTYPES[dtype], tuple(shape)


def _inflate(packed: bytes, size: int) -> memoryview:
    """The declared bytes, read-only and without a second copy on the way."""
    if size > MAX_ARRAYS_BYTES:
        raise IntegrityError(ARRAYS, f"{size} declared bytes", f"at most {MAX_ARRAYS_BYTES}")
    raw, filled = bytearray(size), 0
    try:
        for piece in _pieces(packed):
            if filled + len(piece) > size:
                raise IntegrityError(ARRAYS, _MISDECLARED, f"{size} bytes")
            raw[filled : filled + len(piece)] = piece
            filled += len(piece)
    except zlib.error as error:
        raise IntegrityError(ARRAYS, f"a broken stream ({error})", "a zlib stream") from error
    if filled != size:
        raise IntegrityError(ARRAYS, _MISDECLARED, f"{size} bytes")
    return memoryview(raw).toreadonly()


def _pieces(packed: bytes) -> Iterator[bytes]:
    """What one zlib stream holds, however much it is, in pieces of 64 KiB at most."""
    unpacker = zlib.decompressobj()
    for begin in range(0, len(packed), _PIECE_BYTES):
        if unpacker.eof:
            raise IntegrityError(ARRAYS, _MISDECLARED, "one zlib stream")
        rest, piece = packed[begin : begin + _PIECE_BYTES], b"more"
        while (rest or piece) and not unpacker.eof:
            piece = unpacker.decompress(rest, _PIECE_BYTES)
            rest = unpacker.unconsumed_tail
            yield piece
    if not unpacker.eof or unpacker.unused_data:
        raise IntegrityError(ARRAYS, _MISDECLARED, "one zlib stream")
