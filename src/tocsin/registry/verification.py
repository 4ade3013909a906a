"""Hold every stored byte of a name against its hash, every document against its signature and what was seen here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tocsin.errors import Problem, TocsinError
from tocsin.registry.ledger import Ledger
from tocsin.registry.objects import Objects
from tocsin.registry.pins import Pinboard


def verify(ledger: Ledger, objects: Objects, pinboard: Pinboard) -> list[Problem]:
    """Everything that is wrong with the versions, channels and pinned rows of a name; an empty list is a clean bill."""
    problems = [*ledger.versions.gaps(), *_problems_of(ledger.inherited), *_problems_of(pinboard.load)]
    for number in ledger.versions.numbers():
        problems += _problems_of(partial(_verify_version, ledger, objects, number))
        problems += _problems_of(partial(ledger.assessments, number))
        for judged in ledger.judgements(number).numbers():
            problems += _problems_of(partial(_verify_judgement, ledger, objects, number, judged))
    for number in ledger.retired():
        problems += _problems_of(partial(ledger.retirements.read, number))
    for number in ledger.heirlooms.numbers():
        problems += _problems_of(partial(ledger.heirlooms.read, number))
    for channel in sorted({*ledger.channels(), *ledger.seen()}):
        problems += _problems_of(partial(ledger.steps, channel))
        for number in ledger.channel(channel).numbers():
            problems += _problems_of(partial(_verify_step, ledger, channel, number))
    return list(dict.fromkeys(problems))


def _verify_version(ledger: Ledger, objects: Objects, number: int) -> None:
    record = ledger.record(number)
    if number not in ledger.retired():
        objects.bundle(record)
        objects.report(record)


def _verify_judgement(ledger: Ledger, objects: Objects, number: int, judged: int) -> None:
    shelf = ledger.judgements(number)
    found = shelf.read(judged)
    if number not in ledger.retired():
        objects.fetch(found.report, f"the report of {shelf.name(judged)}")


def _verify_step(ledger: Ledger, channel: str, number: int) -> None:
    ledger.follow(ledger.channel(channel).read(number))


def _problems_of(step: Callable[[], object]) -> list[Problem]:
    try:
        step()
    except TocsinError as error:
        return [error.problem]
    return []
