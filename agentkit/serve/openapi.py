"""The table of routes, and the OpenAPI document that is made of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from agentkit.agent import __version__
from agentkit.serve import bodies
from agentkit.serve.problems import MEDIA_TYPE

_SESSION = "/sessions/{session_id}"
_PROBLEMS = {
    400: "The request is malformed.",
    401: "No valid token.",
    403: "A page of another site asks.",
    404: "There is no such session, or none that the caller may see.",
    409: "It does not fit the session's present state, or its agent.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    421: "The service does not go by this host name.",
    422: "A value is not allowed.",
    429: "Too much at a time; see Retry-After.",
    501: "It needs a package that is not installed here.",
    500: "A fault of the service, of its sandbox or of its store.",
    503: "The store cannot be used, or the service is ending; see Retry-After.",
}
_ALWAYS = (400, 403, 421, 500, 503)
_TEXT = {"type": "string"}
_EVENT = {
    "type": "object",
    "description": "Each event of the stream.",
    "properties": {
        "id": {**_TEXT, "description": "The event's `seq`; absent where it is not stored."},
        "event": {**_TEXT, "description": "The event's `type`."},
        "data": {**_TEXT, "description": "The event as JSON, see `events.schema.json`."},
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One route."""

    method: str
    path: str
    name: str
    """Of the method of ``Routes`` that answers."""
    summary: str
    answer: type[BaseModel] | dict[str, Any] | None
    """A model, or what each media type holds."""
    status: int = 200
    body: type[BaseModel] | None = None
    query: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    problems: tuple[int, ...] = ()
    open: bool = False
    """Needs no token."""


_BODY = (401, 413, 415, 422)
_ONE = (401, 404)
OPERATIONS = (
    Operation(
        method="GET",
        path="/healthz",
        name="healthz",
        summary="Whether the service lives.",
        answer=bodies.Health,
        open=True,
    ),
    Operation(
        method="POST",
        path="/sessions",
        name="create",
        summary="Begin a session, and work on its message if it has one.",
        body=bodies.NewSession,
        answer=bodies.SessionView,
        status=201,
        problems=(*_BODY, 409, 429),
    ),
    Operation(
        method="GET",
        path="/sessions",
        name="sessions",
        summary="The caller's sessions, the last used first.",
        answer=bodies.Sessions,
        query={
            "limit": {"type": "integer", "minimum": 1, "maximum": 200},
            "cursor": {**_TEXT, "description": "`next` of the page before."},
        },
        problems=(401, 422),
    ),
    Operation(
        method="GET",
        path=_SESSION,
        name="session",
        summary="One session.",
        answer=bodies.SessionView,
        problems=_ONE,
    ),
    Operation(
        method="POST",
        path=f"{_SESSION}/messages",
        name="message",
        summary="Start a run; it goes on whether or not anybody listens.",
        body=bodies.NewMessage,
        answer=bodies.Taken,
        status=202,
        problems=(*_BODY, 404, 409, 429),
    ),
    Operation(
        method="GET",
        path=f"{_SESSION}/events",
        name="events",
        summary="The events as they happen. `id` is the event's `seq`; after a lost connection"
        " `Last-Event-ID` goes on where it ended. What is not stored carries no id.",
        answer={"text/event-stream": _EVENT},
        query={
            "after": {"type": "integer", "minimum": 0, "description": "As Last-Event-ID."},
            "until": {"enum": ["now", "finished"], "description": "When to end the stream."},
            "deltas": {"type": "boolean", "description": "Pieces of answers and of output too."},
            "format": {
                "enum": ["agentkit", "ag-ui"],
                "description": "`ag-ui`: as that protocol has them, from the session's beginning.",
            },
        },
        problems=(*_ONE, 409, 422, 429, 501),
    ),
    Operation(
        method="POST",
        path="/ag-ui",
        name="ag_ui",
        summary="Run as an agent of the AG-UI protocol: the answer is the run's events. The run"
        " goes on where the client goes away.",
        body=bodies.AgUiInput,
        answer={"text/event-stream": _TEXT},
        problems=(*_BODY, 404, 409, 429, 501),
    ),
    Operation(
        method="POST",
        path=f"{_SESSION}/steer",
        name="steer",
        summary="Say something in mid-run; the model reads it before its next answer.",
        body=bodies.Steer,
        answer=bodies.Taken,
        status=202,
        problems=(*_BODY, 404, 409),
    ),
    Operation(
        method="POST",
        path=f"{_SESSION}/cancel",
        name="cancel",
        summary="Stop the run; the session can be gone on with.",
        body=bodies.Nothing,
        answer=bodies.Taken,
        status=202,
        problems=(*_BODY, 404, 409),
    ),
    Operation(
        method="POST",
        path=f"{_SESSION}/approvals/{{call}}",
        name="approve",
        summary="Answer a call that waits for a yes.",
        body=bodies.Answer,
        answer=bodies.Taken,
        problems=(*_BODY, 404, 409),
    ),
    Operation(
        method="POST",
        path=f"{_SESSION}/fork",
        name="fork",
        summary="Begin another session at a turn of this one, with a copy of the workspace.",
        body=bodies.Fork,
        answer=bodies.Branched,
        status=201,
        problems=(*_BODY, 404, 409),
    ),
    Operation(
        method="POST",
        path=f"{_SESSION}/undo",
        name="undo",
        summary="Take back the last message and its changes; the session goes on under a new id.",
        body=bodies.Undo,
        answer=bodies.Branched,
        status=201,
        problems=(*_BODY, 404, 409),
    ),
    Operation(
        method="GET",
        path=f"{_SESSION}/account",
        name="account",
        summary="What the session cost and why: hits and misses of each request, time of tools.",
        answer=bodies.AccountView,
        query={"requests": {"type": "boolean", "description": "Each request, or sums only."}},
        problems=(*_ONE, 422),
    ),
    Operation(
        method="GET",
        path=f"{_SESSION}/changes",
        name="changes",
        summary="What a turn changed in the workspace.",
        answer=bodies.Changes,
        query={
            "turn": {
                "type": "integer",
                "minimum": 1,
                "maximum": 10**9,
                "description": "By default the last that changed something.",
            }
        },
        problems=(*_ONE, 422),
    ),
    Operation(
        method="GET",
        path=f"{_SESSION}/export",
        name="export",
        summary="The session as a file.",
        answer={
            "application/jsonl": _TEXT,
            "application/json": {"type": "object"},
            "text/html": _TEXT,
        },
        query={"format": {"enum": ["jsonl", "atif", "html"]}},
        problems=(*_ONE, 422),
    ),
)


