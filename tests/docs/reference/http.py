"""docs/reference/http/: every route, from the OpenAPI document; one page for each room, one for the shapes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

from tests.docs.reference.markdown import anchor, body, code, codes, page, table
from tests.http.document import document

_SHAPES: Final = "shapes.md"
_FAILURES: Final = "How a request fails"
_ROOMS: Final = {
    "status": "How the server is",
    "access": "Who may call: tokens, sessions, panic",
    "approval": "The plan, drafts, approved records",
    "providers": "Models that write drafts",
    "runs": "Runs",
    "worker": "Workers without the database",
    "queue": "The queue",
    "fleet": "Nodes and configuration",
    "loops": "Agent loops",
    "alerts": "Alerts",
    "pipelines": "Pipelines and deployments",
    "inbox": "What waits for a person",
    "evidence": "Evidence",
    "events": "Live events",
}
_INTRODUCTION: Final = """\
The server's address is `http://127.0.0.1:9325` unless it is [set otherwise](../../settings.md). The same, for
programs: [`openapi.json`](../../openapi.json), which every server serves as `/openapi.json` and `/openapi.yaml`.

- **Token.** `Authorization: Bearer …`, or the cookie of `POST /ops/session`. A route's role is the least that suffices:
  `actions`, `operator`, `admin`. What only humans may do is refused to every other principal, whatever its role.
- **Failures** are `application/problem+json` (RFC 9457) with a `code` of [the table of errors](../errors.md), a
  `detail` in words, and where there is one, a `hint` that says what to do.
