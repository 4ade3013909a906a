"""The files of a version on a store: manifest, arrays and report, each kept under the hash of its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from tocsin.errors import ConflictError, IntegrityError, LimitExceeded, NotStored
from tocsin.model.bundle import LIMITS, Bundle, unpack
from tocsin.model.documents import canonical, sha256
from tocsin.registry.ledger import Record, StoredObject
from tocsin.storage import Store

REPORT = "report.json"
MAX_REPORT_BYTES = 16 * 2**20


class Objects:
    """What lies below `objects/`.

    Parameters
    ----------
    store
        Where.
    max_size
        Bytes that all files of a version may have together; one that declares more is not read.
    """

    def __init__(self, store: Store, max_size: int) -> None:
        self._store = store
        self._max_size = max_size

    def keep(self, where: str, data: bytes) -> None:
        """Store bytes under their hash; damaged ones that stand there are replaced by what they should be."""
        try:
            self._store.put(where, data)
        except ConflictError:
            with suppress(IntegrityError):
                if self._store.get(where, len(data)) == data:
                    return
            self._store.delete(where)
            self._store.put(where, data)

    def expect_room(self, where: str, objects: Mapping[str, StoredObject]) -> None:
        """Raise LimitExceeded if the files of a version are too large together."""
        size = sum(item.size for item in objects.values())
        if size > self._max_size:
            hint = "train with fewer features or a smaller model, or give registry.max_size more"
            raise LimitExceeded(where, f"{size} bytes", f"at most {self._max_size}", hint)

    def files(self, record: Record) -> dict[str, bytes]:
        """The files of a version's model.

        Raises
        ------
        IntegrityError
            If any byte is not what was added.
        LimitExceeded
            If they say that they are too large.
        """
        self.expect_room(f"{record.version.name} version {record.version.version}", record.objects)
        return {file: self.read(record, file, limit) for file, limit in LIMITS.items()}

    def bundle(self, record: Record, files: Mapping[str, bytes] | None = None) -> Bundle:
        """The model of a version, of files that were read before or now; raises as `files` does."""
        bundle = unpack(self.files(record) if files is None else files)
        if bundle.digest != record.version.digest:
            where = f"{record.version.name} version {record.version.version}"
            raise IntegrityError(where, f"a model with the digest {bundle.digest[:12]}", record.version.digest[:12])
        return bundle

    def keep_report(self, report: Mapping[str, Any]) -> StoredObject:
        """Store a report; raises as `report_bytes` does."""
        data = report_bytes(report)
        stored = StoredObject(sha256(data), len(data))
        self.keep(stored.name, data)
        return stored

    def report(self, record: Record) -> bytes:
        """The report of a version as JSON; raises as `files` does."""
        return self.read(record, REPORT, MAX_REPORT_BYTES)

    def read(self, record: Record, file: str, limit_bytes: int) -> bytes:
        """One file of a version; raises as `files` does."""
        where = f"{record.version.name} version {record.version.version} {file}"
        stored = record.objects.get(file)
        if stored is None:
            raise IntegrityError(where, "no such file", f"{', '.join(LIMITS)} and {REPORT}")
        return self.fetch(stored, where, limit_bytes)

    def fetch(self, stored: StoredObject, where: str, limit_bytes: int = MAX_REPORT_BYTES) -> bytes:
        """One object, by default a report; raises as `files` does."""
        try:
            data = self._store.get(stored.name, min(stored.size, limit_bytes))
        except NotStored as error:
            raise IntegrityError(where, "nothing stored", f"{stored.size} bytes") from error
        if sha256(data) != stored.sha256:
            raise IntegrityError(where, f"bytes with the hash {sha256(data)[:12]}", stored.sha256[:12])
        return data


def report_bytes(report: Mapping[str, Any]) -> bytes:
    """A report as it is stored.

    Raises
    ------
    RegistryError
        If JSON cannot hold it.
    LimitExceeded
        If it is too large.
    """
    data = canonical(report, REPORT)
    if len(data) > MAX_REPORT_BYTES:
        raise LimitExceeded(REPORT, f"{len(data)} bytes", f"at most {MAX_REPORT_BYTES}")
    return data
