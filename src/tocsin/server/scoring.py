"""Scores for whoever asks: of rows as if they came next, which leave no trace.

Single rows that arrive in the same turn of the server's loop are scored together: each as its own request, in the time
of few.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from tocsin.kernel.run import FeatureMatrix
from tocsin.kernel.state import KernelState
from tocsin.observe import rest
from tocsin.records import ROW, Batch, Rejected, Scores, Vector
from tocsin.schema import Schema
from tocsin.scoring.work import Serving
from tocsin.server.bodies import ScoreRequest, batch, batch_of
from tocsin.server.faults import Fault
from tocsin.server.site import Site
from tocsin.system.project import Project

AT_ONCE = 1 << 18
"""Bytes of a batch that is scored in the server's own thread: to wait for the interpreter would take longer."""
REFUSED = "refused"
"""State of a row that the schema does not take."""
_JSON = orjson.OPT_SERIALIZE_NUMPY
_Waiting = tuple[ScoreRequest, "asyncio.Future[bytes]"]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is said of some rows, and which of those asked about they are."""

    places: NDArray[np.int64]
    matrix: FeatureMatrix
    scores: Scores
    refused: dict[int, Rejected]


class Scoring:
    """Answers `POST /v1/score` and `POST /v1/score/batch`.

    Parameters
    ----------
    site
        Whose model and state.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._waiting: list[_Waiting] = []
        self._thread = ThreadPoolExecutor(1, "tocsin-score")

    def close(self) -> None:
        """Score nothing any more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def one(self, request: ScoreRequest) -> bytes:
        """What the model says of a row; raises Fault if the schema does not take it."""
        loop = asyncio.get_running_loop()
        if request.window is not None or request.reasons:
            return await loop.run_in_executor(self._thread, self._apart, request)
        answer: asyncio.Future[bytes] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._score_waiting)
        self._waiting.append((request, answer))
        return await answer

    async def many(self, body: bytes, type: str) -> bytes:
        """What it says of many rows; those that the schema does not take are named."""
        if len(body) <= AT_ONCE:
            return self._batch(body, type)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._batch, body, type)

    def _score_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        alike: defaultdict[tuple[str, ...], list[_Waiting]] = defaultdict(list)
        for item in waiting:
            # A column that one request names and another lacks would be missing in the other.
            alike[tuple(item[0].row)].append(item)
        serving = self._site.serving()
        for together in alike.values():
            try:
                answers = self._singles(serving, [request for request, _ in together])
            except Exception as error:  # noqa: BLE001  # it is raised where it is awaited
                answers = [error] * len(together)
            for (_, future), answer in zip(together, answers, strict=True):
                if future.done():
                    continue
                if isinstance(answer, bytes):
                    future.set_result(answer)
                else:
                    future.set_exception(answer)

    def _singles(self, serving: Serving, requests: Sequence[ScoreRequest]) -> list[bytes | Exception]:
        rows = batch([request.row for request in requests])
        seen = _look(serving, self._site.project, rows, serving.scorer.state, range(rows.rows))
        answers: list[bytes | Exception] = [Fault(422, "")] * rows.rows
        for place, row in seen.refused.items():
            answers[place] = _misfit(row)
        told = (seen.scores.score, seen.scores.p_value, seen.scores.flagged, seen.scores.state)
        for place, *said in zip(seen.places.tolist(), *(column.tolist() for column in told), strict=True):
            answers[place] = orjson.dumps(_said(serving, *said))
        rest.rows_scored(len(seen.places))
        return answers

    def _apart(self, request: ScoreRequest) -> bytes:
        """A row with rows before it, or whose reasons are asked for."""
        serving, before = self._site.serving(), request.window
        rows = batch([*(before or ()), request.row])
        state = serving.scorer.state if before is None else None
        seen = _look(serving, self._site.project, rows, state, None)
        if seen.refused:
            raise _misfit(next(iter(seen.refused.values())))
        scores = seen.scores
        said = (scores.score[-1], scores.p_value[-1], scores.flagged[-1], scores.state[-1])
        answer = _said(serving, float(said[0]), float(said[1]), bool(said[2]), str(said[3]))
        if request.reasons:
            (answer["reasons"],) = serving.scorer.model.reasons(seen.matrix.values[-1:])
        rest.rows_scored(1)
        return orjson.dumps(answer)

    def _batch(self, body: bytes, type: str) -> bytes:
        serving, rows = self._site.serving(), batch_of(body, type)
        seen = _look(serving, self._site.project, rows, serving.scorer.state, None)
        places, scores = seen.places, seen.scores
        state = np.full(rows.rows, REFUSED, dtype=object)
        flagged = np.zeros(rows.rows, dtype=bool)
        state[places], flagged[places] = scores.state, scores.flagged
        refused = [
            {"row": place, "reason": row.reason, "detail": row.detail[:200]} for place, row in seen.refused.items()
        ]
        rest.rows_scored(len(places))
        columns = {
            "score": _spread(scores.score, places, rows.rows),
            "p_value": _spread(scores.p_value, places, rows.rows),
            "flagged": flagged,
            "state": state.tolist(),
        }
        return orjson.dumps({**_which(serving), "rows": rows.rows, **columns, "refused": refused}, option=_JSON)


def _look(
    serving: Serving, project: Project, rows: Batch, state: KernelState | None, groups: Sequence[int] | None
) -> _Seen:
    """What the model says of rows as they came; raises SchemaError where not even one could fit."""
    model = serving.scorer.model
    schema = model.design.schema
    typed, rejected = schema.split(rows.replace({ROW: np.arange(1, rows.rows + 1)}))
    places = typed[ROW] - 1
    hidden = _hidden(schema, project, typed)
    chosen = None if groups is None else [groups[place] for place in places.tolist()]
    matrix = model.kernel.peek(hidden, state, chosen)
    return _Seen(places, matrix, model.judge(matrix, model.entities(hidden)), {row.row - 1: row for row in rejected})


def _hidden(schema: Schema, project: Project, typed: Batch) -> Batch:
    """Pseudonyms, as the stream has them; a name that is only asked about enters no table."""
    if project.config.privacy.identities == "plain" or not schema.identities:
        return typed
    privacy, hidden = project.privacy, {}
    for name in schema.identities:
        hidden[name] = np.empty(typed.rows, dtype=object)
        hidden[name][:] = [privacy.pseudonym(value) for value in typed[name].tolist()]
    return typed.replace(hidden)


def _which(serving: Serving) -> dict[str, Any]:
    return {"model": serving.digest, "version": serving.version}


def _said(serving: Serving, score: float, p_value: float, flagged: bool, state: str) -> dict[str, Any]:  # noqa: FBT001  # a row of `Scores`
    return {"score": score, "p_value": p_value, "flagged": flagged, "state": state, **_which(serving)}


def _misfit(row: Rejected) -> Fault:
    return Fault(422, row.detail, "a row that fits the schema", code=f"row_{row.reason}")


def _spread(values: Vector, places: NDArray[np.int64], rows: int) -> Vector:
    """Values at their places among so many rows; the others are NaN."""
    if len(places) == rows:
        return values
    spread = np.full(rows, np.nan)
    spread[places] = values
    return spread
