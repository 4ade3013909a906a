"""Who is let in: every route, every kind of caller, and whoever comes through somebody else's page."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from fastapi.routing import APIRoute
from tests.server.conftest import Client, Opened
from tests.sinks.receivers import certified

from tocsin.errors import TocsinError
from tocsin.server.api import api
from tocsin.server.door import REFUSALS
from tocsin.server.keys import ApiKeys
from tocsin.server.policy import JSON, ROLES, RULES, Rule
from tocsin.server.site import Clocks, Site
from tocsin.system.service import Service

CALLERS = ("none", "malformed", "unknown", "wrong secret", "expired", "revoked", *ROLES)


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, str]:
    """A key for each kind of caller; none of the first ones holds."""
    clocks = Clocks()
    keys = ApiKeys(tmp_path / "keys.json", clocks.now, clocks.elapsed)
    found: dict[str, str] = {role: keys.new(role, timedelta(days=1)) for role in ROLES}
    yesterday = ApiKeys(tmp_path / "keys.json", lambda: datetime.now(UTC) - timedelta(days=2), clocks.elapsed)
    found["expired"] = yesterday.new("admin", timedelta(days=1))
    found["revoked"] = keys.new("admin", timedelta(days=1))
    keys.revoke(found["revoked"].partition(".")[0])
    admin, viewer = found["admin"].partition("."), found["viewer"].partition(".")
    return found | {
        "malformed": "é" * 9,
        "unknown": f"{'0' * 12}.{'A' * 43}",
        "wrong secret": admin[0] + "." + viewer[2],
    }


@pytest.fixture
def guarded(opened: Opened, secrets: dict[str, str]) -> Client:
    return opened(keys="keys.json")


def call(client: Client, rule: Rule, secret: str | None) -> int:
    """The status of a request that nothing is wrong with but, perhaps, its key."""
    bodies: dict[str, Any] = {"/v1/score": {"row": {}}, "/v1/score/batch": [], "/v1/events": []}
    path = rule.path.replace("{name}", "nobody")
    headers = {} if secret is None else {b"authorization": f"Bearer {secret}".encode()}
    content = {"json": bodies.get(rule.path, {"version": 1} if "promote" in path else {})} if rule.types else {}
    return client.request(rule.method, path, headers=headers, **content).status_code


def expected(rule: Rule, caller: str) -> set[int]:
    """What the policy says: let in (whatever comes of it), unknown, or forbidden."""
    let_in = {200, 202, 404, 422}
    if rule.roles is None or caller in rule.roles:
        return let_in
    return {403} if caller in ROLES else {401, 429}


def test_every_route_and_caller_is_as_the_policy_says(guarded: Client, secrets: dict[str, str]) -> None:
    got = {(rule.path, caller): call(guarded, rule, secrets.get(caller)) for rule in RULES for caller in CALLERS}
    wrong = {
        (path, caller): status
        for (path, caller), status in got.items()
        if status not in expected(next(rule for rule in RULES if rule.path == path), caller)
    }
    assert wrong == {}


def test_a_route_without_a_rule_is_not_served(service: Service) -> None:
    """FastAPI's own routes and the policy name each other, and the policy alone decides."""
    routes = {
        (method, route.path)
        for route in api(Site.of(service)).routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    hot = {"/openapi.json", "/v1/score", "/v1/score/batch", "/v1/events"}
    assert routes == {(rule.method, rule.path) for rule in RULES if rule.path not in hot}


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/redoc", "/v1/score/", "/v1//score", "/v1/models/a%2Fb/promote", "/.."]
)
def test_what_has_no_rule_is_not_there(client: Client, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_another_method_is_told_which_there_are(client: Client) -> None:
    answer = client.put("/v1/score", json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_wrong_keys_are_slowed_down_and_right_ones_are_not(guarded: Client, secrets: dict[str, str]) -> None:
    wrong = [guarded.get("/v1/status", headers={"authorization": "Bearer x"}) for _ in range(int(REFUSALS) + 5)]
    assert {answer.status_code for answer in wrong[: int(REFUSALS)]} == {401}
    assert wrong[0].headers["www-authenticate"].startswith("Bearer")
    assert wrong[-1].status_code == 429
    assert int(wrong[-1].headers["retry-after"]) >= 1
    assert guarded.get("/v1/status", headers={"authorization": f"Bearer {secrets['viewer']}"}).status_code == 200


def test_who_asks_too_often_waits(opened: Opened) -> None:
    client = opened(requests_per_second=3)
    statuses = [client.get("/healthz").status_code for _ in range(8)]
    assert statuses[:3] == [200, 200, 200]
    assert 429 in statuses


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.:80", "[::1", "127.0.0.1:80:80"]
)
def test_a_strangers_name_does_not_lead_here(client: Client, host: str) -> None:
    assert client.get("/healthz", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1", "LOCALHOST:1", "[::1]:80"])
def test_its_own_names_do(client: Client, host: str) -> None:
    assert client.get("/healthz", headers={"host": host}).status_code == 200


def test_a_proxys_name_does_where_the_config_says_so(opened: Opened) -> None:
    client = opened(behind_proxy=("tocsin.example.org",))
    assert client.get("/healthz", headers={"host": "tocsin.example.org"}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "file://", "http://127.0.0.1:1"])
def test_a_page_of_another_origin_is_refused(client: Client, origin: str) -> None:
    answer = client.post("/v1/models/small/rollback", json={}, headers={"origin": origin})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "foreign_origin")


def test_a_page_cannot_send_a_form(client: Client) -> None:
    """A browser sends these types across origins without asking first."""
    for type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = client.post("/v1/models/small/rollback", content=b"{}", headers={"content-type": type})
        assert answer.status_code == 415


@pytest.mark.parametrize("name", ["authorization", "content-type", "origin"])
def test_a_header_that_says_two_things_is_refused(client: Client, name: str) -> None:
    headers = [("content-type", JSON), (name, "a"), (name, "b")]
    assert client.post("/v1/score", content=b"{}", headers=headers).status_code == 400


def test_answers_are_neither_kept_nor_guessed_at(client: Client) -> None:
    for path in ("/healthz", "/v1/alerts", "/nowhere"):
        headers = client.get(path).headers
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")
        assert "server" not in headers


def test_over_tls_nobody_is_served_in_the_clear(opened: Opened, tmp_path: Path) -> None:
    _, chain = certified(tmp_path)
    client = opened(tls={"certificate": "server.pem", "key": "server.pem"})
    address = f"127.0.0.1:{client.port}"
    trusting = ssl.create_default_context(cafile=chain)
    with httpx.Client(verify=trusting, trust_env=False) as secure:
        assert secure.get(f"https://{address}/healthz").status_code == 200
    with httpx.Client(trust_env=False) as stranger, pytest.raises(httpx.TransportError):
        stranger.get(f"https://{address}/healthz")
    with pytest.raises(httpx.TransportError):
        client.get("/healthz")


def test_a_certificate_that_is_none_is_named(opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("nothing", "utf-8")
    for name in ("no.pem", "missing.pem"):
        with pytest.raises(TocsinError, match=r"\$\.server\.tls"):
            opened(tls={"certificate": name, "key": name})
