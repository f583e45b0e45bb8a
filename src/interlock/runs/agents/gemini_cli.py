"""Gemini CLI: `gemini --output-format stream-json` (geminicli.com/docs/cli/headless, /docs/cli/cli-reference)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from interlock.approval.models import Work
from interlock.runs.agents.port import Holds, Json, Said
from interlock.runs.agents.words import (
    MOST_CHARACTERS,
    Totals,
    behind,
    count,
    is_limit,
    one_line,
    parsed,
    part,
    resets_ms,
    session,
    text,
)

_SHOWN = ("command", "file_path", "absolute_path", "path", "pattern", "url", "query", "prompt")
_SESSIONS = {"-r", "--resume", "--session-id"}


@dataclass(slots=True)
class StreamReader:
    """Reads `stream-json`; an answer comes in pieces and is shown when something else follows."""

    totals: Totals = field(default_factory=Totals)
    _answer: str = ""
    _limited: str | None = None

    def take(self, line: str, source: str) -> list[Said]:
        """Read a line."""
        event = (parsed(line) if source == "stdout" else None) or {}
        kind = text(event, "type")
        if kind == "message":
            return self._message(event)
        if kind not in {"init", "tool_use", "tool_result", "error", "result"}:
            return []
        return [*self.end(), *self._event(kind, event)]

    def end(self) -> list[Said]:
        """Say what of an answer is left."""
        shown, self._answer = one_line(self._answer), ""
        return [Said(text=shown)] if shown else []

    def _message(self, event: Json) -> list[Said]:
        if event.get("role") != "assistant":
            return self.end()
        begun = [] if self._answer else [self.totals.add(turns=1)]
        if len(self._answer) < 2 * MOST_CHARACTERS:
            self._answer += text(event, "content")
        return begun

    def _event(self, kind: str, event: Json) -> list[Said]:
        match kind:
            case "init":
                name = session(event, "session_id", "sessionId")
                return [
                    self.totals.name(name),
                    Said(text=one_line("session", name or "", "with", text(event, "model"))),
                ]
            case "tool_use":
                words = text(part(event, "parameters"), *_SHOWN)
                return [Said(text=one_line(f"{text(event, 'tool_name') or 'a tool'}:", words))]
            case "tool_result":
                if event.get("status") != "error":
                    return []
                words = text(part(event, "error"), "message") or text(event, "output")
                return [Said(text=one_line("a tool failed:", words), level="WARN")]
            case "error":
                words = text(event, "message")
                self._limited = words if is_limit(words) else self._limited
                return [Said(text=one_line("error:", words), level="WARN")]
            case _:
                return [self._result(event)]

    def _result(self, event: Json) -> Said:
        stats = part(event, "stats")
        told = self.totals.reach(
            input_tokens=count(stats, "input_tokens"), output_tokens=count(stats, "output_tokens")
        ).told
        if event.get("status") == "success":
            return Said(text="done", told=told, terminal="success")
        words = text(part(event, "error"), "message") or self._limited or ""
        if is_limit(words):
            why = one_line("the provider's limit is reached:", words)
            return Said(text=why, level="ERROR", told=told, terminal="limit", resets_ms=resets_ms(words))
        return Said(text=one_line("not done:", words), level="ERROR", told=told, terminal="failure")


_HOLDS = Holds(
    network="interlock",
    tools="agent",
    model="agent",
    turns="no",
    tokens="interlock",
    cost="no",
    resume=True,
    hooks="open: a hook that breaks is warned of and stops nothing",
)


@dataclass(frozen=True, slots=True)
class GeminiCli:
    """The adapter."""

    name: str = "gemini_cli"
    executable: str = "gemini"
    holds: Holds = _HOLDS

    def invoke(self, work: Work) -> tuple[str, ...]:
        """Write the command; with a list of tools everything else is denied, as nobody is there to be asked."""
        # The worktree is new to it, and in a folder that it does not trust it would fall back to asking.
        words = ["env", "GEMINI_CLI_TRUST_WORKSPACE=true", "gemini", "--output-format", "stream-json"]
        if work.tools:
            words += ["--approval-mode", "default", "--allowed-tools", ",".join(work.tools)]
        else:
            words += ["--approval-mode", "yolo"]
        if work.model is not None:
            words += ["--model", work.model]
        return tuple(words)

    def resume(self, command: Sequence[str], session_id: str) -> tuple[str, ...] | None:
        """Add `--resume`, unless the command speaks of sessions itself."""
        at = behind(command, self.executable)
        if not at or _SESSIONS.intersection(command):
            return None
        return (*command[:at], "--resume", session_id, *command[at:])

    def reader(self) -> StreamReader:
        """Return a reader of `stream-json`."""
        return StreamReader()


ADAPTER = GeminiCli()
