"""What `POST /v1/score` and `/v1/score/batch` say of rows, and that they leave no trace."""

from __future__ import annotations

import io
import json
import threading
from typing import Any

import polars as pl
import pytest
from tests.server.conftest import LAST, Client

from tocsin.kernel.checkpoint import dump
from tocsin.records import Batch, Scores
from tocsin.server.bodies import batch
from tocsin.server.policy import ARROW, LINES
from tocsin.system.service import Service


def said(service: Service, rows: list[dict[str, Any]], *, fresh: bool = False) -> Scores:
    """What the model says of rows that come next, on a copy of its state."""
    from tocsin.kernel.checkpoint import load

    model = service.scorer.model
    typed, refused = model.design.schema.split(batch(rows))
    assert not refused
    hidden: Batch = service.project.privacy.apply(model.design.schema, typed)
    state = model.start() if fresh else load(model.kernel, dump(service.scorer.state))
    return model.score(hidden, state)


def test_a_row_is_scored_as_if_it_came_next(client: Client, service: Service, row: dict[str, Any]) -> None:
    wanted = said(service, [row])
    answer = client.post("/v1/score", json={"row": row})
    assert answer.status_code == 200
    told = answer.json()
    assert (told["score"], told["p_value"]) == (wanted.score[0], wanted.p_value[0])
    assert (told["flagged"], told["state"]) == (bool(wanted.flagged[0]), "ready")
    assert told["model"] == service.stream.serving.digest


def test_asking_leaves_no_trace(client: Client, service: Service, row: dict[str, Any]) -> None:
    before, table = dump(service.scorer.state), len(service.project.privacy._names)  # no other way to look
    strange = {**row, "host": "198.51.100.77"}
    for _ in range(3):
        assert client.post("/v1/score", json={"row": row}).json() == client.post("/v1/score", json={"row": row}).json()
        client.post("/v1/score/batch", json=[row, strange])
    assert dump(service.scorer.state) == before
    assert len(service.project.privacy._names) == table


def test_a_row_that_is_far_out_is_flagged_and_says_why(client: Client, row: dict[str, Any]) -> None:
    told = client.post("/v1/score", json={"row": {**row, "bytes": 5e6, "packets": 50_000}, "reasons": True}).json()
    assert told["flagged"]
    assert told["reasons"][0]["feature"].startswith(("bytes", "packets"))


def test_a_window_takes_the_place_of_what_the_service_remembers(
    client: Client, service: Service, row: dict[str, Any]
) -> None:
    window = [{**row, "time": f"2026-03-05T00:0{minute}:00Z", "bytes": 400.0 + minute} for minute in range(4)]
    row = {**row, "time": "2026-03-05T00:05:00Z"}
    told = client.post("/v1/score", json={"row": row, "window": window}).json()
    assert told["score"] == said(service, [*window, row], fresh=True).score[-1]
    alone = client.post("/v1/score", json={"row": row, "window": []}).json()
    assert (alone["state"], alone["flagged"]) == ("warming_up", False)


@pytest.mark.parametrize("form", ["json", "lines", "arrow"])
def test_rows_of_a_batch_follow_each_other(client: Client, service: Service, row: dict[str, Any], form: str) -> None:
    rows = [{**row, "time": LAST.timestamp() + 30 * number, "bytes": 900.0 + number} for number in range(40)]
    for number, each in enumerate(rows):
        each["host"] = f"203.0.113.{number % 7 + 1}"
    wanted = said(service, rows)
    if form == "arrow":
        stream = io.BytesIO()
        pl.DataFrame(rows).write_ipc_stream(stream, compression="uncompressed")
        answer = client.post("/v1/score/batch", content=stream.getvalue(), headers={"content-type": ARROW})
    elif form == "lines":
        text = "\n".join(json.dumps(each) for each in rows)
        answer = client.post("/v1/score/batch", content=text.encode(), headers={"content-type": LINES})
    else:
        answer = client.post("/v1/score/batch", json=rows)
    told = answer.json()
    assert told["rows"] == 40
    assert told["score"] == wanted.score.tolist()
    assert told["flagged"] == wanted.flagged.tolist()
    assert told["state"] == wanted.state.tolist()
    assert told["refused"] == []


def test_a_row_that_does_not_fit_is_named_and_the_others_are_scored(client: Client, row: dict[str, Any]) -> None:
    told = client.post("/v1/score/batch", json=[row, {**row, "bytes": -1}, {**row, "time": "soon"}]).json()
    assert [refused["row"] for refused in told["refused"]] == [1, 2]
    assert [refused["reason"] for refused in told["refused"]] == ["out_of_range", "not_a_time"]
    assert told["state"][1:] == ["refused", "refused"]
    assert told["score"][0] is not None
    assert told["score"][1:] == [None, None]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"bytes": -1}, "row_out_of_range"),
        ({"bytes": None}, "row_missing"),
        ({"bytes": "much"}, "row_not_a_number"),
        ({"packets": 1.5}, "row_not_whole"),
        ({"time": "soon"}, "row_not_a_time"),
        ({"bytes": 10**400}, "row_not_a_number"),
    ],
)
def test_why_a_row_is_refused_is_told(client: Client, row: dict[str, Any], change: dict[str, Any], code: str) -> None:
    answer = client.post("/v1/score", json={"row": {**row, **change}})
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == code


def test_a_row_without_a_column_that_must_be_there_is_refused(client: Client) -> None:
    answer = client.post("/v1/score", json={"row": {"host": "a"}})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "misfit")


def test_requests_that_come_together_are_answered_as_if_alone(client: Client, row: dict[str, Any]) -> None:
    """Rows of one host, under two names of a column, with one that is refused among them."""
    asked = [{**row, "bytes": 900.0 + number} for number in range(60)]
    asked[7]["bytes"] = -5.0
    for number in range(0, 60, 3):
        asked[number]["octets"] = asked[number].pop("bytes")
    alone = [client.post("/v1/score", json={"row": each}).content for each in asked]
    together: dict[int, bytes] = {}

    def ask(number: int) -> None:
        with Client(base_url=client.base_url, timeout=20, trust_env=False) as own:
            together[number] = own.post("/v1/score", json={"row": asked[number]}).content

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[number] for number in range(60)] == alone
    assert b"row_out_of_range" in alone[7]
