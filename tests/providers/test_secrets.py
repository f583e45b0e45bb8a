"""Keys that were planted are in `provider.json`, in the environment and on the wire, and nowhere else."""

from __future__ import annotations

import json
import logging
import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from interlock.app import Interlock
from interlock.kernel.errors import InterlockError
from interlock.providers import service
from interlock.providers.models import ProviderEntry, ProviderType, Target
from interlock.providers.secrets import without, without_whole
from tests.cli.door import PROGRAM, call, environment
from tests.conftest import ALICE, until
from tests.providers.conftest import Configured, events, inside, processes, with_options
from tests.providers.model_server import (
    KEY_HEADERS,
    Asking,
    Behaviour,
    ModelServer,
    close,
    garbage,
    hang,
    hang_up,
    kind_of,
    saying,
    well,
    written,
)

IN_THE_ENVIRONMENT = "sk-env-7Qv2LxP0aZr8Tn4Yc6Wb1Kd3"
IN_THE_FILE = "sk-file-9Hj5MsE7uGo1Rf4Xi2Vq8Np6"
PIECES = tuple(
    key[start : start + 12].encode()
    for key in (IN_THE_ENVIRONMENT, IN_THE_FILE)
    for start in range(0, len(key) - 12, 4)
)


def leaks(data: bytes | str) -> bool:
    """Say whether a piece of a key is in there."""
    found = data.encode("utf-8", "replace") if isinstance(data, str) else data
    return any(piece in found for piece in PIECES)


def key_in(asking: Asking) -> str:
    name, _ = KEY_HEADERS[kind_of(asking.asked)]
    return asking.asked.headers[name].removeprefix("Bearer ")


def error_that_repeats(status: int) -> Behaviour:
    return lambda asking: asking.answer({"error": {"message": f"bad key {key_in(asking)}, I say"}}, status)


def error_that_repeats_a_part(asking: Asking) -> None:
    key = key_in(asking)
    asking.answer({"error": {"message": f"bad key {key[:20]}…{key[-14:]}"}}, 400)


def content_that_repeats(asking: Asking) -> None:
    asking.answer(written(kind_of(asking.asked), f"You sent me {key_in(asking)}, thank you."))


def names_that_repeat(asking: Asking) -> None:
    data = written(kind_of(asking.asked), "fine", model=key_in(asking), modelVersion=key_in(asking))
    for choice in data.get("choices", []):
        choice["finish_reason"] = key_in(asking)
    asking.answer(data | {"stop_reason": key_in(asking)})


def headers_that_repeat(asking: Asking) -> None:
    asking.answer({}, 302, Location=f"http://127.0.0.1:9/?key={key_in(asking)}", Retry_After=key_in(asking))


def shapes_that_repeat(asking: Asking) -> None:
    asking.answer({key_in(asking): key_in(asking), "error": {"message": [key_in(asking)]}})


BEHAVIOURS: Mapping[str, Behaviour] = {
    "well": well,
    "error 400": error_that_repeats(400),
    "error 401": error_that_repeats(401),
    "error 429": error_that_repeats(429),
    "error 500": error_that_repeats(500),
    "an error that says it is fine": error_that_repeats(200),
    "a part": error_that_repeats_a_part,
    "content": content_that_repeats,
    "names": names_that_repeat,
    "headers": headers_that_repeat,
    "shapes": shapes_that_repeat,
    "garbage": garbage,
    "closes": close,
    "hangs up": hang_up,
    "hangs": hang,
    "not JSON": saying(b"no"),
}
LOGGING = {"OPENAI_LOG": "debug", "ANTHROPIC_LOG": "debug"}


