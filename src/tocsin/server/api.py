"""The part of the server for people and their tools: alerts, models, how it stands. Documented as OpenAPI."""

from __future__ import annotations

import re
import threading
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

import tocsin
from tocsin.errors import NotStored, TocsinError
from tocsin.journal.stored import LATEST, Kept
from tocsin.observe import metrics, rest
from tocsin.server.answers import (
    AlertsTold,
    AlertTold,
    Health,
    ModelsTold,
    Moved,
    Promotion,
    ReasonTold,
    Rollback,
    StatusTold,
    VersionTold,
)
from tocsin.server.faults import Fault
from tocsin.server.policy import NAME
from tocsin.server.site import Site

MOST_ALERTS = 500
"""Of a page."""
READY_S = 2.0
"""A service that answers no question within this time is not ready."""
_PSEUDONYM = re.compile("[0-9a-f]{32}")
_CURSOR = r"^\d{1,18}\.[0-9A-Za-z_-]{1,128}$"

ModelName = Annotated[str, Path(pattern=f"^{NAME}$")]


def api(site: Site) -> FastAPI:
    """The application; who may ask what is decided before it, see `door`."""
    app = FastAPI(title="Tocsin", version=tocsin.__version__, openapi_url=None, docs_url=None, redoc_url=None)
    _answer_in_one_form(app)
    _add_facts(app, site)
    _add_models(app, site)
    return app


def _answer_in_one_form(app: FastAPI) -> None:
    """Every refusal as a `Fault` has it."""

    async def refuse(_: Request, error: Exception) -> Response:
        if isinstance(error, Fault):
            fault = error
        elif isinstance(error, TocsinError):
            fault = Fault.of(error)
        elif isinstance(error, RequestValidationError):
            first = error.errors()[0]
            fault = Fault(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}", "see /openapi.json")
        elif isinstance(error, HTTPException):
            fault = Fault(error.status_code, "a request that is not served", "see /openapi.json")
        else:
            fault = Fault(500, "a defect of Tocsin", hint="see its log")  # which has it from the door
        return Response(fault.body, fault.status, media_type="application/json")

    for kind in (Fault, TocsinError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, refuse)


def _add_facts(app: FastAPI, site: Site) -> None:
    @app.get("/healthz")
    async def healthz() -> Health:
        """The process answers."""
        return Health(status="ok")

    @app.get("/readyz")
    def readyz() -> Health:
        """The service works: its scoring thread answers, and stands where an earlier process was."""
        if not site.ask(site.ready, READY_S):
            got, wanted = "rows behind the checkpoint are read again", "a stream that is where it was"
            raise Fault(503, got, wanted, "ask again in a moment", code="replaying")
        return Health(status="ok")

    @app.get("/metrics", response_class=Response)
    def told() -> Response:
        """Everything that is counted and measured, for Prometheus."""
        return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)

    @app.get("/v1/status")
    def status() -> StatusTold:
        """How the service stands."""
        serving = site.serving()
        name = site.project.config.name
        return StatusTold(
            name=name,
            tocsin=tocsin.__version__,
            model=serving.digest,
            version=serving.version,
            stream=site.ask(site.status),
        )

    @app.get("/v1/alerts")
    def alerts(
        limit: Annotated[int, Query(ge=1, le=MOST_ALERTS)] = 100,
        before: Annotated[str | None, Query(pattern=_CURSOR, description="`next` of another page")] = None,
        since_us: Annotated[int, Query(ge=0, le=LATEST, description="Committed at or after, UTC")] = 0,
        entity: Annotated[str | None, Query(max_length=1_024, description="A name, or its pseudonym")] = None,
    ) -> AlertsTold:
        """The newest first."""
        moment, _, last = (before or f"{LATEST}.").partition(".")
        whose = None if entity is None else _pseudonym(site, entity)
        found = site.alerts(since_us, limit + 1, whose, (int(moment), last))
        page = found[:limit]
        more = f"{page[-1].committed}.{page[-1].alert.id}" if len(found) > limit else None
        return AlertsTold(alerts=[_told(kept) for kept in page], next=more)


def _add_models(app: FastAPI, site: Site) -> None:
    writing = threading.Lock()
    """Two channel moves of one process follow each other; those of others are told apart by the registry."""

    def expect(name: str) -> None:
        if name != site.project.config.name:
            raise NotStored("models", f'no model "{name}"', site.project.config.name)

    @app.get("/v1/models")
    def models() -> ModelsTold:
        """What the registry holds."""
        registry, name = site.project.registry, site.project.config.name
        if name not in registry.names():
            return ModelsTold(models=[], channels={})
        versions = [VersionTold.model_validate(entry, from_attributes=True) for entry in registry.history(name)]
        return ModelsTold(models=versions, channels=dict(registry.channels(name)))

    @app.post("/v1/models/{name}/promote")
    def promote(name: ModelName, wanted: Promotion, request: Request) -> Moved:
        """Point a channel at a version; the service follows."""
        expect(name)
        with writing:
            site.project.promote(wanted.version, wanted.channel, approval=wanted.approval)
        rest.model_moved(wanted.version, _role(request))
        return Moved(name=name, channel=wanted.channel, version=wanted.version)

    @app.post("/v1/models/{name}/rollback")
    def rollback(name: ModelName, wanted: Rollback, request: Request) -> Moved:
        """Point a channel at the version before this one."""
        expect(name)
        with writing:
            entry = site.project.roll_back(wanted.channel)
        rest.model_moved(entry.version, _role(request))
        return Moved(name=name, channel=wanted.channel, version=entry.version)


def _pseudonym(site: Site, entity: str) -> str:
    """What stands for an entity in alerts, however it is named."""
    return entity if _PSEUDONYM.fullmatch(entity) else site.project.privacy.pseudonym(entity)


def _role(request: Request) -> str:
    return str(request.scope["state"]["role"])


def _told(kept: Kept) -> AlertTold:
    alert = kept.alert
    fields: dict[str, Any] = {name: getattr(alert, name) for name in AlertTold.model_fields if hasattr(alert, name)}
    return AlertTold(
        **fields
        | {
            "start_us": alert.start,
            "end_us": alert.end,
            "reasons": [_reason(reason) for reason in alert.reasons],
            "committed_us": kept.committed,
            "deliveries": {sink: outcome or "waiting" for sink, outcome in kept.outcomes.items()},
        }
    )


def _reason(reason: Any) -> ReasonTold:
    values = {name: getattr(reason, name) for name in ReasonTold.model_fields}
    # NaN differs from itself; JSON has no word for it.
    return ReasonTold(**{name: None if value != value else value for name, value in values.items()})  # noqa: PLR0124
