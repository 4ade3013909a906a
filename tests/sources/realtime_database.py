"""A small Realtime Database: its REST interface and its streams, in memory, on a free port, and as broken as told.

Source: Firebase, "Firebase Database REST API". The official client `firebase-admin` judges it in
`test_realtime_database.py`.
"""

from __future__ import annotations

import asyncio
import json
import operator
import threading
import time
from collections.abc import AsyncIterator
from hashlib import sha256
from http import HTTPStatus
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from tocsin.sources.base_realtime import BY_KEY, place_of, records_of

_METHODS = ["GET", "PUT", "PATCH", "POST", "DELETE"]


class RealtimeDatabase:
    """Runs in a thread of this process; what a test changes of it holds from the next request on."""

    def __init__(self) -> None:
        self.tree: Any = None
        self.token: str | None = None
        """What a request must bear, if anything."""
        self.tokens_given = 0
        self.faults: list[int] = []
        """Status codes of the next answers; 0 cuts one off in the middle."""
        self.stream_fault = 0
        """Status code of all streams, if not 0."""
        self.redirect: str | None = None
        """Where streams are sent on to."""
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.streams: list[_Stream] = []
        self._lock = threading.RLock()
        routes = [
            Route("/token", self._give_token, methods=["POST"]),
            Route("/{path:path}", self._answer, methods=_METHODS),
        ]
        config = uvicorn.Config(Starlette(routes=routes), host="127.0.0.1", port=0, log_level="error")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._server.should_exit = True
        self._thread.join()

    def put(self, path: str, value: Any) -> None:
        """Write, as a request would, and tell it to the streams."""
        steps = _steps(path)
        with self._lock:
            self.tree = _written(self.tree, steps, value)
            self._tell("put", steps, value)

    def tell(self, event: str, data: str = "null") -> None:
        """Send an event of any kind to all streams."""
        with self._lock:
            for stream in self.streams:
                stream.send(event, data)

    def cut(self) -> None:
        """Break all streams off."""
        with self._lock:
            streams, self.streams = self.streams, []
        for stream in streams:
            stream.send("", "")

    async def _give_token(self, request: Request) -> Response:
        await request.body()
        self.tokens_given += 1
        self.token = f"token-{self.tokens_given}"
        return JSONResponse({"access_token": self.token, "expires_in": 3_600, "token_type": "Bearer"})

    async def _answer(self, request: Request) -> Response:
        steps = _steps(request.path_params["path"].removesuffix(".json"))
        query = dict(request.query_params)
        self.asked.append((request.method, query))
        if self.faults:
            fault = self.faults.pop(0)
            return JSONResponse({"error": "as told"}, fault) if fault else StreamingResponse(_half(), media_type="json")
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            return JSONResponse({"error": "Permission denied"}, HTTPStatus.UNAUTHORIZED)
        if request.method == "GET" and "text/event-stream" in request.headers.get("accept", ""):
            return self._stream(steps, query) if not self.stream_fault else Response(status_code=self.stream_fault)
        if request.method == "GET":
            return self._read(steps, query, request)
        return self._write(steps, query, request, json.loads(await request.body() or b"null"))

    def _read(self, steps: list[str], query: dict[str, str], request: Request) -> Response:
        value = _below(self.tree, steps)
        if "shallow" in query and isinstance(value, dict):
            value = dict.fromkeys(value, True)
        headers = {"ETag": _etag(value)} if request.headers.get("x-firebase-etag") else {}
        return JSONResponse(_chosen(value, query), headers=headers)

    def _write(self, steps: list[str], query: dict[str, str], request: Request, value: Any) -> Response:
        wanted = request.headers.get("if-match")
        before = _below(self.tree, steps)
        if wanted and wanted != _etag(before):
            return JSONResponse(before, HTTPStatus.PRECONDITION_FAILED, headers={"ETag": _etag(before)})
        answer: Any = value
        if request.method == "POST":
            name = f"-{time.time_ns():019d}"
            steps, answer = [*steps, name], {"name": name}
        if request.method == "PATCH":
            for key, item in value.items():
                self.tree = _written(self.tree, [*steps, *_steps(key)], item)
            self._tell("patch", steps, value)
        else:
            value = None if request.method == "DELETE" else value
            self.tree = _written(self.tree, steps, value)
            self._tell("put", steps, value)
        headers = {"ETag": _etag(_below(self.tree, steps))} if request.headers.get("x-firebase-etag") else {}
        if query.get("print") == "silent":
            return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
        return JSONResponse(answer, headers=headers)

    def _stream(self, steps: list[str], query: dict[str, str]) -> Response:
        if self.redirect:
            return RedirectResponse(self.redirect, HTTPStatus.TEMPORARY_REDIRECT)
        stream = _Stream(steps, query)
        with self._lock:
            self.streams.append(stream)
            data = _chosen(_below(self.tree, steps), query)
            stream.send("put", json.dumps({"path": "/", "data": data}))
        return StreamingResponse(stream.sent(), media_type="text/event-stream")

    def _tell(self, event: str, steps: list[str], value: Any) -> None:
        self.streams = [stream for stream in self.streams if not stream.ended]
        for stream in self.streams:
            inner = steps[len(stream.steps) :]
            if steps[: len(stream.steps)] == stream.steps and stream.covers(inner, _below(self.tree, stream.steps)):
                stream.send(event, json.dumps({"path": "/" + "/".join(inner), "data": value}))


class _Stream:
    def __init__(self, steps: list[str], query: dict[str, str]) -> None:
        self.steps = steps
        self.query = query
        self.ended = False
        self._queue: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    def send(self, event: str, data: str) -> None:
        self._loop.call_soon_threadsafe(self._queue.put_nowait, (event, data))

    def covers(self, inner: list[str], value: Any) -> bool:
        """Whether the child that changed is one that the query of the stream chooses."""
        return not inner or "orderBy" not in self.query or inner[0] in (_chosen(value, self.query) or {})

    async def sent(self) -> AsyncIterator[str]:
        try:
            while True:
                event, data = await self._queue.get()
                if not event:
                    return
                yield f"event: {event}\ndata: {data}\n\n"
        finally:
            self.ended = True


async def _half() -> AsyncIterator[bytes]:
    yield b'{"half": '
    raise ConnectionResetError


def _chosen(value: Any, query: dict[str, str]) -> Any:
    if "orderBy" not in query:
        return value
    order_by = json.loads(query["orderBy"])
    records = records_of(value, order_by)
    for name, fits in (("startAt", operator.ge), ("endAt", operator.le), ("equalTo", operator.eq)):
        if name in query:
            edge = json.loads(query[name])
            place = place_of(edge, edge, BY_KEY) if order_by == BY_KEY else place_of("", edge)[:2]
            records = [record for record in records if fits(record.place[: len(place)], place)]
    if "limitToFirst" in query:
        records = records[: int(query["limitToFirst"])]
    if "limitToLast" in query:
        records = records[-int(query["limitToLast"]) :]
    return {record.key: record.value for record in reversed(records)}


def _steps(path: str) -> list[str]:
    return [step for step in path.split("/") if step]


def _below(tree: Any, steps: list[str]) -> Any:
    for step in steps:
        tree = tree.get(step) if isinstance(tree, dict) else None
    return tree


def _written(tree: Any, steps: list[str], value: Any) -> Any:
    if not steps:
        return value
    children = dict(tree) if isinstance(tree, dict) else {}
    child = _written(children.get(steps[0]), steps[1:], value)
    children[steps[0]] = child
    return {key: item for key, item in children.items() if item not in (None, {})} or None


def _etag(value: Any) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
