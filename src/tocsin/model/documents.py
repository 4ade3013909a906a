"""What is written about models: canonical JSON that carries its own hash, alone or signed and numbered on a shelf.

One value has one text, so that two writers of the same thing write the same bytes and a reader can tell every
changed bit. The hash finds damage, the signature finds forgery.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Generic, Protocol, TypeVar, cast

import orjson
from pydantic import TypeAdapter, ValidationError

from tocsin.errors import ConflictError, IntegrityError, LimitExceeded, NewerFormatError, Problem, RegistryError
from tocsin.storage import Store

MAX_DEPTH = 64
"""Nesting of JSON values; a design needs fewer than ten."""
MAX_DOCUMENT_BYTES = 2**20
SHELF_FORMAT = 2

_TRIES = 1_000
"""Each lost try means that another writer won, so this is never reached by bad luck alone."""
_SIGNATURES = TypeAdapter(dict[str, str])
_Document = TypeVar("_Document")


def sha256(data: bytes) -> str:
    """SHA-256 of bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def timestamp(moment: datetime) -> str:
    """A time as documents have it, ISO 8601 in UTC: two of them compare as texts."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def canonical(value: Any, where: str) -> bytes:
    """A JSON value as the only bytes that stand for it: sorted keys, no spaces.

    Raises
    ------
    RegistryError
        If something in it is no JSON value, with its `$.path`; NaN and infinity are none.
    """
    try:
        return orjson.dumps(_plain(value, (), where), option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise RegistryError(
            where, f"a value that JSON cannot hold ({error})", "text in Unicode and 64-bit integers"
        ) from error


def seal(document: Mapping[str, Any], where: str) -> bytes:
    """Canonical JSON of a document with the hash of itself under `sha256`."""
    return canonical({**document, "sha256": sha256(canonical(document, where))}, where)


def unseal(data: bytes, where: str, keys: Iterable[str], newest: int) -> dict[str, Any]:
    """The document that `seal` wrote.

    Parameters
    ----------
    data, where
        The bytes and what to call them in a message.
    keys
        Exactly the keys that it must have, `format` among them.
    newest
        The highest format that this Tocsin reads.

    Raises
    ------
    IntegrityError
        If any bit differs or a key is missing or unknown.
    NewerFormatError
        If its format is higher than `newest`.
    """
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise IntegrityError(where, f"no JSON ({error.msg})", "a document written by Tocsin") from error
    if not isinstance(document, dict) or type(document.get("format")) is not int:
        raise IntegrityError(where, "a document without a format", "one written by Tocsin")
    if document["format"] > newest:
        hint = "a newer Tocsin wrote this: upgrade, or read it there"
        raise NewerFormatError(where, f"format {document['format']}", f"at most {newest}", hint)
    document.pop("sha256", None)
    try:
        unchanged = seal(document, where) == data
    except RegistryError as error:
        raise IntegrityError(where, f"an unusual document ({error.problem.got})", "one written by Tocsin") from error
    if not unchanged:
        hint = "bring it back from a backup; docs/keys.md says what to do without one"
        raise IntegrityError(where, "bytes that have changed since they were written", "the bytes as written", hint)
    if document.keys() != set(keys):
        odd = ", ".join(sorted(document.keys() ^ set(keys)))
        raise IntegrityError(where, f"unknown or missing keys: {odd[:200]}", f"exactly: {', '.join(sorted(keys))}")
    return document


def _plain(value: Any, path: tuple[str, ...], where: str) -> Any:
    """A copy made of dicts and lists alone; what orjson would silently change is refused."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if len(path) > MAX_DEPTH:
        raise RegistryError(where, f"values nested deeper than {MAX_DEPTH}", "a flatter document")
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {str(key): _plain(item, (*path, f".{key}"), where) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, (*path, f"[{number}]"), where) for number, item in enumerate(value)]
    got = repr(value) if isinstance(value, float) else f"a value of type {type(value).__name__}"
    wanted = "text, finite numbers, lists, mappings by text"
    raise RegistryError(f"{where} ${''.join(path)}", got, wanted, "other numbers belong into an array")


@dataclass(frozen=True, slots=True)
class Sealed:
    """A document as it lies on a shelf."""

    name: str
    """On the store."""
    number: int
    body: bytes
    """What is signed: its canonical JSON together with its name."""
    signatures: Mapping[str, str]
    """By the id of their key."""
    digest: str
    """SHA-256 of all its bytes."""


class Signatory(Protocol):
    """Signs what is put on a shelf, and says who signed what lies there."""

    def sign(self, document: Any, body: bytes) -> Mapping[str, str]:
        """Signatures of the bytes that stand for a document, by the id of their key; raises RegistryError."""

    def check(self, document: Any, sealed: Sealed) -> str:
        """The id of the key that signed; raises IntegrityError unless it may sign a document of this number."""


