"""How providers are: ok, degraded or down, all asked at once, within five seconds."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from interlock.providers import service
from interlock.providers.errors import ProvidersBusy
from interlock.providers.models import Condition, ProviderType
from tests.providers.conftest import KINDS, Configured
from tests.providers.model_server import (
    MODEL,
    Asking,
    Behaviour,
    ModelServer,
    close,
    drip,
    garbage,
    hang,
    kind_of,
    model_server,
    models,
    saying,
    three_megabytes,
    well,
)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Call no answer slow because this machine has much to do; one test says how soon it is."""
    monkeypatch.setattr(service, "_SLOW_MS", 60_000)


def test_a_provider_that_answers_and_knows_the_model_is_ok(
    configured: Configured, server: ModelServer, kind: ProviderType
) -> None:
    rooms = configured(
        here=server.entry(kind), there={"type": kind.value, "model": "x", "base_url": "http://127.0.0.1:9"}
    )
    here, there = rooms.providers.health()
    assert (here.name, here.status, here.reason, here.active) == ("here", Condition.OK, "ok", True)
    assert here.latency_ms is not None
    assert (there.name, there.status, there.reason, there.active) == ("there", Condition.DOWN, "offline", False)
    assert there.latency_ms is None
    assert here.shown() == {
        "id": "here",
        "status": "ok",
        "reason": "ok",
        "detail": here.detail,
        "latency_ms": here.latency_ms,
        "active": True,
    }


def another(asking: Asking) -> None:
    kind = kind_of(asking.asked)
    if kind is ProviderType.OPENAI_COMPAT:
        asking.answer(models(kind, "another"))
    else:
        asking.answer({"error": {"message": "not found"}}, 404)


ILLS: dict[str, tuple[Behaviour, str, str]] = {
    "no such model": (another, "degraded", "model_unknown"),
    "too many requests": (saying({}, 429), "degraded", "rate_limited"),
    "3 MB": (three_megabytes, "degraded", "too_large"),
    "key refused": (saying({}, 401), "down", "key_refused"),
    "500": (saying({}, 500), "down", "status_500"),
    "no HTTP": (garbage, "down", "broken_off"),
    "closes": (close, "down", "broken_off"),
    "redirect": (saying({}, 302, Location="/x"), "down", "redirect"),
    "no JSON": (saying(b"hello"), "degraded", "malformed"),
}


@pytest.mark.parametrize("ill", ILLS)
def test_what_is_wrong_is_said(configured: Configured, server: ModelServer, kind: ProviderType, ill: str) -> None:
    server.behaviour, status, reason = ILLS[ill]
    (health,) = configured(here=server.entry(kind)).providers.health()
    assert (health.status.value, health.reason) == (status, reason), health


def test_a_model_is_known_by_its_name_without_latest_too(configured: Configured, server: ModelServer) -> None:
    server.behaviour = saying(models(ProviderType.OPENAI_COMPAT, f"{MODEL}:latest"))
    assert configured(here=server.entry(ProviderType.OPENAI_COMPAT)).providers.health()[0].reason == "ok"


def test_a_server_without_a_list_of_models_is_degraded(configured: Configured, server: ModelServer) -> None:
    server.behaviour = saying({"models": []})
    (health,) = configured(here=server.entry(ProviderType.OPENAI_COMPAT)).providers.health()
    assert (health.status, health.reason) == (Condition.DEGRADED, "malformed")


def test_all_are_asked_at_once_and_none_is_waited_for_longer_than_its_time(
    configured: Configured, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "HEALTH_SECONDS", 2)
    server.behaviour = hang
    with model_server() as dripping, model_server() as well_running:
        dripping.behaviour = drip
        rooms = configured(
            **{f"hanging{n}": server.entry(kind) for n, kind in enumerate(KINDS)},
            dripping=dripping.entry(ProviderType.ANTHROPIC),
            well=well_running.entry(ProviderType.GEMINI),
        )
        for adapter in rooms.providers.adapters.values():
            adapter()  # the first import of a library takes its time
        began = time.monotonic()
        found = rooms.providers.health()
        assert time.monotonic() - began < 6
    assert [(each.status.value, each.reason) for each in found] == [("down", "slow")] * 4 + [("ok", "ok")]
    assert service.HEALTH_SECONDS == 2


def test_five_seconds_are_what_a_provider_has() -> None:
    assert service.HEALTH_SECONDS == 5


def test_a_slow_answer_is_degraded(
    configured: Configured, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_SLOW_MS", 50)

    def slow(asking: Asking) -> None:
        asking.over.wait(0.2)
        well(asking)

    server.behaviour = slow
    (health,) = configured(here=server.entry(ProviderType.OPENAI_COMPAT)).providers.health()
    assert (health.status, health.reason) == (Condition.DEGRADED, "slow")
    assert health.latency_ms is not None
    assert health.latency_ms >= 200


def test_many_who_ask_at_once_make_one_check(configured: Configured, server: ModelServer) -> None:
    going = threading.Event()

    def wait(asking: Asking) -> None:
        going.wait(5)
        well(asking)

    server.behaviour = wait
    rooms = configured(here=server.entry(ProviderType.OPENAI_COMPAT))
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(rooms.providers.health) for _ in range(8)]
        going.set()
        assert {each.result()[0].reason for each in asked} == {"ok"}
    assert len(server.asked) == 1


def test_a_check_is_made_anew_after_a_moment(
    configured: Configured, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_HEALTH_HOLDS_SECONDS", 0.0)
    rooms = configured(here=server.entry(ProviderType.OPENAI_COMPAT))
    assert rooms.providers.health()[0].reason == "ok"
    server.behaviour = saying({}, 500)
    assert rooms.providers.health()[0].reason == "status_500"


def test_a_health_check_makes_no_event_and_no_draft(configured: Configured, server: ModelServer) -> None:
    rooms = configured(here=server.entry(ProviderType.OPENAI_COMPAT))
    before = rooms.database.seal(), len(rooms.approval.drafts())
    rooms.providers.health()
    assert (rooms.database.seal(), len(rooms.approval.drafts())) == before


def test_only_so_many_wait_for_the_health_of_providers(configured: Configured, server: ModelServer) -> None:
    server.behaviour = hang
    rooms = configured(here=server.entry(ProviderType.OPENAI_COMPAT))
    with ThreadPoolExecutor(9) as pool:
        waiting = [pool.submit(rooms.providers.health) for _ in range(9)]
        refused = [each.exception() for each in waiting]
    assert [type(each) for each in refused if each is not None] == [ProvidersBusy]
