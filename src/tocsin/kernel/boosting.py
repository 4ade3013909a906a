"""Boosted trees out of xgboost's own JSON; xgboost itself is not needed to walk them."""

from __future__ import annotations

from dataclasses import dataclass
from math import log, log1p, nan
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, FiniteFloat, ValidationError

from tocsin.errors import IntegrityError
from tocsin.kernel.trees import MAX_VALUE, TreeEnsemble, lay_out, settle, validate
from tocsin.records import Matrix, Vector

_Index = Annotated[int, Field(ge=-1, lt=2**31)]
_Flag = Annotated[int, Field(ge=0, le=1)]
# Within float32.
_Number = Annotated[FiniteFloat, Field(gt=-3e38, lt=3e38)]
# The least weight of a node: one without any has a mean of its leaves, too.
_LIGHTEST = 1e-30


@dataclass(frozen=True, slots=True)
class BoostedTrees:
    """Trees whose leaf values add up, and what they are added to."""

    trees: TreeEnsemble
    base: Vector
    """One number."""

    def margin(self, x: Matrix) -> Vector:
        """The sum for each row of x (n, d), (n,): the log-odds, or what a regression says. NaN is a missing value."""
        return self.trees.leaf_sum(x) + self.base


# Of xgboost's document what a margin depends on; a kind of model that would need more is no literal here.


class _Tree(BaseModel):
    left_children: Annotated[list[_Index], Field(min_length=1)]
    right_children: list[_Index]
    split_indices: list[_Index]
    split_conditions: list[_Number]  # in a leaf its value
    default_left: list[_Flag]
    sum_hessian: list[_Number]
    split_type: list[Literal[0]]


class _Trees(BaseModel):
    trees: Annotated[list[_Tree], Field(min_length=1)]


class _Booster(BaseModel):
    name: Literal["gbtree"]
    model: _Trees


class _Parameters(BaseModel):
    base_score: str
    num_feature: int
    num_class: Literal["0", "1"]
    num_target: Literal["1"]


class _Objective(BaseModel):
    name: Literal["binary:logistic", "reg:squarederror"]


class _Learner(BaseModel):
    gradient_booster: _Booster
    learner_model_param: _Parameters
    objective: _Objective


class _Model(BaseModel):
    learner: _Learner


def from_xgboost(model: bytes | bytearray, where: str = "xgboost") -> BoostedTrees:
    """The trees in `Booster.save_raw("json")`; margins equal xgboost's, which adds them up in float32.

    Raises
    ------
    IntegrityError
        If the bytes are no such model of one output, or its trees could crash, hang or mislead a walk.
    """
    try:
        learner = _Model.model_validate_json(model).learner
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in (where, *first["loc"]))
        wanted = 'what Booster.save_raw("json") says of trees with one output'
        raise IntegrityError(place, f"{str(first['input'])[:80]} ({first['msg']})", wanted) from None
    base = _base(learner.learner_model_param.base_score, learner.objective.name, where)
    trees = learner.gradient_booster.model.trees
    return BoostedTrees(_ensemble(trees, learner.learner_model_param.num_feature, where), np.array([base]))


def _base(score: str, objective: str, where: str) -> float:
    """The margin of a model without trees; the score of a logistic one is a probability."""
    try:
        base = float(score.removeprefix("[").removesuffix("]"))
        margin = log(base) - log1p(-base) if objective == "binary:logistic" else base
    except ValueError:
        margin = nan
    if not abs(margin) <= MAX_VALUE:
        raise IntegrityError(f"{where}.base_score", repr(score)[:80], f"one score of {objective}")
    return margin


def _ensemble(trees: list[_Tree], columns: int, where: str) -> TreeEnsemble:
    for number, tree in enumerate(trees):
        lengths = {len(values) for _, values in tree}
        if len(lengths) > 1:
            raise IntegrityError(f"{where}.trees.{number}", f"lists of {sorted(lengths)}", "lists of one length")
    sizes = np.array([len(tree.left_children) for tree in trees])
    roots = np.cumsum(sizes) - sizes

    def joined(name: str) -> NDArray[np.float64]:
        return np.concatenate([np.array(getattr(tree, name), dtype=np.float64) for tree in trees])

    children = np.column_stack([joined("left_children"), joined("right_children")]).astype(np.int64)
    _refuse_other_than_trees(children, roots, sizes, where)
    conditions = joined("split_conditions").astype(np.float32)
    laid, order = lay_out(
        np.where(children < 0, -1, children + roots.repeat(sizes)[:, None]),
        {
            "feature": joined("split_indices"),
            # Left is what is below the condition: what is at or below the next smaller number.
            "threshold": np.nextafter(conditions, np.float32(-np.inf)),
            "missing": 1 - joined("default_left"),
            "value": conditions,
            "roots": roots,
        },
        where,
    )
    weights = np.maximum(joined("sum_hessian"), _LIGHTEST)[order]
    return settle(validate(laid, columns, where).arrays, weights)


def _refuse_other_than_trees(
    children: NDArray[np.int64], roots: NDArray[np.int64], sizes: NDArray[np.int64], where: str
) -> None:
    """Nodes that nobody names stay behind: xgboost leaves them where it pruned."""
    if ((children >= sizes.repeat(sizes)[:, None]) | ((children < 0) != (children < 0)[:, ::-1])).any():
        raise IntegrityError(f"{where}.trees", "a child that is not there", "no child or two of the same tree")
    named = np.bincount((children + roots.repeat(sizes)[:, None])[children >= 0], minlength=len(children))
    named[roots] += 1
    if (named > 1).any():
        raise IntegrityError(f"{where}.trees", "a node with several parents", "trees")