def document() -> dict[str, Any]:
    """The OpenAPI document; ``docs/openapi.json`` is this."""
    models = {each.body for each in OPERATIONS if each.body} | {
        each.answer for each in OPERATIONS if isinstance(each.answer, type)
    }
    ordered = sorted({*models, bodies.ProblemView}, key=lambda each: each.__name__)
    _, schemas = models_json_schema(
        [(each, "validation") for each in ordered], ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, Any] = {}
    for each in OPERATIONS:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {"title": "agentkit", "version": __version__},
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(each: Operation) -> dict[str, Any]:
    problem = {MEDIA_TYPE: {"schema": _ref(bodies.ProblemView)}}
    responses: dict[str, Any] = {
        str(status): {"description": _PROBLEMS[status], "content": problem}
        for status in sorted({*_ALWAYS, *each.problems})
    }
    content = (
        {kind: {"schema": schema} for kind, schema in each.answer.items()}
        if isinstance(each.answer, dict)
        else {"application/json": {"schema": _ref(each.answer)}}
        if each.answer
        else {}
    )
    responses[str(each.status)] = {"description": "Done.", "content": content, **_links(each)}
    found: dict[str, Any] = {
        "operationId": each.name,
        "summary": each.summary,
        "parameters": _parameters(each),
        "responses": dict(sorted(responses.items())),
    }
    if each.open:
        found["security"] = []
    if each.body is not None:
        content = {"application/json": {"schema": _ref(each.body)}}
        required = any(field.is_required() for field in each.body.model_fields.values())
        found["requestBody"] = {"content": content, "required": required}
    return found


def _links(each: Operation) -> dict[str, Any]:
    """Where to go from an answer that names a new session."""
    if each.status != 201:
        return {}
    name = "id" if each.answer is bodies.SessionView else "session_id"
    parameters = {"session_id": f"$response.body#/{name}"}
    links = {
        other.name: {"operationId": other.name, "parameters": parameters}
        for other in OPERATIONS
        if other.path.startswith(_SESSION)
    }
    return {"links": links}


def _parameters(each: Operation) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in each.path.split("/") if part.startswith("{")]
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _TEXT} for name in names
    ]
    for name, schema in each.query.items():
        parameters.append({"name": name, "in": "query", "schema": schema})
    if each.name == "events":
        last = {"type": "integer", "minimum": 0}
        parameters.append({"name": "Last-Event-ID", "in": "header", "schema": last})
    return parameters


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
