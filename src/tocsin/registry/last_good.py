"""The models that channels last led to, kept on this machine: what serves while the registry cannot be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import orjson
from pydantic import TypeAdapter, ValidationError

from tocsin import observe
from tocsin.errors import TocsinError
from tocsin.model.bundle import LIMITS, Bundle
from tocsin.model.documents import seal, unseal
from tocsin.registry import private_files
from tocsin.registry.ledger import Record, Version
from tocsin.registry.objects import Objects
from tocsin.storage import LocalStore

FORMAT = 1
KEPT = 4
"""Channels whose last good model is kept; a machine serves one."""
MAX_BYTES = 4 * 2**20

_RECORDS = TypeAdapter(dict[str, Record])


class LastGood:
    """Verified models by where they came from, the latest last.

    Parameters
    ----------
    folder
        Made with the first model, for its owner alone. Objects in it are named by their hash.
    max_size
        Bytes that a version may have.
    """

    def __init__(self, folder: Path, max_size: int) -> None:
        self._index = folder / "index.json"
        self._store = LocalStore(folder)
        self._objects = Objects(self._store, max_size)

    def keep(self, origin: str, record: Record, files: Mapping[str, bytes]) -> None:
        """Let a model take the place of the one of the same origin; a full disk is said and stops nothing."""
        try:
            with private_files.locked(self._index):
                records = self._records()
                if records.get(origin) == record:
                    return
                records.pop(origin, None)
                records = dict([*records.items(), (origin, record)][-KEPT:])
                for file, data in files.items():
                    self._objects.keep(record.objects[file].name, data)
                values = _RECORDS.dump_python(records)
                private_files.replace(self._index, seal({"format": FORMAT, "records": values}, self._index.name))
                self._clear(records)
        except TocsinError as error:
            observe.last_good_not_kept(error.problem.got)

    def load(self, origin: str) -> tuple[Bundle, Version] | None:
        """The last good model of an origin, held against its hashes again; None if there is none."""
        if not self._index.exists():
            return None
        with suppress(TocsinError), private_files.locked(self._index):
            record = self._records().get(origin)
            return (self._objects.bundle(record), record.version) if record else None
        return None

    def files(self, record: Record) -> Mapping[str, bytes] | None:
        """The files of a version if they are here, held against their hashes again: they need not be fetched."""
        with suppress(TocsinError):
            return self._objects.files(record)
        return None

    def _records(self) -> dict[str, Record]:
        data = private_files.read(self._index, MAX_BYTES)
        if data is None:
            return {}
        try:
            found = unseal(data, self._index.name, ("format", "records"), FORMAT)["records"]
            return _RECORDS.validate_json(orjson.dumps(found), strict=True)
        except (TocsinError, ValidationError):  # it is a copy: a damaged one counts as none
            return {}

    def _clear(self, records: Mapping[str, Record]) -> None:
        needed = {record.objects[file].name for record in records.values() for file in LIMITS}
        for name in self._store.list("objects"):
            if name not in needed:
                self._store.delete(name)
