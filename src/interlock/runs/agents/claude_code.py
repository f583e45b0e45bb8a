"""Claude Code: `claude -p --output-format stream-json` (code.claude.com/docs/en/cli-reference, /headless)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from interlock.approval.models import Work
from interlock.runs.agents.port import Holds, Json, Said
from interlock.runs.agents.words import (
    Totals,
    behind,
    count,
    instant_ms,
    is_limit,
    microusd,
    one_line,
    parsed,
    part,
    parts,
    resets_ms,
    session,
    text,
)

_TOOLS = ("Bash", "Edit", "Glob", "Grep", "NotebookEdit", "Read", "TodoWrite", "Write")
_WEB = ("WebFetch", "WebSearch")
_READ = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_SESSIONS = {"-c", "--continue", "-r", "--resume", "--session-id", "--no-session-persistence"}
_SHOWN = ("command", "file_path", "path", "pattern", "url", "query", "description")
_MOST_MESSAGES = 100_000


@dataclass(slots=True)
class StreamReader:
    """Reads `stream-json`."""

    totals: Totals = field(default_factory=Totals)
    _messages: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    _limited: tuple[int | None] | None = None

    def take(self, line: str, source: str) -> list[Said]:
        """Read a line."""
        event = parsed(line) if source == "stdout" else None
        match event.get("type") if event is not None else None:
            case "system":
                return self._system(event or {})
            case "assistant":
                return self._assistant(part(event or {}, "message"))
            case "user":
                return [self._failed(each) for each in parts(part(event or {}, "message"), "content") if _wrong(each)]
            case "rate_limit_event":
                return self._rate(part(event or {}, "rate_limit_info"))
            case "result":
                return self._result(event or {})
            case _:
                return []

    def end(self) -> list[Said]:
        """Say nothing more."""
        return []

    def _system(self, event: Json) -> list[Said]:
        if event.get("subtype") == "init":
            named = self.totals.name(session(event, "session_id"))
            return [named, Said(text=one_line("session", text(event, "session_id"), "with", text(event, "model")))]
        if event.get("subtype") == "api_retry":
            return [Said(text=one_line("the provider is asked again:", text(event, "error")), level="WARN")]
        return []

    def _assistant(self, message: Json) -> list[Said]:
        said = [Said(text=line) for each in parts(message, "content") if (line := _shown(each))]
        usage, name = part(message, "usage"), text(message, "id")
        if name and (name in self._messages or len(self._messages) < _MOST_MESSAGES):
            # One message is printed once for each of its blocks, with the figures as they stand by then.
            before = self._messages.get(name, (0, 0))
            now = (count(usage, *_READ) or 0, count(usage, "output_tokens") or 0)
            self._messages[name] = (max(before[0], now[0]), max(before[1], now[1]))
            self.totals.add(input_tokens=max(0, now[0] - before[0]), output_tokens=max(0, now[1] - before[1]))
            said.append(self.totals.reach(turns=len(self._messages)))
        return said

    def _failed(self, block: Json) -> Said:
        told = block.get("content")
        words = told if isinstance(told, str) else " ".join(text(each, "text") for each in parts(block, "content"))
        return Said(text=one_line("a tool failed:", words), level="WARN")

    def _rate(self, info: Json) -> list[Said]:
        if info.get("status") != "rejected":
            return []
        self._limited = (instant_ms(info, "resetsAt"),)
        return [Said(text="the provider's limit is reached", level="WARN")]

    def _result(self, event: Json) -> list[Said]:
        usage = part(event, "usage")
        self.totals.name(session(event, "session_id"))
        told = self.totals.reach(
            turns=count(event, "num_turns"),
            input_tokens=count(usage, *_READ),
            output_tokens=count(usage, "output_tokens"),
            cost_microusd=microusd(event, "total_cost_usd"),
        ).told
        words, kind = text(event, "result", "error"), text(event, "subtype") or "unknown"
        if kind == "success" and event.get("is_error") is not True:
            return [Said(text=one_line("done:", words), told=told, terminal="success")]
        if self._limited is not None or (kind == "success" and is_limit(words)):
            resets = self._limited[0] if self._limited is not None else resets_ms(words)
            why = one_line("the provider's limit is reached:", words)
            return [Said(text=why, level="ERROR", told=told, terminal="limit", resets_ms=resets)]
        return [Said(text=one_line(f"not done ({kind}):", words), level="ERROR", told=told, terminal="failure")]


def _wrong(block: Json) -> bool:
    return block.get("type") == "tool_result" and block.get("is_error") is True


def _shown(block: Json) -> str:
    if block.get("type") == "text":
        return one_line(text(block, "text"))
    if block.get("type") == "tool_use":
        return one_line(f"{text(block, 'name') or 'a tool'}:", text(part(block, "input"), *_SHOWN))
    return ""


_HOLDS = Holds(
    network="both",
    tools="agent",
    model="agent",
    turns="no",
    tokens="interlock",
    cost="both",
    resume=True,
    hooks="open: a hook that breaks, or ends with another code than 2, stops nothing",
)


@dataclass(frozen=True, slots=True)
class ClaudeCode:
    """The adapter."""

    name: str = "claude_code"
    executable: str = "claude"
    holds: Holds = _HOLDS

    def invoke(self, work: Work) -> tuple[str, ...]:
        """Write the command; without a person, a tool that is not allowed is denied."""
        tools = work.tools or (*_TOOLS, *(_WEB if work.network else ()))
        words = ["claude", "-p", "--output-format", "stream-json", "--verbose", "--strict-mcp-config"]
        words += ["--permission-mode", "default", "--allowedTools", ",".join(tools)]
        if not work.network:
            words += ["--disallowedTools", ",".join(_WEB)]
        if work.model is not None:
            words += ["--model", work.model]
        if work.limits.cost_microusd:
            words += ["--max-budget-usd", _dollars(work.limits.cost_microusd)]
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


def _dollars(microusd_: int) -> str:
    return f"{microusd_ // 1_000_000}.{microusd_ % 1_000_000:06d}".rstrip("0").rstrip(".")


ADAPTER = ClaudeCode()
