"""OpenCode: `opencode run --format json` (opencode.ai/docs/cli, /docs/permissions)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from interlock.approval.models import Work
from interlock.runs.agents.port import Holds, Json, Said
from interlock.runs.agents.words import (
    Totals,
    behind,
    count,
    is_limit,
    microusd,
    one_line,
    parsed,
    part,
    resets_ms,
    session,
    text,
)

_WEB = ("webfetch", "websearch")
_SHOWN = ("command", "filePath", "path", "pattern", "url", "query", "description")
_SESSIONS = {"-c", "--continue", "-s", "--session"}


@dataclass(slots=True)
class EventReader:
    """Reads the events of `opencode run --format json`; figures come step by step."""

    totals: Totals = field(default_factory=Totals)

    def take(self, line: str, source: str) -> list[Said]:
        """Read a line."""
        event = (parsed(line) if source == "stdout" else None) or {}
        said: list[Said] = []
        name = session(event, "sessionID")
        if name is not None and name != self.totals.session_id and isinstance(event.get("type"), str):
            first = self.totals.session_id is None
            said.append(self.totals.name(name))
            said += [Said(text=one_line("session", name))] if first else []
        return said + self._event(event)

    def end(self) -> list[Said]:
        """Say nothing more."""
        return []

    def _event(self, event: Json) -> list[Said]:
        piece = part(event, "part")
        match event.get("type"):
            case "text":
                shown = one_line(text(piece, "text"))
                return [Said(text=shown)] if shown else []
            case "tool_use":
                return [_tool(piece)]
            case "step_finish":
                return [self._step(piece)]
            case "error":
                return [_error(part(event, "error"))]
            case _:
                return []

    def _step(self, piece: Json) -> Said:
        tokens = part(piece, "tokens")
        read = [count(tokens, "input"), count(part(tokens, "cache"), "read", "write")]
        told = self.totals.add(
            turns=1,
            input_tokens=sum(each or 0 for each in read) if any(each is not None for each in read) else None,
            output_tokens=count(tokens, "output", "reasoning"),
            cost_microusd=microusd(piece, "cost"),
        ).told
        if piece.get("reason") != "stop":
            return Said(told=told)
        return Said(text="done", told=told, terminal="success")


def _tool(piece: Json) -> Said:
    state = part(piece, "state")
    name = text(piece, "tool") or "a tool"
    if state.get("status") == "error":
        return Said(text=one_line(f"{name} failed:", text(state, "error")), level="WARN")
    return Said(text=one_line(f"{name}:", text(state, "title") or text(part(state, "input"), *_SHOWN)))


def _error(error: Json) -> Said:
    words = text(part(error, "data"), "message") or text(error, "message", "name")
    if is_limit(words):
        why = one_line("the provider's limit is reached:", words)
        return Said(text=why, level="ERROR", terminal="limit", resets_ms=resets_ms(words))
    return Said(text=one_line("not done:", words), level="ERROR", terminal="failure")


_HOLDS = Holds(
    network="both",
    tools="agent",
    model="agent",
    turns="no",
    tokens="interlock",
    cost="interlock",
    resume=True,
    hooks="open: a plugin that throws is logged",
)


@dataclass(frozen=True, slots=True)
class OpenCode:
    """The adapter."""

    name: str = "opencode"
    executable: str = "opencode"
    holds: Holds = _HOLDS

    def invoke(self, work: Work) -> tuple[str, ...]:
        """Write the command; permissions are an environment variable, so `env` sets it before everybody's eyes."""
        rules = {"*": "deny"} | dict.fromkeys(work.tools, "allow") if work.tools else {"*": "allow"}
        if not work.network:
            rules |= dict.fromkeys(_WEB, "deny")
        allowed = json.dumps(rules, separators=(",", ":"))
        words = ["env", "OPENCODE_DISABLE_AUTOUPDATE=true", f"OPENCODE_PERMISSION={allowed}"]
        words += ["opencode", "run", "--format", "json"]
        return (*words, *(("--model", work.model) if work.model is not None else ()))

    def resume(self, command: Sequence[str], session_id: str) -> tuple[str, ...] | None:
        """Put `--session` behind `run`, unless the command speaks of sessions itself."""
        at = behind(command, self.executable)
        if not at or tuple(command[at : at + 1]) != ("run",) or _SESSIONS.intersection(command):
            return None
        return (*command[: at + 1], "--session", session_id, *command[at + 1 :])

    def reader(self) -> EventReader:
        """Return a reader of its events."""
        return EventReader()


ADAPTER = OpenCode()
