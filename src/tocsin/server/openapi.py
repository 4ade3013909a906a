"""The OpenAPI document: what FastAPI knows of its own routes, and those that do not go through it."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from tocsin.server.answers import (
    BatchTold,
    EventGiven,
    EventsGiven,
    EventsTaken,
    Refusal,
    RowGiven,
    RowsGiven,
    ScoreAsked,
    ScoreTold,
)
from tocsin.server.policy import ARROW, JSON, LINES, RULES, Rule

_REF = "#/components/schemas/{model}"
_WHY = {
    400: "Malformed, or a header twice", 401: "No key that holds", 403: "A role that may not, or a foreign origin",
    404: "No such thing", 405: "Another method", 408: "Too slow", 409: "Somebody was first, or the registry refuses",
    413: "Too large", 415: "Another type, or compressed", 421: "Another host", 422: "Does not fit",
    429: "Too many; see Retry-After", 431: "Headers too large", 500: "A defect", 503: "Busy; see Retry-After",
}  # fmt: skip
_HOT: dict[str, tuple[str, int, Any, dict[str, Any]]] = {
    "/v1/score": ("Score one row as if it came next; nothing is remembered of it.", 200, ScoreTold, {JSON: ScoreAsked}),
    "/v1/score/batch": (
        "Score many rows as if they came next; an Arrow stream is not compressed.",
        200, BatchTold, {JSON: RowsGiven, LINES: RowGiven, ARROW: None},
    ),
    "/v1/events": (
        "Put events into the log that the stream reads; answered once they are there for good.",
        202, EventsTaken, {JSON: EventsGiven, LINES: EventGiven},
    ),
}  # fmt: skip


def openapi(document: dict[str, Any]) -> dict[str, Any]:
    """The document of all routes in the policy, made of that of FastAPI."""
    schemas = document["components"]["schemas"]
    for path, (summary, status, answer, bodies) in _HOT.items():
        content = {type: {"schema": _schema(form, schemas)} for type, form in bodies.items()}
        document["paths"][path] = {
            "post": {
                "summary": summary,
                "operationId": path.strip("/").replace("/", "_"),
                "requestBody": {"required": True, "content": content},
                "responses": {str(status): _response("Done", _schema(answer, schemas))},
            }
        }
    refusal = _schema(Refusal, schemas)
    for rule in RULES:
        _describe(document, rule, refusal)
    document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return document


def _refusals(rule: Rule, *, asks: bool) -> list[int]:
    """Statuses that a request to a route may be refused with; `asks`: it has parameters."""
    names_models = rule.path.startswith("/v1/models")
    where = {
        401: rule.roles is not None,
        404: names_models or rule.path == "/v1/events",
        409: names_models,
        415: bool(rule.types),
        422: bool(rule.types) or asks,
    }
    return [status for status in _WHY if where.get(status, True)]


def _describe(document: dict[str, Any], rule: Rule, refusal: dict[str, Any]) -> None:
    if rule.path == "/openapi.json":
        document["paths"][rule.path] = {"get": {"summary": "This document", "responses": {"200": _response("It", {})}}}
    operation = document["paths"][rule.path][rule.method.lower()]
    responses = operation["responses"]
    responses.pop("422", None)
    responses |= {
        str(status): _response(_WHY[status], refusal) for status in _refusals(rule, asks="parameters" in operation)
    }
    if rule.roles is not None:
        operation["security"] = [{"key": []}]
        operation["description"] = (
            f"{operation.get('description', '')}\n\nRoles: {', '.join(sorted(rule.roles))}.".strip()
        )
    if rule.path == "/metrics":
        responses["200"] = {"description": "Text", "content": {"text/plain": {"schema": {"type": "string"}}}}


def _response(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {JSON: {"schema": schema}}}


def _schema(form: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    if form is None:
        return {"type": "string", "format": "binary"}
    found = TypeAdapter(form).json_schema(ref_template=_REF)
    schemas.update(found.pop("$defs", {}))
    name = getattr(form, "__name__", "")
    if not isinstance(form, type):
        return found
    schemas[name] = found
    return {"$ref": _REF.format(model=name)}
