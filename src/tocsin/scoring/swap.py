"""One model after the other on one stream: what goes over, and what must fit before it can."""

from __future__ import annotations

from tocsin.errors import SchemaError
from tocsin.kernel.checkpoint import dump, load
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.records import Batch
from tocsin.scoring.scorer import Scorer

WARMED = 64
"""Rows that a model scores before it serves, so that its first ones are not slow."""


def same_features(one: AnomalyModel, other: AnomalyModel) -> bool:
    """Whether what the features of one remember is what those of the other would."""
    return one.kernel.program.fingerprint == other.kernel.program.fingerprint


def expect_fit(old: AnomalyModel, new: AnomalyModel) -> None:
    """Whether the rows of a stream can go to another model; raises SchemaError if it reads others."""
    if new.design.schema != old.design.schema:
        hint = "stop the service and start it with the config that it was trained by"
        raise SchemaError("the next model", "another schema", "that of the one that serves", hint)


def hand_over(old: Scorer, new: Scorer) -> None:
    """Give what a scorer holds to the one that follows it, between two batches.

    What the features remember goes over if it means the same to both; the rows that wait for older ones and the open
    episodes do in any case, so that none is lost and none rings twice. The budget controller is of a model, and stays.
    A row that waits and for which the new one would not has to be scored before: see `waits_no_more`. Where the new one
    has fewer places than there are entities, those longest unheard of are given up.
    """
    if same_features(old.model, new.model):
        fits = new.model.kernel.entities == old.state.entities.limit
        new.state = old.state if fits else load(new.model.kernel, dump(old.state))
    if old.order is not None and new.order is not None:
        new.order.restore(old.order.state(), old.order.held)
    new.policy.restore({**old.policy.state(), "controller": None})
    new.policy.generated |= old.policy.generated


def waits_no_more(old: Scorer, new: Scorer) -> bool:
    """Whether rows wait now, and would not with the new one."""
    return old.order is not None and new.order is None and old.order.held.rows > 0


def warm(model: AnomalyModel, rows: Batch) -> None:
    """Score some rows on a state that nobody keeps, and explain one: whatever is made on first use is made."""
    if rows.rows:
        some = rows.take(slice(-WARMED, None))
        matrix = model.kernel.peek(some)
        model.judge(matrix, model.entities(some))
        model.reasons(matrix.values[:1])