- **`X-Correlation-ID`** is on every answer; sent along, it binds what several requests did together.
- **`ETag` and `If-Match`**: an edit of what has changed since you looked is refused with 412.
- **`Idempotency-Key`**: a creating request that is repeated within a day makes nothing more and answers the same.
- **Pages.** Lists take `limit`, and go on behind an id or a cursor.
"""


@cache
def openapi() -> Mapping[str, Any]:
    """Return the document of the code as it is."""
    return document()


def pages() -> Mapping[str, str]:
    """Return the pages."""
    found = openapi()
    by_room: dict[str, list[tuple[str, str, dict[str, Any]]]] = defaultdict(list)
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            by_room[operation["tags"][0]].append((path, method.upper(), operation))
    made = {f"reference/http/{room}.md": _room(room, ways) for room, ways in by_room.items()}
    made["reference/http/index.md"] = _index(found, by_room)
    made[f"reference/http/{_SHAPES}"] = _shapes(found)
    return made


def _index(found: Mapping[str, Any], by_room: Mapping[str, list[tuple[str, str, dict[str, Any]]]]) -> str:
    parts = [_INTRODUCTION, f"## {_FAILURES}", f"With a [Problem]({_SHAPES}#problem).", _failures(found)]
    for room, title in _ROOMS.items():
        rows = [
            (f"[`{method} {path}`]({room}.md#{anchor(_heading(method, path))})", _about(way), *_who(way))
            for path, method, way in by_room[room]
        ]
        parts += [f"## [{title}]({room}.md)", table(["route", "what", "role", "only humans"], rows)]
    return page("HTTP", *parts)


def _heading(method: str, path: str) -> str:
    return f"{method} {path}"


def _about(operation: Mapping[str, Any]) -> str:
    return str(operation["description"]).split("\n\n", 1)[0]


def _who(operation: Mapping[str, Any]) -> tuple[str, str]:
    role = operation.get("x-required-role")
    return code(role) if role else "anybody", "yes" if operation.get("x-only-humans") else ""


def _room(room: str, ways: Iterable[tuple[str, str, dict[str, Any]]]) -> str:
    parts = ["How to call, and what holds for every route: [HTTP](index.md)."]
    for path, method, way in ways:
        role, humans = _who(way)
        who = f"Role: {role}" + ("; only humans" if humans else "")
        parts += [f"## `{_heading(method, path)}`", body(way["description"]), f"*{who}.*"]
        parts += [_parameters(way), _asked(way), _answers(way)]
    return page(_ROOMS[room], *parts)


def _parameters(operation: Mapping[str, Any]) -> str:
    rows = [
        (
            code(each["name"]),
            each["in"] + (", required" if each.get("required") and each["in"] != "path" else ""),
            kind(each["schema"]),
            _default(each["schema"]),
            each.get("description", ""),
        )
        for each in operation.get("parameters", ())
    ]
    return table(["parameter", "where", "what it takes", "default", "about"], rows)


def _asked(operation: Mapping[str, Any]) -> str:
    asked = operation.get("requestBody")
    if asked is None:
        return ""
    kinds = [f"{kind(content['schema'])} (`{media}`)" for media, content in asked["content"].items()]
    return f"**Body**{'' if asked.get('required') else ', optional'}: " + " or ".join(kinds)


def _answers(operation: Mapping[str, Any]) -> str:
    well: list[str] = []
    badly: list[str] = []
    for status, answer in operation["responses"].items():
        if "$ref" in answer:
            badly.append(f"[{status}](index.md#{anchor(_FAILURES)})")
        else:
            well.append(f"{status}: {_content(answer)}")
    fails = f"; fails with {', '.join(badly)}" if badly else ""
    return f"**Answers** {'; '.join(well)}{fails}."


def _content(answer: Mapping[str, Any]) -> str:
    shapes = [
        kind(content["schema"]) + ("" if media == "application/json" else f" (`{media}`)")
        if content.get("schema")
        else code(media)
        for media, content in answer.get("content", {}).items()
    ]
    return " or ".join(shapes) or "nothing"


def _failures(found: Mapping[str, Any]) -> str:
    answers = found["components"]["responses"]
    return table(
        ["status", "meaning"],
        [(name.removeprefix("Problem"), answers[name]["description"]) for name in sorted(answers)],
    )


def _shapes(found: Mapping[str, Any]) -> str:
    parts = ["What requests and answers look like. A field that is required is always there in an answer."]
    for name, shape in sorted(found["components"]["schemas"].items()):
        required = set(shape.get("required", ()))
        rows = [
            (
                code(field),
                kind(each, here=True),
                "yes" if field in required else _default(each) or "no",
                each.get("description", ""),
            )
            for field, each in shape.get("properties", {}).items()
        ]
        parts += [f"## {name}", body(shape.get("description", ""))]
        parts += [table(["field", "what it is", "required", "about"], rows) or kind(shape, here=True)]
    return page("Shapes of requests and answers", *parts)


def _default(schema: Mapping[str, Any]) -> str:
    default = schema.get("default")
    return code(str(default).lower() if isinstance(default, bool) else default) if default not in (None, "", []) else ""


def kind(schema: Mapping[str, Any], *, here: bool = False) -> str:
    """Return in words what a schema takes; `here` on the page of the shapes itself."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}]({'' if here else _SHAPES}#{anchor(name)})"
    if many := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        return " or ".join(dict.fromkeys(kind(each, here=here) for each in many))
    if words := schema.get("enum") or ([schema["const"]] if "const" in schema else []):
        return codes(words, " or ")
    return _plain(schema, here=here)


def _plain(schema: Mapping[str, Any], *, here: bool) -> str:
    match schema.get("type", "anything"):
        case "array":
            words = f"list of {kind(schema.get('items', {}), here=here)}" + _within(schema, "minItems", "maxItems")
        case "object":
            inner: Mapping[str, Any] | bool = schema.get("additionalProperties", True)
            words = "object" if isinstance(inner, bool) or not inner else f"object of {kind(inner, here=here)}"
        case "string":
            words = schema.get("format", "text") + _within(schema, "minLength", "maxLength", "characters")
        case "integer" | "number" as name:
            words = name + _within(schema, "minimum", "maximum")
        case name:
            words = str(name)
    return words


def _within(schema: Mapping[str, Any], least: str, most: str, unit: str = "") -> str:
    words = [
        f"{word} {schema[key]:g}" if abs(schema[key]) < 1e6 else f"{word} {int(schema[key])}"
        for word, key in (("at least", least), ("at most", most))
        if key in schema
    ]
    return f", {' and '.join(words)}{' ' + unit if unit and words else ''}" if words else ""
