"""Where an escalation goes: severity, sinks, reason. Pure, but for the resolver that somebody put in our place."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Protocol, cast

from interlock.alerts import config
from interlock.alerts.config import SinkConfig
from interlock.alerts.models import SCHEMA, SEVERITIES, Document, Route, Unroutable, inner, rank, text_at, texts
from interlock.kernel.errors import InterlockError

FAILED = "route_resolution_failed"
INVALID = "invalid_route_resolution"
RESOLVER_VARIABLE = "OPS_MANAGER_ALERT_SINK_CONFIG_SCRIPT"
_MOST_MESSAGE = 300
_RESOLVER_SECONDS = 30


class Router(Protocol):
    """Says where escalations go."""

    def route(self, category: str, severity: str | None) -> Route | Unroutable:
        """Route one."""
        ...

    def target(self, sink: str) -> Document | None:
        """Return a sink as it is configured now: None if it is gone or off, nothing in it if that is not known."""
        ...

    def variables(self) -> Iterable[str]:
        """Name the variables that hold secrets of any sink."""
        ...


def resolve(found: SinkConfig, category: str, severity: str | None) -> Route:
    """Apply the routing. A route that is switched off is as if it were not there."""
    routing = found.routing
    route = next(
        (
            each
            for each in cast("list[Document]", routing.get("routes") or [])
            if each["category"] == category and each.get("enabled") is not False
        ),
        None,
    )
    names = texts(route, "sinks") or texts(routing, "defaultSinks")
    least = text_at(route, "minSeverity") or found.default_min_severity
    mapped = text_at(routing, "categorySeverity", category)
    event = severity or mapped or least
    enough = rank(event) >= rank(least)
    selected = [found.sink(name) for name in dict.fromkeys(names)]
    dispatchable = [each for each in selected if each["enabled"] and enough]
    shown: Document = {
        "schemaVersion": SCHEMA,
        "sourceFile": found.source,
        "category": category,
        "eventSeverity": event,
        "categoryMappedSeverity": mapped,
        "minSeverity": least,
        "shouldDispatch": enough,
        "route": route,
        "selectedSinks": selected,
        "dispatchableSinks": dispatchable,
    }
    return Route(
        event, enough, tuple(dispatchable), {name: value for name, value in shown.items() if value is not None}
    )


def resolution(
    found: SinkConfig, category: str, severity: str | None, environment: Mapping[str, str], *, env_check: bool
) -> Document:
    """Return what the resolver prints for a category."""
    return {
        **resolve(found, category, severity).shown,
        "envStatus": found.env_status(environment),
        "validation": {"envCheckEnabled": env_check},
    }


class ConfigRouter:
    """Routes by a file, read once when it is first asked. What is wrong with it is said of each escalation."""

    def __init__(self, path: str, environment: Mapping[str, str]) -> None:
        """Name the file."""
        self._path = path
        self._environment = environment
        self._load = cache(self._found)

    def route(self, category: str, severity: str | None) -> Route | Unroutable:
        """Route one."""
        found = self._load()
        if isinstance(found, Unroutable):
            return found
        shown = resolution(found, category, severity, self._environment, env_check=False)
        return resolve(found, category, severity)._replace(shown=shown)

    def target(self, sink: str) -> Document | None:
        """Return a sink as it is configured now."""
        found = self._load()
        if isinstance(found, Unroutable):
            return {}  # what can not be read says nothing of the sink: it is sent to as it was
        return found.sink(sink) if sink in found.sinks and found.sinks[sink]["enabled"] else None

    def variables(self) -> Iterable[str]:
        """Name the variables that hold secrets of any sink."""
        found = self._load()
        return () if isinstance(found, Unroutable) else found.variables()

    def _found(self) -> SinkConfig | Unroutable:
        try:
            return config.load(self._path, strict=False)
        except InterlockError as error:
            return Unroutable(FAILED, error.message[:_MOST_MESSAGE])


class ScriptRouter:
    """Routes by the resolver that `OPS_MANAGER_ALERT_SINK_CONFIG_SCRIPT` names."""

    def __init__(self, script: str, path: str) -> None:
        """Name the program, and the file that it is to read."""
        self._script = script
        self._path = path
        self._sinks: dict[str, Document] = {}

    def route(self, category: str, severity: str | None) -> Route | Unroutable:
        """Ask the program."""
        words = [self._script, "--config-file", self._path, "--category", category, "--no-env-check"]
        if severity:
            words += ["--severity", severity]
        try:
            done = subprocess.run(  # noqa: S603 - the operator's own program
                words, capture_output=True, timeout=_RESOLVER_SECONDS, check=False, stdin=subprocess.DEVNULL
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            return Unroutable(FAILED, f"the resolver did not run: {type(error).__name__}")
        if done.returncode:
            return Unroutable(FAILED, done.stderr.decode("utf-8", "replace").strip()[:_MOST_MESSAGE])
        try:
            shown: Any = json.loads(done.stdout)
        except (ValueError, RecursionError):
            shown = None
        found = _route_in(shown)
        if found is None:
            return Unroutable(INVALID, done.stdout.decode("utf-8", "replace").strip()[:_MOST_MESSAGE])
        self._sinks.update({each["id"]: each for each in found.sinks})
        return found

    def target(self, sink: str) -> Document | None:
        """Return a sink as the program has shown it."""
        return self._sinks.get(sink, {})

    def variables(self) -> Iterable[str]:
        """Name the variables that hold secrets of any sink that was shown."""
        return [name for each in self._sinks.values() for name in (inner(each, "secretRefs") or {}).values() if name]


def router(path: str, environment: Mapping[str, str]) -> ConfigRouter | ScriptRouter:
    """Return what routes by a file."""
    script = environment.get(RESOLVER_VARIABLE)
    return ScriptRouter(os.path.abspath(script), path) if script else ConfigRouter(path, environment)


def _route_in(given: Any) -> Route | None:  # noqa: ANN401 - JSON of any shape
    """Read what a resolver printed; None if it is no resolution."""
    if not isinstance(given, dict):
        return None
    shown = cast("Document", given)
    severity, enough, sinks = shown.get("eventSeverity"), shown.get("shouldDispatch"), shown.get("dispatchableSinks")
    if severity not in SEVERITIES or not isinstance(enough, bool) or not isinstance(sinks, list):
        return None
    items = cast("list[Any]", sinks)
    if not all(isinstance(each, dict) and isinstance(cast("Document", each).get("id"), str) for each in items):
        return None
    return Route(cast("str", severity), enough, tuple(cast("list[Document]", items)), shown)
