"""Codex: `codex exec --json` (developers.openai.com/codex/noninteractive, /codex/cli/reference)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from interlock.approval.errors import InvalidWork
from interlock.approval.models import Work
from interlock.runs.agents.port import Holds, Json, Said
from interlock.runs.agents.words import (
    Totals,
    behind,
    count,
    is_limit,
    one_line,
    parsed,
    part,
    parts,
    resets_ms,
    session,
    text,
)

READ_ONLY = "read-only"


@dataclass(slots=True)
class EventReader:
    """Reads the events of `codex exec --json`."""

    totals: Totals = field(default_factory=Totals)
    _limited: str | None = None

    def take(self, line: str, source: str) -> list[Said]:
        """Read a line."""
        event = (parsed(line) if source == "stdout" else None) or {}
        match event.get("type"):
            case "item.started":
                return self._begun(part(event, "item"))
            case "item.completed":
                return self._item(part(event, "item"))
            case "turn.failed" | "error":
                return [self._wrong(event)]
            case _:
                return self._thread(event)

    def _thread(self, event: Json) -> list[Said]:
        match event.get("type"):
            case "thread.started":
                name = session(event, "thread_id")
                return [self.totals.name(name), Said(text=one_line("session", name or ""))]
            case "turn.started":
                return [self.totals.add(turns=1)]
            case "turn.completed":
                # The figures are those of the whole thread so far, not of this turn alone.
                usage = part(event, "usage")
                read, wrote = count(usage, "input_tokens"), count(usage, "output_tokens")
                told = self.totals.reach(input_tokens=read, output_tokens=wrote).told
                return [Said(text="done", told=told, terminal="success")]
            case _:
                return []

    def _wrong(self, event: Json) -> Said:
        if event.get("type") == "error":
            return self._trouble(text(event, "message"))
        return self._failed(text(part(event, "error"), "message"))

    def end(self) -> list[Said]:
        """Say nothing more."""
        return []

    def _begun(self, item: Json) -> list[Said]:
        if item.get("type") != "command_execution":
            return []
        return [Said(text=one_line("runs:", text(item, "command")))]

    def _item(self, item: Json) -> list[Said]:
        match item.get("type"):
            case "agent_message":
                shown = one_line(text(item, "text"))
            case "command_execution":
                code = item.get("exit_code")
                if code == 0 or not isinstance(code, int):
                    return []
                return [Said(text=one_line(f"exit code {code}:", text(item, "command")), level="WARN")]
            case "file_change":
                changes = (f"{text(each, 'kind')} {text(each, 'path')}" for each in parts(item, "changes"))
                shown = one_line("changes:", ", ".join(changes))
            case "mcp_tool_call":
                shown = one_line(f"{text(item, 'server')}.{text(item, 'tool')}:", text(item, "status"))
            case "web_search":
                shown = one_line("searches:", text(item, "query"))
            case "error":
                return [self._trouble(text(item, "message"))]
            case _:
                return []
        return [Said(text=shown)] if shown else []

    def _trouble(self, words: str) -> Said:
        """An error that may yet pass: a broken connection is tried again."""
        if is_limit(words):
            self._limited = words
        return Said(text=one_line("error:", words), level="WARN")

    def _failed(self, words: str) -> Said:
        limit = words if is_limit(words) else self._limited
        if limit is not None:
            why = one_line("the provider's limit is reached:", limit)
            return Said(text=why, level="ERROR", terminal="limit", resets_ms=resets_ms(limit))
        return Said(text=one_line("not done:", words), level="ERROR", terminal="failure")


_HOLDS = Holds(
    network="both",
    tools="no",
    model="agent",
    turns="no",
    tokens="interlock",
    cost="no",
    resume=True,
    hooks="open: its notifications are told and not asked",
)


@dataclass(frozen=True, slots=True)
class Codex:
    """The adapter."""

    name: str = "codex"
    executable: str = "codex"
    holds: Holds = _HOLDS

    def invoke(self, work: Work) -> tuple[str, ...]:
        """Write the command; its own sandbox stands inside ours."""
        other = [tool for tool in work.tools if tool != READ_ONLY]
        if other:
            raise InvalidWork(
                f"codex can not be told which tools it may use, but {READ_ONLY}; not {other[0][:80]!a}",
                hint=f"leave tools away, or name {READ_ONLY}",
            )
        sandbox = READ_ONLY if work.tools else "workspace-write"
        words = [
            "codex",
            "exec",
            "--json",
            "--skip-git-repo-check",
            "--sandbox",
            sandbox,
            "-c",
            "approval_policy=never",
        ]
        if not work.tools:
            words += ["-c", f"sandbox_workspace_write.network_access={'true' if work.network else 'false'}"]
        if work.model is not None:
            words += ["--model", work.model]
        return (*words, "-")

    def resume(self, command: Sequence[str], session_id: str) -> tuple[str, ...] | None:
        """Put `resume ID` before the `-` that stands for stdin."""
        at = behind(command, self.executable)
        ours = at and tuple(command[at : at + 1]) == ("exec",)
        if not ours or command[-1] != "-" or {"resume", "--ephemeral"}.intersection(command):
            return None
        return (*command[:-1], "resume", session_id, "-")

    def reader(self) -> EventReader:
        """Return a reader of its events."""
        return EventReader()


ADAPTER = Codex()
