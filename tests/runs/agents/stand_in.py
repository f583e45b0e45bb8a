"""A stand-in for a coding agent: it takes the real one's words, speaks its format and changes real files.

Copied under the real one's name onto PATH. What it does, the prompt's first word says.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Protocol

NAME = Path(sys.argv[0]).name
WORDS = sys.argv[1:]
SESSIONS = Path(os.environ["HOME"]) / ".stand-in"
LIMIT = "You've hit your usage limit; it resets at 1795000000"


def say(event: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


class Speaker(Protocol):
    def begin(self, session: str) -> None: ...
    def work(self, number: int, read: int, wrote: int) -> None: ...
    def done(self, read: int, wrote: int) -> None: ...
    def limited(self) -> None: ...
    def failed(self) -> None: ...


class Claude:
    def begin(self, session: str) -> None:
        say({"type": "system", "subtype": "init", "session_id": session, "model": "stand-in", "tools": ["Bash"]})

    def work(self, number: int, read: int, wrote: int) -> None:
        usage = {"input_tokens": read, "cache_read_input_tokens": 0, "output_tokens": wrote}
        content = [{"type": "tool_use", "name": "Write", "input": {"file_path": "work.txt"}}]
        say({"type": "assistant", "message": {"id": f"m{number}", "content": content, "usage": usage}})

    def done(self, read: int, wrote: int) -> None:
        say(
            {
                "type": "result",
                "subtype": "success",
                "is_error": False,
                "result": "It is done.",
                "num_turns": 2,
                "total_cost_usd": 0.0125,
                "usage": {"input_tokens": read, "output_tokens": wrote},
            }
        )

    def limited(self) -> None:
        say({"type": "result", "subtype": "success", "is_error": True, "result": LIMIT, "total_cost_usd": 0.001})

    def failed(self) -> None:
        say({"type": "result", "subtype": "error_during_execution", "is_error": True})


class Codex:
    def begin(self, session: str) -> None:
        say({"type": "thread.started", "thread_id": session})
        say({"type": "turn.started"})

    def work(self, number: int, read: int, wrote: int) -> None:
        changes = [{"path": "work.txt", "kind": "update"}]
        say({"type": "item.completed", "item": {"id": str(number), "type": "file_change", "changes": changes}})
        self.usage(read * number, wrote * number)

    def usage(self, read: int, wrote: int) -> None:
        say({"type": "turn.completed", "usage": {"input_tokens": read, "output_tokens": wrote}})

    def done(self, read: int, wrote: int) -> None:
        say({"type": "item.completed", "item": {"id": "x", "type": "agent_message", "text": "It is done."}})
        self.usage(read, wrote)

    def limited(self) -> None:
        say({"type": "turn.failed", "error": {"message": LIMIT}})

    def failed(self) -> None:
        say({"type": "turn.failed", "error": {"message": "the model gave up"}})


class Gemini:
    def begin(self, session: str) -> None:
        say({"type": "init", "session_id": session, "model": "stand-in"})

    def work(self, number: int, read: int, wrote: int) -> None:
        del read, wrote  # it tells its figures at the end
        say({"type": "message", "role": "assistant", "content": "I write ", "delta": True})
        say({"type": "tool_use", "tool_name": "write_file", "tool_id": str(number), "parameters": {"path": "work.txt"}})

    def done(self, read: int, wrote: int) -> None:
        say({"type": "message", "role": "assistant", "content": "It is done.", "delta": True})
        say({"type": "result", "status": "success", "stats": {"input_tokens": read, "output_tokens": wrote}})

    def limited(self) -> None:
        say({"type": "result", "status": "error", "error": {"type": "Quota", "message": LIMIT}})

    def failed(self) -> None:
        say({"type": "result", "status": "error", "error": {"type": "Error", "message": "the model gave up"}})


class OpenCode:
    session = ""

    def begin(self, session: str) -> None:
        self.session = session
        self.tell("step_start", {"type": "step-start"})

    def tell(self, kind: str, part: dict[str, Any]) -> None:
        say({"type": kind, "timestamp": 1, "sessionID": self.session, "part": part})

    def work(self, number: int, read: int, wrote: int) -> None:
        del number
        state = {"status": "completed", "title": "work.txt", "input": {"filePath": "work.txt"}}
        self.tell("tool_use", {"type": "tool", "tool": "write", "state": state})
        self.step("tool-calls", read, wrote)

    def step(self, reason: str, read: int, wrote: int) -> None:
        tokens = {"input": read, "output": wrote, "reasoning": 0, "cache": {"read": 0, "write": 0}}
        self.tell("step_finish", {"type": "step-finish", "reason": reason, "cost": 0.00625, "tokens": tokens})

    def done(self, read: int, wrote: int) -> None:
        self.tell("text", {"type": "text", "text": "It is done."})
        self.step("stop", read, wrote)

    def limited(self) -> None:
        say({"type": "error", "sessionID": self.session, "error": {"name": "APIError", "data": {"message": LIMIT}}})

    def failed(self) -> None:
        say({"type": "error", "sessionID": self.session, "error": {"name": "Gone", "data": {"message": "gave up"}}})


def resumed() -> str | None:
    for word in ("--resume", "--session", "resume"):
        if word in WORDS:
            return WORDS[WORDS.index(word) + 1]
    return None


def main() -> None:
    speakers: dict[str, Speaker] = {"claude": Claude(), "codex": Codex(), "gemini": Gemini(), "opencode": OpenCode()}
    speaker = speakers[NAME]
    prompt = sys.stdin.read()
    verb = prompt.split()[0]
    session = resumed()
    again = session is not None
    if again and not (SESSIONS / session).is_file():
        sys.exit(f"No conversation found with session ID: {session}")
    session = session or f"s-{os.urandom(4).hex()}"
    SESSIONS.mkdir(exist_ok=True)
    with (SESSIONS / session).open("a") as file:
        file.write(" ".join(WORDS) + "\n")
    speaker.begin(session)
    with Path("work.txt").open("a") as file:
        file.write(f"{'again' if again else 'first'} {prompt}\n")
    speaker.work(1, 100, 10)
    if verb == "crash":
        sys.stdout.write('{"type": "result", "subty')
        sys.stdout.flush()
        os._exit(3)
    if verb in {"hang", "linger"}:
        while not again or (verb == "linger" and not Path("go").exists()):
            time.sleep(0.05)
    if verb == "forget" and not again:
        (SESSIONS / session).unlink()
        time.sleep(3600)
    if verb == "limit":
        speaker.limited()
        sys.exit(1)
    if verb == "give":
        speaker.failed()
        sys.exit(0)
    number = 1
    while verb == "spend":
        number += 1
        speaker.work(number, 1000, 100)
        time.sleep(0.01)
    speaker.done(300, 30)


main()
