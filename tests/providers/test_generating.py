"""What a provider writes becomes a draft, and what it fails to write a draft in error, over every protocol."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from interlock.app import Interlock
from interlock.approval.errors import DraftChanged, DraftInError, PromptInvalid
from interlock.approval.models import Draft, DraftStatus
from interlock.approval.service import Change
from interlock.evidence.content import ContentStore
from interlock.kernel.errors import Failed, Unreachable
from interlock.providers.errors import (
    ProviderCancelled,
    ProviderError,
    ProviderExtraMissing,
    ProviderFailed,
    ProvidersBusy,
    ProviderTimeout,
    ProviderUnreachable,
)
from interlock.providers.models import ProviderType
from interlock.providers.options import ProviderOptions
from interlock.storage.approval import StoredContents
from tests.conftest import ALICE, BOB, ROBOT, until
from tests.providers.conftest import Configured, events, with_options
from tests.providers.model_server import (
    KEY_HEADERS,
    MODEL,
    PATHS,
    WRITTEN,
    Asking,
    Behaviour,
    ModelServer,
    close,
    drip,
    drip_headers,
    endless,
    garbage,
    hang,
    hang_up,
    kind_of,
    saying,
    three_megabytes,
    well,
    write,
    writing,
    written,
)


def failure(rooms: Interlock, prompt: str = "sweep") -> tuple[ProviderError, Draft]:
    """Generate, which must fail; returns the error and the draft that it names."""
    with pytest.raises(ProviderError) as failed:
        rooms.providers.generate(ALICE, prompt)
    error = failed.value
    assert error.draft_id is not None
    assert error.draft_id in error.hint
    assert error.message.isprintable()
    return error, rooms.approval.draft(error.draft_id)


def request_of(rooms: Interlock, draft: Draft) -> bytes | None:
    """Return the request that a draft says was made for it, held against its commitment."""
    ref = (draft.generated or {})["request"]
    if ref is None:
        return None
    with rooms.database.read() as transaction:
        contents: ContentStore = StoredContents(transaction)
        assert contents.intact(str(ref))
        return contents.get(str(ref))


# --- what goes well ---------------------------------------------------------------------------------------------------


def test_what_a_provider_writes_is_a_draft_on_both_databases(
    house: Interlock, server: ModelServer, kind: ProviderType
) -> None:
    write(house.layout, {"active": "here", "providers": {"here": server.entry(kind, api_key="sk-0123456789abcdef")}})
    draft = house.providers.generate(ALICE, "how to sweep?", context={"system": "be brief", "floor": ["oak", 2]})
    assert draft == house.approval.draft(draft.id)
    assert (draft.status, draft.error, draft.provider, draft.author) == (DraftStatus.DRAFT, None, "here", "human:alice")
    assert (draft.prompt.body, draft.content and draft.content.body) == ("how to sweep?", WRITTEN)
    assert json.loads(draft.context.body or "") == {"system": "be brief", "floor": ["oak", 2]}
    facts: Any = dict(draft.generated or {})
    assert 0 <= facts.pop("duration_ms") < 30_000
    assert facts.pop("configuration") == house.providers.show().version
    assert str(facts.pop("request")).startswith("salted-sha256:")
    assert facts == {
        "provider": "here",
        "type": kind.value,
        "model": MODEL,
        "answered_by": MODEL,
        "finish": {"openai_compat": "stop", "anthropic": "end_turn", "gemini": "STOP"}[kind.value],
        "input_tokens": 12,
        "output_tokens": 34,
        "cost_microdollars": None,
    }
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", PATHS[kind])
    assert request_of(house, draft) == asked.body
    name, form = KEY_HEADERS[kind]
    assert asked.headers[name] == form.format("sk-0123456789abcdef")


def test_prompt_system_and_the_rest_of_the_context_reach_the_model(
    configured: Configured, server: ModelServer, kind: ProviderType
) -> None:
    rooms = configured(here=server.entry(kind))
    rooms.providers.generate(ALICE, "sweep 床", context={"system": "be brief", "floor": "oak"})
    said = json.dumps(server.asked[0].json, ensure_ascii=False)
    for text in ("sweep 床", "be brief", "oak"):
        assert said.count(text) == 1, said
    assert '\\"system\\"' not in said
    rooms.providers.generate(ALICE, "mop", context={"system": " "})
    assert "be brief" not in json.dumps(server.asked[1].json)
    rooms.providers.generate(ALICE, "mop")
    assert "Context" not in json.dumps(server.asked[2].json)


def test_what_happened_is_two_events_without_any_text(
    configured: Configured, server: ModelServer, kind: ProviderType
) -> None:
    rooms = configured(here=server.entry(kind))
    draft = rooms.providers.generate(ALICE, "a prompt that is private")
    made, filled = events(rooms, "draft")
    assert (made["kind"], filled["kind"]) == ("draft.created", "draft.generated")
    assert made["payload"]["terms_digest"] == filled["payload"]["before_digest"]
    assert filled["payload"]["generated"] == draft.generated
    assert filled["payload"]["draft_version"] == draft.version == 2
    assert filled["correlation_id"] == "test-1"
    assert "private" not in json.dumps([made, filled])
    assert "Sweep" not in json.dumps([made, filled])


def test_a_generated_draft_is_approved_like_any_other(configured: Configured, server: ModelServer) -> None:
    rooms = configured(here=server.entry(ProviderType.OPENAI_COMPAT))
    draft = rooms.providers.generate(ROBOT, "sweep")
    approved = rooms.approval.approve(ALICE, draft.id)
    assert (approved.provider, approved.content and approved.content.body) == ("here", WRITTEN)


@pytest.mark.proves("ops-provider-switch")
def test_the_active_provider_is_asked_and_a_switch_holds_at_once(configured: Configured, server: ModelServer) -> None:
    rooms = configured(
        one=server.entry(ProviderType.OPENAI_COMPAT),
        two=server.entry(ProviderType.ANTHROPIC),
        three=server.entry(ProviderType.GEMINI),
    )
    assert rooms.providers.generate(ALICE, "a").provider == "one"
    for name in ("two", "three"):
        rooms.providers.set(ALICE, {"active": name})
        assert rooms.providers.generate(ALICE, "b").provider == name
    assert [kind_of(asked) for asked in server.asked] == list(ProviderType)


def test_what_a_provider_says_of_its_cost_and_of_an_end_that_came_early_is_kept(
    configured: Configured, server: ModelServer
) -> None:
    rooms = configured(here=server.entry(ProviderType.OPENAI_COMPAT))
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "cost": 0.0012345}
    choice = {"message": {"role": "assistant", "content": "Half a"}, "finish_reason": "length"}
    server.behaviour = saying({"model": "deluxe/x", "choices": [choice], "usage": usage})
    draft = rooms.providers.generate(ALICE, "sweep")
    assert draft.generated is not None
    assert (draft.generated["cost_microdollars"], draft.generated["finish"]) == (1234, "length")
    assert draft.generated["answered_by"] == "deluxe/x"


@pytest.mark.parametrize("said", [None, "many", -1, True, 1.5, 2**53, [1], {"a": 1}, 1e400])
def test_numbers_that_are_none_are_not_known(configured: Configured, server: ModelServer, said: object) -> None:
    rooms = configured(here=server.entry(ProviderType.OPENAI_COMPAT))
    data = written(ProviderType.OPENAI_COMPAT)
    data["usage"] = {
        "prompt_tokens": said,
        "completion_tokens": said,
        "cost": said if said not in (1.5, 2**53) else None,
    }
    data["model"] = said if not isinstance(said, str) else None
    server.behaviour = saying(data)
    draft = rooms.providers.generate(ALICE, "sweep")
    assert draft.generated is not None
    for name in ("input_tokens", "output_tokens", "cost_microdollars", "answered_by"):
        assert draft.generated[name] is None, name


def test_parts_are_put_together_and_thoughts_left_out(configured: Configured, server: ModelServer) -> None:
    rooms = configured(here=server.entry(ProviderType.GEMINI))
    parts = [{"text": "hm", "thought": True}, {"text": "One. "}, {"functionCall": {"name": "x"}}, {"text": "Two."}]
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 4, "thoughtsTokenCount": 5}
    data: object = {"candidates": [{"content": {"parts": parts}}], "usageMetadata": usage}
    server.behaviour = saying(data)
    draft = rooms.providers.generate(ALICE, "sweep")
    assert draft.content is not None
    assert draft.content.body == "One. Two."
    assert (draft.generated or {})["output_tokens"] == 9
    rooms.providers.set(ALICE, {"providers": {"here": server.entry(ProviderType.ANTHROPIC)}})
    blocks = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "One. "},
        {"type": "text", "text": "Two."},
    ]
    usage = {"input_tokens": 1, "cache_creation_input_tokens": 2, "cache_read_input_tokens": 4, "output_tokens": 8}
    server.behaviour = saying({"content": blocks, "usage": usage, "stop_reason": "max_tokens"})
    draft = rooms.providers.generate(ALICE, "sweep")
    assert draft.content is not None
    assert draft.content.body == "One. Two."
    assert (draft.generated or {})["input_tokens"] == 7


def test_only_what_wants_to_know_is_told_how_much_it_may_write(
    configured: Configured, server: ModelServer, kind: ProviderType
) -> None:
    rooms = with_options(configured(here=server.entry(kind)), max_output_tokens=77)
    rooms.providers.generate(ALICE, "sweep")
    assert ("77" in json.dumps(server.asked[0].json)) == (kind is ProviderType.ANTHROPIC)
    assert "temperature" not in server.asked[0].body.decode()


# --- what goes wrong --------------------------------------------------------------------------------------------------

NEARLY: dict[str, Any] = {
    "choices": [{"message": {"content": {"x": 1}}}],
    "content": {"x": 1},
    "candidates": [{"content": []}],
}
FAILURES: dict[str, tuple[Behaviour, type[ProviderError], str, str]] = {
    "hangs": (hang, ProviderTimeout, "slow", "not answered within 1 s"),
    "drips": (drip, ProviderTimeout, "slow", "not answered within 1 s"),
    "drips headers": (drip_headers, ProviderTimeout, "slow", "not answered within 1 s"),
    "speaks no HTTP": (garbage, ProviderFailed, "broken_off", "speaks no HTTP"),
    "hangs up": (hang_up, ProviderFailed, "broken_off", "broke its answer off"),
    "closes": (close, ProviderFailed, "broken_off", "broke its answer off"),
    "3 MB": (three_megabytes, ProviderFailed, "too_large", "more than 2097152 bytes"),
    "endless": (endless, ProviderFailed, "too_large", "more than 2097152 bytes"),
    "no JSON": (saying(b"<html>hello</html>"), ProviderFailed, "malformed", "not a JSON object"),
    "no UTF-8": (saying(b"\xff\xfe\x00"), ProviderFailed, "malformed", "not a JSON object"),
    "deep JSON": (saying(b"[" * 100_000), ProviderFailed, "malformed", "not a JSON object"),
    "a list": (saying([1, 2]), ProviderFailed, "malformed", "not a JSON object"),
    "null": (saying(None), ProviderFailed, "malformed", "not a JSON object"),
    "nothing": (saying(b"", 204), ProviderFailed, "malformed", "not a JSON object"),
    "an empty object": (saying({}), ProviderFailed, "malformed", "no text"),
    "another shape": (saying({"choices": 7, "content": 7, "candidates": 7}), ProviderFailed, "malformed", ""),
    "a shape that is nearly right": (
        saying(NEARLY),
        ProviderFailed,
        "malformed",
        "",
    ),
    "nothing written": (writing(""), ProviderFailed, "malformed", "is empty"),
    "blanks": (writing(" \n "), ProviderFailed, "malformed", "is empty"),
    "NUL": (writing("a\0b"), ProviderFailed, "malformed", "NUL"),
    "a lone surrogate": (writing("a\ud800b"), ProviderFailed, "malformed", "surrogate"),
    "400": (saying({"error": {"message": "no such model"}}, 400), ProviderFailed, "status_400", "400: no such model"),
    "401": (saying({"error": {"message": "bad key"}}, 401), ProviderFailed, "key_refused", "without a key"),
    "403": (saying({"error": {"message": "bad key"}}, 403), ProviderFailed, "key_refused", "without a key"),
    "404": (saying({"message": "nothing here"}, 404), ProviderFailed, "status_404", "404: nothing here"),
    "413": (saying({"detail": "too long"}, 413), ProviderFailed, "status_413", "413: too long"),
    "429": (saying({"error": "slow down"}, 429, Retry_After="7"), ProviderFailed, "rate_limited", "(429): slow down"),
    "500": (saying({"error": {"message": "oh no"}}, 500), ProviderFailed, "status_500", "500: oh no"),
    "500 in HTML": (saying(b"<h1>oh no</h1>", 500), ProviderFailed, "status_500", "answered 500"),
    "503": (saying({}, 503), ProviderFailed, "status_503", "answered 503"),
    "529": (saying([{"error": {"message": "overloaded"}}], 529), ProviderFailed, "status_529", "529: overloaded"),
    "an error that says it is fine": (saying({"error": {"message": "no"}}), ProviderFailed, "error", "an error: no"),
    "a redirect": (saying({}, 302, Location="http://169.254.169.254/latest"), ProviderFailed, "redirect", "redirects"),
    "a redirect that keeps the method": (saying({}, 307, Location="/v2"), ProviderFailed, "redirect", "redirects"),
    "an encoding": (saying(b"\x1f\x8b\x08\x00", Content_Encoding="gzip"), ProviderFailed, "malformed", "encoding"),
}


@pytest.mark.proves("ops-provider-offline")
@pytest.mark.parametrize("wrong", FAILURES)
def test_a_failure_says_what_it_was_and_leaves_a_draft_in_error(
    configured: Configured, server: ModelServer, kind: ProviderType, wrong: str
) -> None:
    server.behaviour, error_kind, reason, told = FAILURES[wrong]
    rooms = configured(here=server.entry(kind))
    if error_kind is ProviderTimeout:
        rooms = with_options(rooms, timeout_seconds=1)
    began = time.monotonic()
    error, draft = failure(rooms, "a prompt to keep")
    assert time.monotonic() - began < 8
    assert type(error) is error_kind
    assert (error.reason, told in error.message) == (reason, True), error.message
    assert (draft.status, draft.error, draft.content) == (DraftStatus.ERROR, error.message, None)
    assert draft.prompt.body == "a prompt to keep"
    assert draft.generated is not None
    assert (draft.generated["failure"], draft.generated["failure_reason"]) == (error.code, reason)
    assert request_of(rooms, draft) == server.asked[0].body
    assert [event["kind"] for event in events(rooms, "draft")] == ["draft.created", "draft.generation_failed"]
    assert len(server.asked) == 1, "it was tried once"
    with pytest.raises(DraftInError):
        rooms.approval.approve(ALICE, draft.id)
    mended = rooms.approval.edit(ALICE, draft.id, Change(content="by hand"))
    assert rooms.approval.approve(BOB, mended.id).content is not None


def test_each_failure_has_its_status_and_kind() -> None:
    shapes = {kind: getattr(kind, "status", None) for kind in (ProviderUnreachable, ProviderFailed, ProviderTimeout)}
    assert shapes == {ProviderUnreachable: 503, ProviderFailed: 502, ProviderTimeout: 504}
    assert issubclass(ProviderUnreachable, Unreachable)
    assert issubclass(ProviderTimeout, Unreachable)
    assert issubclass(ProviderFailed, Failed)


@pytest.mark.parametrize(
    ("later", "seconds"),
    [("7", 7.0), ("0", 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None), ("9" * 9, None)],
)
def test_when_to_come_back_is_said_where_the_provider_says_it(
    configured: Configured, server: ModelServer, later: str, seconds: float | None
) -> None:
    server.behaviour = saying({}, 429, Retry_After=later)
    error, _ = failure(configured(here=server.entry(ProviderType.OPENAI_COMPAT)))
    assert error.retry_after_seconds == seconds
    assert ("try again in" in error.hint) == (seconds is not None)


REFUSALS: list[tuple[ProviderType, dict[str, Any]]] = [
    (ProviderType.OPENAI_COMPAT, {"choices": [{"message": {"content": None, "refusal": "I will not"}}]}),
    (ProviderType.OPENAI_COMPAT, {"choices": [{"message": {"content": "Wel"}, "finish_reason": "content_filter"}]}),
    (ProviderType.ANTHROPIC, {"content": [{"type": "text", "text": "Wel"}], "stop_reason": "refusal"}),
    (ProviderType.GEMINI, {"promptFeedback": {"blockReason": "SAFETY"}}),
    (ProviderType.GEMINI, {"candidates": [{"finishReason": "SAFETY", "content": {"parts": [{"text": "Wel"}]}}]}),
]


@pytest.mark.parametrize(("refusing", "said"), REFUSALS)
def test_a_model_that_refuses_leaves_a_draft_in_error_and_no_half_of_a_text(
    configured: Configured, server: ModelServer, refusing: ProviderType, said: dict[str, Any]
) -> None:
    server.behaviour = saying(said)
    error, draft = failure(configured(here=server.entry(refusing)))
    assert (type(error), error.reason, error.message) == (
        ProviderFailed,
        "refused",
        "the model of here refused to answer",
    )
    assert (draft.status, draft.content) == (DraftStatus.ERROR, None)


@pytest.mark.parametrize("status", [401, 403])
def test_what_is_said_about_a_refused_key_is_not_repeated(
    configured: Configured, server: ModelServer, kind: ProviderType, status: int
) -> None:
    server.behaviour = saying({"error": {"message": "Incorrect API key provided: sk-ab***yz"}}, status)
    error, _ = failure(configured(here=server.entry(kind, api_key="sk-0123456789")))
    assert (error.message, error.hint.count("sk-")) == (f"here refused its key ({status})", 0)


@pytest.mark.proves("ops-generate-timeout")
def test_a_connection_that_nobody_takes_does_not_keep_anybody_waiting(configured: Configured) -> None:
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}/v1"
        rooms = configured(here={"type": "openai_compat", "model": MODEL, "base_url": url})
        error, _ = failure(with_options(rooms, timeout_seconds=1))
        assert type(error) is ProviderTimeout
        until(lambda: not [thread for thread in threading.enumerate() if thread.name == "provider-call"], 8)


def test_a_provider_that_is_not_there_is_unreachable(configured: Configured, kind: ProviderType) -> None:
    rooms = configured(here={"type": kind.value, "model": MODEL, "base_url": "http://127.0.0.1:9"})
    error, draft = failure(rooms)
    assert type(error) is ProviderUnreachable
    assert (error.reason, error.message) == ("offline", "here can not be reached: Connection refused")
    assert request_of(rooms, draft) is not None


def test_a_name_that_nobody_knows_is_unreachable(
    configured: Configured, kind: ProviderType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_args: object, **_more: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    rooms = configured(here={"type": kind.value, "model": MODEL, "base_url": "http://nobody.invalid/v1"})
    error, _ = failure(rooms)
    assert (type(error), error.reason) == (ProviderUnreachable, "name_unknown")


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_key_that_is_not_there_is_said_by_its_name_and_nobody_is_asked(
    configured: Configured, server: ModelServer, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("A_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("A_KEY", value)
    rooms = configured(here=server.entry(ProviderType.OPENAI_COMPAT, api_key="${A_KEY}"))
    error, draft = failure(rooms)
    assert (error.reason, server.asked, (draft.generated or {})["request"]) == ("key_missing", [], None)
    assert "A_KEY" in error.message


@pytest.mark.proves("ops-provider-switch")
def test_a_key_is_looked_up_at_each_call(
    configured: Configured, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = configured(here=server.entry(ProviderType.OPENAI_COMPAT, api_key="${A_KEY}"))
    for key in ("sk-one", "sk-two"):
        monkeypatch.setenv("A_KEY", f"{key}\n")
        rooms.providers.generate(ALICE, "sweep")
    assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer sk-one", "Bearer sk-two"]
    monkeypatch.setenv("A_KEY", "sk\r\nX-Evil: 1")
    error, _ = failure(rooms)
    assert (error.reason, len(server.asked)) == ("key_malformed", 2)


@pytest.mark.parametrize("prompt", ["", " \n", "a\0b", "a\ud800b", "x" * (2 * 1024 * 1024 + 1)])
def test_a_prompt_that_can_not_be_kept_is_not_asked(configured: Configured, server: ModelServer, prompt: str) -> None:
    rooms = configured(here=server.entry(ProviderType.OPENAI_COMPAT))
    with pytest.raises(PromptInvalid):
        rooms.providers.generate(ALICE, prompt)
    assert (server.asked, list(rooms.approval.drafts())) == ([], [])


def test_a_type_without_its_client_is_refused_before_anything_is_made(
    configured: Configured, server: ModelServer
) -> None:
    rooms = configured(here=server.entry(ProviderType.GEMINI))

    def none(_kind: ProviderType) -> bool:
        return False

    providers = replace(rooms.providers, configuration=replace(rooms.providers.configuration, installed=none))
    with pytest.raises(ProviderExtraMissing, match="gemini"):
        providers.generate(ALICE, "sweep")
    assert list(rooms.approval.drafts()) == []
    (health,) = providers.health()
    assert (health.status.value, health.reason) == ("down", "provider_extra_missing")


# --- time, cancelling, crowds, crashes --------------------------------------------------------------------------------


def test_a_look_up_that_hangs_does_not_keep_anybody_waiting(
    configured: Configured, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    def look_up(*_args: object, **_more: object) -> bool:
        return over.wait(10)

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    began = time.monotonic()
    error, _ = failure(with_options(configured(here=server.entry(ProviderType.OPENAI_COMPAT)), timeout_seconds=1))
    over.set()
    assert type(error) is ProviderTimeout
    assert time.monotonic() - began < 8


@pytest.mark.parametrize("wrong", ["hangs", "drips"])
def test_a_call_that_was_left_ends_with_its_connection(configured: Configured, server: ModelServer, wrong: str) -> None:
    server.behaviour = FAILURES[wrong][0]
    failure(with_options(configured(here=server.entry(ProviderType.OPENAI_COMPAT)), timeout_seconds=1))
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "provider-call"], 8)


def test_who_is_not_waited_for_any_more_is_called_off_at_once(configured: Configured, server: ModelServer) -> None:
    server.behaviour = hang
    rooms = with_options(configured(here=server.entry(ProviderType.OPENAI_COMPAT)), timeout_seconds=30)
    began = time.monotonic()
    with pytest.raises(ProviderCancelled) as cancelled:
        rooms.providers.generate(ALICE, "sweep", called_off=lambda: bool(server.asked))
    assert time.monotonic() - began < 10
    draft = rooms.approval.draft(str(cancelled.value.draft_id))
    assert (draft.status, draft.error) == (DraftStatus.ERROR, "The generation was called off.")
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "provider-call"], 8)


def test_an_interrupt_leaves_a_draft_that_says_so(configured: Configured, server: ModelServer) -> None:
    server.behaviour = hang
    rooms = with_options(configured(here=server.entry(ProviderType.OPENAI_COMPAT)), timeout_seconds=30)

    def interrupt() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rooms.providers.generate(ALICE, "sweep", called_off=interrupt)
    (draft,) = rooms.approval.drafts()
    assert (draft.status, draft.error) == (DraftStatus.ERROR, "the call of here was broken off here")


def test_only_so_many_drafts_are_generated_at_once(configured: Configured, server: ModelServer) -> None:
    server.behaviour = hang
    rooms = with_options(configured(here=server.entry(ProviderType.OPENAI_COMPAT)), concurrency=2, timeout_seconds=2)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(failure, rooms) for _ in range(2)]
        until(lambda: len(server.asked) == 2)
        with pytest.raises(ProvidersBusy, match="2 drafts") as busy:
            rooms.providers.generate(ALICE, "sweep")
        assert (busy.value.draft_id, busy.value.retry_after_seconds) == (None, 5.0)
        assert {type(each.result()[0]) for each in waiting} == {ProviderTimeout}
    server.behaviour = well
    assert rooms.providers.generate(ALICE, "sweep").status is DraftStatus.DRAFT
    assert len(rooms.approval.drafts()) == 3


def test_no_transaction_is_open_while_a_provider_is_asked(configured: Configured, server: ModelServer) -> None:
    seen: list[Draft] = []

    def look(asking: Asking) -> None:
        rooms.approval.create(BOB, "meanwhile")  # would wait for the write lock of an open transaction
        seen.extend(rooms.approval.drafts(status=DraftStatus.ERROR))
        well(asking)

    server.behaviour = look
    rooms = configured(here=server.entry(ProviderType.OPENAI_COMPAT))
    draft = rooms.providers.generate(ALICE, "sweep")
    (waiting,) = seen
    assert (waiting.id, waiting.version, waiting.content) == (draft.id, 1, None)
    assert waiting.error == "here has not answered yet; after 10 s it never will"


def test_a_draft_that_was_decided_meanwhile_is_not_overwritten(configured: Configured, server: ModelServer) -> None:
    def reject(asking: Asking) -> None:
        (waiting,) = rooms.approval.drafts()
        rooms.approval.reject(BOB, waiting.id)
        well(asking)

    server.behaviour = reject
    rooms = configured(here=server.entry(ProviderType.OPENAI_COMPAT))
    with pytest.raises(DraftChanged):
        rooms.providers.generate(ALICE, "sweep")
    (draft,) = rooms.approval.drafts()
    assert (draft.status, draft.content) == (DraftStatus.REJECTED, None)


def test_where_the_answer_can_not_be_stored_the_draft_stays_in_error(
    configured: Configured, server: ModelServer
) -> None:
    rooms = configured(here=server.entry(ProviderType.OPENAI_COMPAT))
    opened: list[object] = []

    @contextmanager
    def failing_later(actor: Any) -> Any:  # noqa: ANN401 - a context
        opened.append(actor)
        if len(opened) > 1:
            raise Unreachable("the database is away")
        with rooms.approval.open(actor) as desk:
            yield desk

    approval = replace(rooms.approval, open=failing_later)
    for behaviour, kind in ((well, Unreachable), (saying({}, 500), ProviderFailed)):
        server.behaviour = behaviour
        opened.clear()
        with pytest.raises(kind):
            replace(rooms.providers, approval=approval).generate(ALICE, "sweep")
        draft = rooms.approval.drafts()[0]
        assert (draft.status, draft.version) == (DraftStatus.ERROR, 1)
        assert "has not answered yet" in (draft.error or "")


def test_a_library_s_own_variables_do_not_make_it_log_a_prompt(
    configured: Configured, server: ModelServer, kind: ProviderType, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("openai", "anthropic", "google_genai", "httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.DEBUG)  # as OPENAI_LOG=debug and its like do
    caplog.set_level(logging.DEBUG)
    configured(here=server.entry(kind)).providers.generate(ALICE, "a prompt that is private")
    assert "private" not in caplog.text


@pytest.mark.proves("ops-generate-timeout")
def test_default_options_are_what_the_contract_says() -> None:
    assert ProviderOptions().timeout_seconds == 30
