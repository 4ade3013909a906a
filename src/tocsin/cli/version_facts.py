"""What a registered version is and how two of them differ, as values that both people and machines are shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tocsin.registry.judging import decisive

if TYPE_CHECKING:
    from tocsin.model.bundle import Bundle
    from tocsin.registry import Registry, Version
    from tocsin.registry.index import Index

DESIGN = ("schema", "features", "preparation", "detector", "threshold", "budget", "entities", "share", "code")
"""What of a model's content somebody chose; the rest follows from it and from the rows."""


def listed(registry: Registry, index: Index, name: str) -> dict[str, Any]:
    """The kept versions of a name with the verdicts that count, and how its channels stand.

    Raises
    ------
    RegistryError
        If there is no such name, or the registry cannot be read.
    """
    heirlooms = registry.luggage(name).heirlooms()
    if heirlooms and name not in registry.names():
        nothing: dict[str, Any] = {"versions": [], "judged": {}, "channels": {}, "standings": (), "archived": []}
        return nothing | {"retired": [], "problems": [], "heirlooms": heirlooms}
    listing = index.listing(name)
    standings = registry.standings(name)
    pointed = {standing.channel: standing.step.version for standing in standings if standing.step}
    living = [version.version for version in listing.living]
    served = {step.document.version for step in listing.channels.get("champion", ())[:-1]}
    return {
        "versions": listing.living,
        "judged": {str(number): decisive(listing.judged(number, registry.trust.roots)) for number in living},
        "channels": pointed,
        "standings": standings,
        "archived": sorted(served.intersection(living) - {pointed.get("champion")}),
        "retired": sorted(listing.versions.keys() - living),
        "problems": listing.problems,
        "heirlooms": heirlooms,
    }


def shown(registry: Registry, index: Index, name: str, version: int | str) -> dict[str, Any]:
    """Where a version came from, who judged it, where it has served.

    Raises
    ------
    TocsinError
        As `Registry.load` and `Registry.judgements` do.
    """
    bundle, entry = registry.load(name, version)
    listing = index.listing(name)
    steps = {channel: [signed.document for signed in there] for channel, there in listing.channels.items()}
    judgements = registry.judgements(name, entry.version)
    return {
        "version": entry,
        "content": bundle.content,
        "notes": bundle.notes,
        "parent": _number_of(listing.living, bundle.notes.get("parent")),
        "judgements": judgements,
        "passed": decisive(judgements).verdict.passed,
        "channels": {
            channel: [step for step in there if step.version == entry.version] for channel, there in steps.items()
        },
        "serves": [channel for channel, there in steps.items() if there[-1].version == entry.version],
        "before": registry.before(name),
    }


def differences(first: tuple[Bundle, Version], second: tuple[Bundle, Version]) -> dict[str, Any]:
    """What differs from one version to another: parameters, columns, thresholds, data, libraries; figures of both."""
    (one, before), (other, after) = first, second
    columns, others = (list(bundle.content["program"]["outputs"]) for bundle in (one, other))
    learnt, learnt_then = (dict(bundle.notes.get("inputs") or {}) for bundle in (one, other))
    return {
        "versions": [before.version, after.version],
        "models": [before.digest, after.digest],
        "parameters": _changed(_design(one), _design(other)),
        "columns": {
            "added": [column for column in others if column not in columns],
            "removed": [column for column in columns if column not in others],
        },
        "threshold": _sides(_threshold(one), _threshold(other)),
        "figures": _sides(before.summary, after.summary),
        "data": _sides(one.notes.get("data") or {}, other.notes.get("data") or {}),
        "inputs": {
            "added": {digest: learnt_then[digest] for digest in learnt_then if digest not in learnt},
            "removed": {digest: learnt[digest] for digest in learnt if digest not in learnt_then},
            "both": {digest: learnt[digest] for digest in learnt if digest in learnt_then},
        },
        "libraries": _changed(one.notes.get("libraries") or {}, other.notes.get("libraries") or {}),
    }


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every scalar and every list of scalars of a document, by its path.

    >>> dict(leaves({"detector": {"type": "blend", "of": [{"trees": 100}], "cut": [1, 2]}}))
    {'detector.type': 'blend', 'detector.of.0.trees': 100, 'detector.cut': [1, 2]}
    """
    if isinstance(value, Mapping):
        inner: Iterable[tuple[str, Any]] = value.items()
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping | list | tuple) for item in value):
        inner = ((str(number), item) for number, item in enumerate(value))
    else:
        yield path, value
        return
    for name, item in inner:
        yield from leaves(item, f"{path}.{name}" if path else name)


def _design(bundle: Bundle) -> dict[str, Any]:
    return dict(leaves({key: bundle.content[key] for key in DESIGN if key in bundle.content}))


def _threshold(bundle: Bundle) -> dict[str, Any]:
    promise = bundle.content.get("threshold_state", {}).get("promise") or {}
    return {key: promise[key] for key in ("level", "asked", "served", "unit", "state") if key in promise}


def _number_of(versions: Iterable[Version], digest: str | None) -> dict[str, Any] | None:
    """A model by its digest, and under which number it is kept; None where there is none of that digest."""
    if digest is None:
        return None
    number = next((version.version for version in versions if version.digest == digest), None)
    return {"digest": digest, "version": number}


def _sides(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Values of both, side by side, numbers with their change."""
    return {name: _side(one.get(name), other.get(name)) for name in sorted({*one, *other})}


def _changed(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Values that differ, side by side."""
    return {name: pair for name, pair in _sides(one, other).items() if pair["first"] != pair["second"]}


def _side(first: Any, second: Any) -> dict[str, Any]:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (first, second))
    return {"first": first, "second": second, "change": second - first if numbers else None}