@pytest.fixture
def loud(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Everything is logged, the key is in the environment, and a health check takes no five seconds."""
    for name in ("", "openai", "anthropic", "google_genai", "httpx2", "httpcore2", "interlock"):
        caplog.set_level(logging.DEBUG, logger=name)
    monkeypatch.setenv("A_KEY", IN_THE_ENVIRONMENT)
    monkeypatch.setattr(service, "HEALTH_SECONDS", 2)
    monkeypatch.setattr(service, "_HEALTH_HOLDS_SECONDS", 0.0)
    return caplog


@pytest.mark.proves("ops-provider")
@pytest.mark.parametrize("where", ["environment", "file"])
@pytest.mark.parametrize("behaviour", BEHAVIOURS.values(), ids=BEHAVIOURS)
def test_a_key_is_in_no_file_event_error_or_log_whatever_a_provider_does(
    configured: Configured,
    server: ModelServer,
    loud: pytest.LogCaptureFixture,
    behaviour: Behaviour,
    where: str,
) -> None:
    for kind in ProviderType:
        server.asked.clear()
        server.behaviour = behaviour
        key = "${A_KEY}" if where == "environment" else IN_THE_FILE
        rooms = configured(here=server.entry(kind, api_key=key))
        rooms = with_options(rooms, timeout_seconds=1) if behaviour is hang else rooms
        said = [caught(partial(rooms.providers.generate, ALICE, "sweep")), caught(rooms.providers.health)]
        used = IN_THE_ENVIRONMENT if where == "environment" else IN_THE_FILE
        assert used in str(server.asked[0].headers), "the key was there to leak"
        assert rooms.catch_up(ALICE) == ()
        assert_nothing_leaks(rooms)
        said += [loud.text, json.dumps(events(rooms)), repr(rooms.providers), repr(rooms.providers.show())]
        assert [text[:500] for text in said if leaks(text)] == []


def caught(deed: Callable[[], object]) -> str:
    """Return everything that an outcome would show of itself."""
    try:
        return repr(deed())
    except InterlockError as error:
        chain: list[BaseException | None] = [error, error.__cause__, error.__context__]
        return " ".join(f"{each!r} {each and each.args} {each and vars(each)}" for each in chain)


def assert_nothing_leaks(rooms: Interlock) -> None:
    own = rooms.layout.ops / "provider.json"
    files = inside(rooms.layout.root)
    assert own in files
    assert [path for path, data in files.items() if path != own and leaks(data)] == []


def test_a_model_that_repeats_the_key_has_it_cut_out_and_all_else_stays(
    configured: Configured, server: ModelServer, kind: ProviderType
) -> None:
    server.behaviour = content_that_repeats
    draft = configured(here=server.entry(kind, api_key=IN_THE_FILE)).providers.generate(ALICE, "sweep")
    assert draft.content is not None
    assert draft.content.body == "You sent me [key], thank you."


def test_a_word_where_a_server_wants_no_key_is_no_secret(configured: Configured, server: ModelServer) -> None:
    server.behaviour = lambda asking: asking.answer(written(kind_of(asking.asked), "ask ollama"))
    rooms = configured(here=server.entry(ProviderType.OPENAI_COMPAT, api_key="ollama"))
    draft = rooms.providers.generate(ALICE, "sweep")
    assert draft.content is not None
    assert draft.content.body == "ask ollama"


def test_texts_lose_keys_and_their_larger_pieces() -> None:
    assert without("a sk-1234567890 b", "sk-1234567890") == "a [key] b"
    assert "23456789" not in without("…23456789…", "sk-1234567890")
    assert without("a b", None) == without("a b", "") == "a b"
    assert without("short sk", "sk") == "short [key]"
    assert without_whole("sk-1234567890123 ", "sk-1234567890123") == "[key] "
    assert without_whole("a 123456789012345 b", "123456789012345") == "a 123456789012345 b"


def test_nothing_that_holds_a_key_shows_it_by_accident() -> None:
    target = Target(name="here", type=ProviderType.GEMINI, model="m", address="https://x", key=IN_THE_FILE)
    entry = ProviderEntry(type=ProviderType.GEMINI, model="m", api_key=IN_THE_FILE)
    assert not leaks(repr(target) + str(entry))


# --- at the door ------------------------------------------------------------------------------------------------------


@pytest.fixture
def at_the_door(workspace: Path, server: ModelServer) -> Path:
    """A workspace with two providers, one with each kind of key."""
    entries = {
        "one": server.entry(ProviderType.OPENAI_COMPAT, api_key="${A_KEY}"),
        "two": server.entry(ProviderType.OPENAI_COMPAT, api_key=IN_THE_FILE),
    }
    path = workspace / ".orch_data" / "ops" / "provider.json"
    path.write_text(json.dumps({"active": "one", "providers": entries}))
    return workspace


def test_no_command_shows_a_key(at_the_door: Path, server: ModelServer) -> None:
    env = {"A_KEY": IN_THE_ENVIRONMENT, "INTERLOCK_TRACEBACK": "1", **LOGGING}
    server.behaviour = error_that_repeats(400)
    for active in ("one", "two"):
        for words in (
            ["provider", "set", "--active", active],
            ["provider", "show"],
            ["--json", "provider", "show"],
            ["--json", "provider", "check"],
            ["draft", "generate", "--prompt", "sweep"],
            ["--json", "draft", "list"],
            ["evidence", "list"],
        ):
            done = call(*words, at=at_the_door, env=env)
            assert not leaks(done.out + done.err), (words, done)
    own = at_the_door / ".orch_data" / "ops" / "provider.json"
    assert [path for path, data in inside(at_the_door).items() if path != own and leaks(data)] == []
    assert len(server.asked) == 6


def test_ps_shows_no_key_while_a_provider_is_asked(at_the_door: Path, server: ModelServer) -> None:
    server.behaviour = hang
    for active, key in (("one", IN_THE_ENVIRONMENT), ("two", IN_THE_FILE)):
        assert call("provider", "set", "--active", active, at=at_the_door).code == 0
        running = subprocess.Popen(
            [str(PROGRAM), "draft", "generate", "--prompt", "sweep"],
            cwd=at_the_door,
            env=environment(A_KEY=IN_THE_ENVIRONMENT),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until(lambda: server.asked, 20)
            assert server.asked[-1].headers["authorization"] == f"Bearer {key}"
            shown = processes()
            assert b"generate" in shown
            assert not leaks(shown)
        finally:
            running.kill()
            running.wait()
        server.asked.clear()


def test_killed_while_a_provider_is_asked_a_draft_in_error_is_what_is_left(
    at_the_door: Path, server: ModelServer
) -> None:
    server.behaviour = hang
    running = subprocess.Popen(
        [str(PROGRAM), "draft", "generate", "--prompt", "sweep"],
        cwd=at_the_door,
        env=environment(A_KEY=IN_THE_ENVIRONMENT),
    )
    until(lambda: server.asked, 20)
    running.kill()
    running.wait()
    (draft,) = call("--json", "draft", "list", at=at_the_door).json
    assert draft["status"] == "error"
    shown: Any = call("--json", "draft", "show", draft["id"], at=at_the_door).json
    assert shown["error"] == "one has not answered yet; after 30 s it never will"
    call("draft", "approve", draft["id"], at=at_the_door).refuses(4, "[draft_in_error]", "has not answered yet")
    assert call("draft", "reject", draft["id"], at=at_the_door).code == 0
    assert call("windows", "verify", at=at_the_door).code == 0