@dataclass(frozen=True, slots=True)
class Signed(Generic[_Document]):
    """A document as it was read."""

    document: _Document
    key: str
    """Id of the key that signed it."""
    digest: str
    """SHA-256 of all its bytes."""


class Shelf(Generic[_Document]):
    """Documents of one kind, numbered from 1 in a folder of a store; none is changed and no number is used twice.

    A signature covers a document together with its name on the store: it holds nowhere else.

    Parameters
    ----------
    store, folder
        Where they are kept, as `<folder>/000001.json`.
    kind
        A dataclass of JSON values.
    signatory
        Signs what is written here and checks what is read.
    """

    def __init__(self, store: Store, folder: str, kind: type[_Document], signatory: Signatory) -> None:
        self._store = store
        self.folder = folder
        self._kind: TypeAdapter[_Document] = _adapter(cast("Hashable", kind))
        self._signatory = signatory

    def numbers(self) -> list[int]:
        """Numbers that are taken, in order."""
        return sorted(self._among(self._store.list(self.folder)))

    def times(self) -> dict[int, datetime]:
        """When each number was taken, UTC."""
        times = self._store.times(self.folder)
        return {number: times[self.name(number)] for number in self._among(times)}

    def _among(self, there: Iterable[str]) -> Iterator[int]:
        names = (name.removeprefix(self.folder + "/").removesuffix(".json") for name in there)
        return (int(name) for name in names if name.isdecimal() and int(name) and name == f"{int(name):06d}")

    def name(self, number: int) -> str:
        """The name of a document on the store."""
        return f"{self.folder}/{number:06d}.json"

    def read(self, number: int) -> _Document:
        """One document; raises as `signed` does."""
        return self.signed(number).document

    def signed(self, number: int) -> Signed[_Document]:
        """One document and who signed it.

        Raises
        ------
        NotStored
            If the number is free.
        IntegrityError
            If any bit of it has changed, it stood under another name, or nobody signed it who may.
        NewerFormatError
            If a newer Tocsin wrote it.
        """
        name = self.name(number)
        data = self._store.get(name, MAX_DOCUMENT_BYTES)
        values = unseal(data, name, ("format", "name", "document", "signatures"), SHELF_FORMAT)
        if values["name"] != name:
            raise IntegrityError(name, f"the document of {str(values['name'])[:200]}", "its own")
        try:
            document = self._kind.validate_json(orjson.dumps(values["document"]), strict=True)
            signatures = _SIGNATURES.validate_python(values.pop("signatures"), strict=True)
        except ValidationError as error:
            got = f"a document with {error.error_count()} values that do not fit"
            raise IntegrityError(name, got, "one written by Tocsin") from error
        sealed = Sealed(name, number, canonical(values, name), signatures, sha256(data))
        return Signed(document, self._signatory.check(document, sealed), sealed.digest)

    def create(self, number: int, document: _Document) -> str:
        """Take a number and return the digest of what stands there; raises ConflictError if it is taken."""
        name = self.name(number)
        values = {"format": SHELF_FORMAT, "name": name, "document": self._kind.dump_python(document)}
        signatures = self._signatory.sign(document, canonical(values, name))
        data = seal({**values, "signatures": signatures}, name)
        if len(data) > MAX_DOCUMENT_BYTES:
            raise LimitExceeded(name, f"{len(data)} bytes", f"at most {MAX_DOCUMENT_BYTES}")
        self._store.put(name, data)
        return sha256(data)

    def append(self, make: Callable[[int], _Document]) -> _Document:
        """Put what `make` makes of the next free number, however many others do the same."""
        for _ in range(_TRIES):
            number = max(self.numbers(), default=0) + 1
            document = make(number)
            with suppress(ConflictError):
                self.create(number, document)
                return document
        raise ConflictError(self.folder, f"{_TRIES} lost races for a number", "fewer writers")

    def delete(self, number: int) -> None:
        """Forget one document."""
        self._store.delete(self.name(number))

    def gaps(self) -> Iterator[Problem]:
        """A problem if the numbers are not 1, 2, 3, ..."""
        numbers = self.numbers()
        missing = sorted(set(range(1, max(numbers, default=0) + 1)) - set(numbers))
        if missing:
            yield Problem(self.folder, f"no {str(missing)[1:-1][:200]}", "every number from 1 to the last")


@lru_cache(maxsize=32)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """What reads and writes documents of a kind; it takes longer to make than a document to read."""
    return TypeAdapter(kind)
