"""The OpenAPI document: made when it is first asked for, as JSON; JSON is YAML, so it is served under both names."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi

from interlock.doors.api import Problem, problems
from interlock.http.gate import OPEN

_REF = "#/components/schemas/{model}"
NAMES = ("/openapi.json", "/openapi.yaml", "/ops/openapi.json", "/ops/openapi.yaml")


def openapi(app: FastAPI) -> dict[str, Any]:
    """Return the document, with the error's schema and the token that every route but the open ones needs."""
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, openapi_version="3.1.0"
    )
    document["servers"] = [{"url": "http://127.0.0.1:9325"}]
    document["info"]["license"] = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
    components = document.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = Problem.model_json_schema(ref_template=_REF)
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "session": {"type": "apiKey", "in": "cookie", "name": "interlock_session"},
    }
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            _complete(operation, is_open=path in OPEN, changes=method != "get")
            _shared(operation, components.setdefault("responses", {}))
    return document


def _complete(operation: dict[str, Any], *, is_open: bool, changes: bool) -> None:
    """Say what holds for every route, and leave out what it can not answer."""
    operation["security"] = [] if is_open else [{"bearer": []}, {"session": []}]
    answers: dict[str, Any] = operation["responses"]
    if is_open:
        for status in ("401", "403", "422", "429", "503"):
            answers.pop(status, None)
    more = problems(*((409, 423) if changes else ()), *((413, 415) if "requestBody" in operation else ()))
    for status, answer in more.items():
        answers.setdefault(str(status), answer)
    for status, answer in answers.items():
        headers: dict[str, Any] = answer.setdefault("headers", {})
        headers["X-Correlation-ID"] = _header("Binds what this request did together, in answers, logs and events.")
        if status == "429":
            headers["Retry-After"] = _header("Seconds to wait.")


def _shared(operation: dict[str, Any], known: dict[str, Any]) -> None:
    """Let every failure of one status be described in one place."""
    answers: dict[str, Any] = operation["responses"]
    for status in [each for each in answers if each >= "4"]:
        name = f"Problem{status}"
        if known.setdefault(name, answers[status]) != answers[status]:
            raise ValueError(f"{operation['operationId']} describes {status} in its own way")
        answers[status] = {"$ref": f"#/components/responses/{name}"}
    operation["responses"] = dict(sorted(answers.items()))


def _header(about: str) -> Mapping[str, Any]:
    return {"description": about, "schema": {"type": "string"}}


def served(app: FastAPI) -> None:
    """Serve the document under each of its names; made when first asked for, as it takes half a second."""
    text = _once(lambda: json.dumps(openapi(app), indent=2, sort_keys=True) + "\n")
    for name in NAMES:
        kind = "application/yaml" if name.endswith("yaml") else "application/json"
        app.add_api_route(name, _answering(text, kind), include_in_schema=False, response_model=None)


def _once(make: Callable[[], str]) -> Callable[[], str]:
    lock, made = threading.Lock(), list[str]()

    def text() -> str:
        with lock:
            if not made:
                made.append(make())
        return made[0]

    return text


def _answering(text: Callable[[], str], kind: str) -> Any:  # noqa: ANN401 - a handler
    def handler() -> Response:  # not async: it runs beside what the server does meanwhile
        return Response(text(), media_type=kind)

    return handler
