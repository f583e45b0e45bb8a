"""The file of alert sinks: found, read, checked. A secret is never in it, only the names of variables."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, cast

from interlock.alerts.errors import SecretsMissing, SinkConfigInvalid, SinkConfigMissing
from interlock.alerts.models import SCHEMA, SEVERITIES, Document
from interlock.alerts.sinks import known
from interlock.alerts.sinks.posting import Sink

FILE: Final = os.path.join("config", "ops-manager-alert-sinks.v1.json")
VARIABLE: Final = "OPS_MANAGER_ALERT_SINKS_FILE"
DEFAULT_TIMEOUT: Final = 5
_LONGEST_TIMEOUT = 120
_MOST_BYTES = 4 * 1024 * 1024
_ENV = re.compile(r"[A-Z_][A-Z0-9_]*", re.ASCII)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}", re.ASCII)
_OURS = frozenset({"content-length", "transfer-encoding", "host", "connection", "authorization"})


def config_path(given: str | None, root: str, environment: Mapping[str, str]) -> str:
    """Say which file is meant: a flag's, the environment's, or that of the root."""
    return given or environment.get(VARIABLE) or os.path.join(root, FILE)


class SinkConfig(NamedTuple):
    """What the file says."""

    source: str
    """Its path, as it was given."""
    default_min_severity: str
    sinks: Mapping[str, Document]
    routing: Document

    # --- sinks --------------------------------------------------------------------------------------------------------

    def sink(self, name: str) -> Document:
        """Return a sink as the resolver shows it."""
        definition = self.sinks[name]
        kind = known().get(definition["type"])
        return {
            "id": name,
            "type": definition["type"],
            "enabled": definition["enabled"],
            "timeoutSeconds": definition.get("timeoutSeconds") or DEFAULT_TIMEOUT,
            "secretRefs": kind.refs(definition) if kind else {},
            "config": kind.shown(definition) if kind else {},
        }

    def variables(self, *, enabled: bool = False) -> Iterator[str]:
        """Yield the variables that sinks name, sorted, each once."""
        yield from sorted(
            {
                name
                for sink, definition in self.sinks.items()
                if definition["enabled"] or not enabled
                for name in self.sink(sink)["secretRefs"].values()
                if name
            }
        )

    def check_secrets(self, environment: Mapping[str, str]) -> None:
        """Raise `SecretsMissing` if any enabled sink lacks a secret."""
        unset = [name for name in self.variables(enabled=True) if not environment.get(name)]
        if unset:
            raise SecretsMissing(f"enabled sink secret env var(s) are unset: {' '.join(unset)}")

    def env_status(self, environment: Mapping[str, str]) -> Document:
        """Say of each variable whether it is set."""
        return {name: {"present": bool(environment.get(name))} for name in self.variables()}

    def catalog(self, environment: Mapping[str, str], *, env_check: bool) -> Document:
        """Return the whole as the resolver prints it."""
        items = [self.sink(name) for name in self.sinks]
        return {
            "schemaVersion": SCHEMA,
            "sourceFile": self.source,
            "defaultMinSeverity": self.default_min_severity,
            "sinks": [{name: each[name] for name in _LISTED} for each in items],
            "enabledSinkCount": sum(each["enabled"] for each in items),
            "routing": self.routing,
            "envStatus": self.env_status(environment),
            "validation": {"envCheckEnabled": env_check},
        }


_LISTED = ("id", "enabled", "type", "timeoutSeconds", "secretRefs")


def load(path: str, *, strict: bool = True) -> SinkConfig:
    """Read and check a file; raises `SinkConfigMissing`, `SinkConfigInvalid`.

    Without `strict` a sink of an unknown type is taken: it can not be sent to, and others can.
    """
    document = _read(path)
    _check_top(document, path)
    sinks = cast("dict[str, Document]", document["sinks"])
    problems = [problem for name, each in sinks.items() for problem in _sink_problems(name, each, strict=strict)]
    if problems:
        raise SinkConfigInvalid(f"alert sink config has invalid sink definitions: {path}: {'; '.join(problems[:5])}")
    routing = cast("Document", document["routing"])
    problems = list(_routing_problems(routing, sinks))
    if problems:
        raise SinkConfigInvalid(f"alert sink config has invalid routing: {path}: {'; '.join(problems[:5])}")
    return SinkConfig(path, document["defaultMinSeverity"], sinks, routing)


def _read(path: str) -> Document:
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise SinkConfigMissing(f"alert sink config file not found: {path}") from None
    except OSError as error:
        raise SinkConfigInvalid(f"alert sink config {path} can not be read: {error.strerror}") from None
    try:
        document = json.loads(data) if len(data) <= _MOST_BYTES else None
    except (ValueError, RecursionError):
        raise SinkConfigInvalid(f"invalid JSON in alert sink config: {path}") from None
    if not isinstance(document, dict):
        raise SinkConfigInvalid(f"alert sink config is invalid: {path}: it holds no object of a sane size")
    return cast("Document", document)


# --- the three groups -------------------------------------------------------------------------------------------------


def _check_top(document: Document, path: str) -> None:
    wrong = [
        each
        for each, right in {
            "schemaVersion must be v1": document.get("schemaVersion") == SCHEMA,
            "defaultMinSeverity must be info, warning or critical": _is_severity(document.get("defaultMinSeverity")),
            "sinks must be an object": isinstance(document.get("sinks"), dict),
            "routing must be an object": isinstance(document.get("routing"), dict),
        }.items()
        if not right
    ]
    if wrong:
        raise SinkConfigInvalid(f"alert sink config is invalid: {path}: {'; '.join(wrong)}")


def _sink_problems(name: str, given: Any, *, strict: bool) -> Iterator[str]:  # noqa: ANN401 - JSON of any shape
    if not isinstance(given, dict):
        yield f"{name!a} is no object"
        return
    sink = cast("Document", given)
    if not name or len(name) > 128 or not name.isprintable():
        yield f"{name[:64]!a} is no name of a sink"
    if not isinstance(sink.get("enabled"), bool):
        yield f"{name!a}: enabled must be true or false"
    timeout = sink.get("timeoutSeconds", DEFAULT_TIMEOUT)
    if not isinstance(timeout, int) or isinstance(timeout, bool) or not 1 <= timeout <= _LONGEST_TIMEOUT:
        yield f"{name!a}: timeoutSeconds must be a whole number from 1 to {_LONGEST_TIMEOUT}"
    named = sink.get("type")
    kind = known().get(named) if isinstance(named, str) else None
    if kind is not None:
        yield from _kind_problems(name, sink, kind)
    elif strict or not isinstance(named, str):
        yield f"{name!a}: type must be one of {', '.join(known())}"


def _kind_problems(name: str, sink: Document, kind: Sink) -> Iterator[str]:
    for key, needed in kind.secrets.items():
        value = sink.get(key)
        if (value is not None or needed) and not (isinstance(value, str) and _ENV.fullmatch(value)):
            yield f"{name!a}: {key} must name a variable (letters A to Z, digits, _)"
    for key in kind.config:
        if not isinstance(sink.get(key), str | None):
            yield f"{name!a}: {key} must be a text"
    if kind.headers and not _are_headers(sink.get("headers")):
        yield f"{name!a}: headers must be texts by name; Authorization comes from authTokenEnv"


def _are_headers(given: Any) -> bool:  # noqa: ANN401 - JSON of any shape
    if given is None:
        return True
    return isinstance(given, dict) and all(
        _HEADER.fullmatch(name)
        and name.lower() not in _OURS
        and isinstance(value, str)
        and value.isprintable()
        and value.isascii()
        for name, value in cast("Document", given).items()
    )


def _routing_problems(routing: Document, sinks: Mapping[str, Any]) -> Iterator[str]:
    yield from _target_problems("defaultSinks", routing.get("defaultSinks", []), sinks)
    severities = routing.get("categorySeverity", {})
    if not isinstance(severities, dict):
        yield "categorySeverity must be an object"
    elif not all(name and _is_severity(value) for name, value in cast("Document", severities).items()):
        yield "categorySeverity holds something that is no severity, or an empty category"
    routes = routing.get("routes", [])
    if not isinstance(routes, list):
        yield "routes must be a list"
        return
    for number, given in enumerate(cast("list[Any]", routes)):
        if not isinstance(given, dict):
            yield f"route {number} is no object"
            continue
        yield from _route_problems(f"route {number}", cast("Document", given), sinks)


def _route_problems(name: str, route: Document, sinks: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(route.get("category"), str) or not route["category"]:
        yield f"{name}: category must be a text that is not empty"
    if not isinstance(route.get("enabled", True), bool):
        yield f"{name}: enabled must be true or false"
    if route.get("minSeverity") is not None and not _is_severity(route["minSeverity"]):
        yield f"{name}: minSeverity must be info, warning or critical"
    yield from _target_problems(f"{name}: sinks", route.get("sinks", []), sinks)


def _target_problems(name: str, given: Any, sinks: Mapping[str, Any]) -> Iterator[str]:  # noqa: ANN401 - JSON of any shape
    if not isinstance(given, list):
        yield f"{name} must be a list"
        return
    for each in cast("list[Any]", given):
        if not isinstance(each, str) or each not in sinks:
            yield f"{name} names {str(each)[:64]!a}, which is no sink"


def _is_severity(value: Any) -> bool:  # noqa: ANN401 - JSON of any shape
    return isinstance(value, str) and value in SEVERITIES
