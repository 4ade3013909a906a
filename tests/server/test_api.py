"""Alerts, models and how the service stands, for people and their tools."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.server.conftest import Client, Opened, serving

from tocsin.checks.sink import example_alert
from tocsin.config import KeepConfig
from tocsin.errors import LimitExceeded
from tocsin.journal import Journal, Step
from tocsin.journal.stored import Stored
from tocsin.server.faults import CODES
from tocsin.server.policy import LINES, RULES
from tocsin.system.service import Service


def test_the_status_names_the_model_and_what_became_of_the_rows(client: Client, service: Service) -> None:
    told = client.get("/v1/status").json()
    assert (told["model"], told["version"]) == (service.stream.serving.digest, service.stream.serving.version)
    assert told["stream"]["rows"]["received"] == 1_200
    assert told["stream"]["entities"] == 5


def test_it_is_healthy_and_ready(client: Client) -> None:
    assert client.get("/healthz").json() == client.get("/readyz").json() == {"status": "ok"}


def test_a_service_whose_thread_is_stuck_is_healthy_tells_its_alerts_and_is_not_ready(
    client: Client, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tocsin.server.api.READY_S", 0.1)
    let_go = threading.Event()
    stuck = threading.Thread(target=lambda: service.requests.ask(lambda: let_go.wait(20), 30))
    stuck.start()
    try:
        answers = [client.get("/readyz") for _ in range(5)]
        assert answers[-1].status_code == 503
        assert answers[-1].json()["error"]["code"] == "busy"
        assert client.get("/healthz").status_code == client.get("/v1/alerts").status_code == 200
    finally:
        let_go.set()
        stuck.join()


def test_a_service_that_reads_again_what_came_behind_its_checkpoint_is_healthy_and_not_ready(
    client: Client, tmp_path: Path
) -> None:
    with serving(replace(client.site, ready=lambda: False), tmp_path, None) as other:
        answer = other.get("/readyz")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "replaying")
        assert other.get("/healthz").status_code == 200


def test_alerts_come_the_newest_first_page_by_page(client: Client) -> None:
    whole = client.get("/v1/alerts").json()
    assert whole["next"] is None
    alerts = whole["alerts"]
    assert len(alerts) > 2
    assert [alert["committed_us"] for alert in alerts] == sorted((a["committed_us"] for a in alerts), reverse=True)
    pages, cursor = [], None
    while True:
        page = client.get("/v1/alerts", params={"limit": 2, **({"before": cursor} if cursor else {})}).json()
        pages += page["alerts"]
        if (cursor := page["next"]) is None:
            break
    assert [alert["id"] for alert in pages] == [alert["id"] for alert in alerts]


def test_an_alert_says_what_it_is_about_and_whether_it_rang(client: Client, tmp_path: Path) -> None:
    whole = replace(example_alert(0), entity="", entities=("a", "b", "c"), incident="i", id="i")
    part = replace(example_alert(1), incident="i", quiet="incident")
    with Journal(tmp_path, (), KeepConfig(), lambda: 1) as journal:
        journal.commit(Step(alerts=(whole, part)))
    site = replace(client.site, alerts=Stored.beside(tmp_path).alerts)
    with serving(site, tmp_path, None) as other:
        alerts = {alert["id"]: alert for alert in other.get("/v1/alerts").json()["alerts"]}
    for alert in (whole, part):
        told = alerts[alert.id]
        assert (told["cause"], told["incident"], told["quiet"]) == ("bytes_out", "i", alert.quiet)
        assert tuple(told["entities"]) == alert.entities


def test_alerts_of_an_entity_are_found_by_its_name_and_by_its_pseudonym(client: Client) -> None:
    alerts = client.get("/v1/alerts").json()["alerts"]
    pseudonym = alerts[0]["entity"]
    assert "203.0.113" not in pseudonym
    mine = client.get("/v1/alerts", params={"entity": pseudonym}).json()["alerts"]
    assert {alert["entity"] for alert in mine} == {pseudonym}
    named = [client.get("/v1/alerts", params={"entity": f"203.0.113.{n}"}).json()["alerts"] for n in range(1, 6)]
    assert mine in named
    assert sum(map(len, named)) == len(alerts)
    assert client.get("/v1/alerts", params={"entity": "nobody"}).json()["alerts"] == []


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0}, {"limit": 501}, {"limit": "x"}, {"before": "x"}, {"before": "9947769236410620278.w"},
        {"since_us": -1}, {"entity": "x" * 1_025},
    ],
)  # fmt: skip
def test_what_no_page_can_be_is_refused(client: Client, query: dict[str, Any]) -> None:
    answer = client.get("/v1/alerts", params=query)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "misfit")


def test_a_defect_has_the_form_of_every_refusal(client: Client, tmp_path: Path) -> None:
    def breaks(*_: object) -> list[Any]:
        raise OverflowError("too large")

    with serving(replace(client.site, alerts=breaks), tmp_path, None) as other:
        answer = other.get("/v1/alerts")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")


def test_a_model_is_promoted_and_rolled_back(client: Client) -> None:
    before = client.get("/v1/models").json()
    assert [model["version"] for model in before["models"]] == [1, 2]
    assert before["channels"]["champion"] == 1
    moved = client.post("/v1/models/small/promote", json={"version": 2})
    assert (moved.status_code, moved.json()["version"]) == (200, 2)
    assert client.get("/v1/models").json()["channels"]["champion"] == 2
    back = client.post("/v1/models/small/rollback", json={})
    assert (back.status_code, back.json()["version"]) == (200, 1)
    assert client.get("/v1/models").json()["channels"]["champion"] == 1


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/models/small/promote", {"version": 99}, 409),
        ("/v1/models/other/promote", {"version": 1}, 404),
        ("/v1/models/small/promote", {"version": "1"}, 422),
        ("/v1/models/small/promote", {"version": 1, "also": 1}, 422),
        ("/v1/models/small/promote", {"version": 1, "channel": "../x"}, 422),
        ("/v1/models/small/promote", {"version": 10**30}, 422),
        ("/v1/models/small/rollback", {"channel": "nowhere"}, 409),
        ("/v1/models/small/rollback", [], 422),
    ],
)
def test_what_cannot_be_promoted_is_refused(client: Client, path: str, body: Any, status: int) -> None:
    assert client.post(path, json=body).status_code == status


def test_what_is_counted_is_told(client: Client) -> None:
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'tocsin_rest_requests_total{route="/metrics"' in client.get("/metrics").text


def test_the_document_describes_every_route_and_nothing_else(client: Client) -> None:
    document = client.get("/openapi.json").json()
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert described == {(rule.method, rule.path) for rule in RULES}
    told = {
        path: operation["responses"].keys() for path, item in document["paths"].items() for operation in item.values()
    }
    assert set().union(*told.values()) == {str(status) for status in CODES} | {"200", "202"}
    rare = {"401", "404", "409", "415", "422"}
    assert told["/healthz"] & rare == set()
    assert told["/v1/alerts"] & rare == {"401", "422"}
    assert told["/v1/score"] & rare == {"401", "415", "422"}
    assert told["/v1/models/{name}/promote"] & rare == rare


class Kept:
    """A log that has room for so many events."""

    def __init__(self, room: int) -> None:
        self.events: list[bytes] = []
        self.room = room

    def append(self, events: Any, timeout_s: float = 0.0) -> int:
        if len(self.events) + len(events) > self.room:
            raise LimitExceeded("events.db", "no room", "fewer events", "wait for the stream")
        self.events += events
        return len(events)


def test_events_are_kept_before_they_are_acknowledged(opened: Opened, row: dict[str, Any]) -> None:
    log = Kept(5)
    client = opened(log=log)
    answer = client.post("/v1/events", json=[row, {**row, "http": {"status": 200}}])
    assert (answer.status_code, answer.json()) == (202, {"taken": 2, "new": 2})
    lines = b'{"a": 1}\n\n{"b": "\\u0041"}\n'
    assert client.post("/v1/events", content=lines, headers={"content-type": LINES}).status_code == 202
    assert log.events[2:] == [b'{"a": 1}', b'{"b": "\\u0041"}']


def test_a_full_log_asks_to_wait(opened: Opened, row: dict[str, Any]) -> None:
    answer = opened(log=Kept(1)).post("/v1/events", json=[row, row])
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")


@pytest.mark.parametrize("event", [1, {}, {"a": [1]}, {"a": {"b": {"c": 1}}}, {"a": "x" * 1_025}, None])
def test_what_is_no_event_is_refused_and_nothing_kept(opened: Opened, row: dict[str, Any], event: Any) -> None:
    log = Kept(9)
    assert opened(log=log).post("/v1/events", json=[row, event]).status_code == 422
    assert log.events == []


def test_where_no_events_are_taken_it_says_so(client: Client, row: dict[str, Any]) -> None:
    assert client.post("/v1/events", json=[row]).status_code == 404
