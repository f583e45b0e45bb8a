"""Token, role, media type, body: in this order, on every route, for everybody."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from interlock.access.options import AccessOptions
from interlock.access.redaction import redact
from interlock.app import Interlock
from interlock.doors.api import LEVELS, Door
from interlock.http.document import openapi
from tests.http.rights import committed, table
from tests.http.routes import Way, ways
from tests.http.served import KINDS, ROLES, Served, serving, told

JSON = {"Content-Type": "application/json"}
WAYS = list(ways())
BODIES: dict[str, tuple[bytes, dict[str, str]]] = {
    "nothing": (b"", {}),
    "unparsable": (b"{", JSON),
    "wrong type": (b"a=b", {"Content-Type": "application/x-www-form-urlencoded"}),
    "too large": (b'"' + b"a" * 3_000_000 + b'"', JSON),
}


@pytest.fixture(scope="module")
def nobody(shared: Served) -> httpx2.Client:
    return shared.anybody()


def ask(
    client: httpx2.Client, way: Way, body: str = "nothing", more: Mapping[str, str] | None = None
) -> httpx2.Response:
    content, headers = BODIES[body]
    return client.request(way.method, way.path, content=content, headers={**headers, **(more or {})})


def title(way: Way) -> str:
    return f"{way.method} {way.template}"


def test_every_documented_path_is_behind_the_gate_but_for_two(shared: Served) -> None:
    documented = {
        (method.upper(), path)
        for path, methods in openapi(shared.server.config.app)["paths"].items()  # type: ignore[union-attr] - it is our application
        for method in methods
    }
    assert documented == {(way.method, way.template) for way in WAYS} | {("GET", "/"), ("GET", "/health")}
    assert len(WAYS) > 55


def test_a_route_that_does_not_say_which_role_it_needs_can_not_be_made() -> None:
    door = Door("/ops", "new")
    with pytest.raises(AttributeError):
        door.get("/new")(lambda: None)


@pytest.mark.proves("ops-address")
@pytest.mark.parametrize("way", WAYS, ids=title)
def test_without_a_token_nothing_else_is_looked_at(nobody: httpx2.Client, way: Way) -> None:
    shown: tuple[dict[str, str], ...] = (
        {},
        {"Authorization": "Bearer x"},
        {"Authorization": "Basic YTpi"},
        {"Cookie": "interlock_session=x"},
    )
    asked: list[tuple[dict[str, str], str]] = [*itertools.product(shown, list(BODIES)[:3]), ({}, "too large")]
    for given, body in asked:
        answer = ask(nobody, way, body, given)
        told(answer, 401)
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.proves("ops-roles")
@pytest.mark.parametrize("way", WAYS, ids=title)
def test_a_role_that_is_too_low_is_refused_before_the_body_is_looked_at(shared: Served, way: Way) -> None:
    for role, kind in itertools.product(LEVELS[: LEVELS.index(way.level)], KINDS):
        for body in BODIES if kind == "human" and way.takes_body else list(BODIES)[:1]:
            told(ask(shared.client(role, kind), way, body), 403, "role_too_low")


@pytest.mark.parametrize("way", [way for way in WAYS if way.takes_body], ids=title)
def test_who_may_call_learns_what_is_wrong_with_the_body(shared: Served, way: Way) -> None:
    client = shared.client(way.level, "human")
    told(ask(client, way, "unparsable"), 422, "malformed_json")
    told(ask(client, way, "wrong type"), 415, "unsupported_media_type")
    told(ask(client, way, "too large"), 413, "body_too_large")


@pytest.mark.parametrize("way", [way for way in WAYS if way.takes_body], ids=title)
def test_fields_that_nobody_knows_are_refused(shared: Served, way: Way) -> None:
    if way.path in {"/ops/plan", "/ops/provider"}:
        return
    answer = shared.client(way.level, "human").request(way.method, way.path, json={"nobody_knows": 1})
    problem = told(answer, 422, "not_valid")
    assert any("nobody_knows" in error["loc"] for error in problem["errors"])


@pytest.mark.proves("ops-roles")
def test_the_table_of_rights_on_the_page_is_the_code_s() -> None:
    assert committed() == table()
    assert committed().count("\n") == len(WAYS) + 2


@pytest.mark.proves("ops-humans")
def test_what_only_humans_may_is_refused_to_every_other_admin(served: Served) -> None:
    approve, revoke = "/ops/drafts/{draft_id}/approve", "/ops/approved/{approved_id}/revoke"
    for_humans: dict[tuple[str, str], tuple[str, Any]] = {
        ("POST", approve): (approve.format(draft_id=served.draft()), None),
        ("POST", revoke): (revoke.format(approved_id=served.approved()), None),
        ("PUT", "/ops/provider"): ("/ops/provider", {"active": "local_ollama"}),
        ("POST", "/ops/panic/release"): ("/ops/panic/release", {"reason": "calm again"}),
        ("POST", "/ops/config"): ("/ops/config", {"body": "[queue]\nlease_seconds = 21\n"}),
    }
    erased = served.approved()
    for_humans["POST", "/ops/drafts/{draft_id}/erase"] = (f"/ops/drafts/{served.draft()}/erase", {"reason": "asked"})
    for_humans["POST", "/ops/approved/{approved_id}/erase"] = (f"/ops/approved/{erased}/erase", {"reason": "asked"})
    loop = served.run()
    for verb in ("acknowledge", "unfreeze"):
        for_humans["POST", f"/ops/loops/{{loop_id}}/{verb}"] = (f"/ops/loops/{loop}/{verb}", {})
    pipelines = served.client().get("/ops/pipelines").json()
    name, digest = pipelines[0]["id"], pipelines[0]["digest"]
    for_humans["POST", "/ops/pipelines/{name}/accept"] = (f"/ops/pipelines/{name}/accept", {"digest": digest})
    assert {(way.method, way.template) for way in WAYS if way.for_humans} == for_humans.keys()
    served.client().put("/ops/panic", json={"reason": "look"})
    for (method, _), (path, body) in sorted(for_humans.items(), key=lambda each: "release" not in each[0][1]):
        for kind in ("agent", "service"):
            told(served.client("admin", kind).request(method, path, json=body), 403, "human_needed")
        if "release" in path:
            assert served.client().request(method, path, json=body).status_code == 200
    for (method, template), (path, body) in for_humans.items():
        if "release" not in template:
            expected = 409 if "loops" in template else 200  # there is nothing to acknowledge or unfreeze
            expected = 201 if template == "/ops/config" else expected
            assert served.client().request(method, path, json=body).status_code == expected, path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("role", ROLES)
def test_only_a_human_admin_decides(served: Served, role: str, kind: str) -> None:
    client, draft_id, approved_id = served.client(role, kind), served.draft(), served.approved()
    may = role == "admin" and kind == "human"
    for path in (f"/ops/drafts/{draft_id}/approve", f"/ops/approved/{approved_id}/revoke"):
        answer = client.post(path)
        if may:
            assert answer.status_code == 200
        else:
            told(answer, 403, "role_too_low" if role != "admin" else "human_needed")
    if not may:
        assert served.client().get(f"/ops/drafts/{draft_id}").json()["status"] == "draft"
        denied = served.client().get("/ops/audit", params={"limit": 2}).json()
        assert {event["kind"] for event in denied} == {"access.denied"}
        assert {event["principal"] for event in denied} == {f"{kind}:{kind}-{role}"}


@pytest.mark.parametrize("way", [way for way in WAYS if "{" in way.template], ids=title)
def test_what_is_not_there_or_has_no_id_of_ours_is_said_to_be_so(shared: Served, way: Way) -> None:
    client = shared.client(way.level, "human")
    whole = {"fence": 1, "notes": "n", "priority": "P1"}
    for path in (way.path, way.template.format_map(_Anything("x")), way.template.format_map(_Anything("d_%00"))):
        for body in (None, {}, whole, *({key: value} for key, value in whole.items())):
            answer = (
                client.request(way.method, path, json=body) if body is not None else client.request(way.method, path)
            )
            assert answer.status_code in {404, 409, 415, 422}, (path, body, answer.text)
            told(answer, answer.status_code)


class _Anything(dict[str, str]):
    def __init__(self, value: str) -> None:
        super().__init__()
        self._value = value

    def __missing__(self, key: str) -> str:
        return self._value


def test_every_answer_names_its_correlation_id_and_a_wrong_one_is_not_taken_over(
    shared: Served, nobody: httpx2.Client
) -> None:
    client = shared.client()
    assert client.get("/status", headers={"X-Correlation-ID": "mine-1"}).headers["x-correlation-id"] == "mine-1"
    assert client.get("/status", headers={"X-Request-ID": "mine-2"}).headers["x-correlation-id"] == "mine-2"
    for wrong in ("a b", "x" * 129, "<script>", "ä".encode().decode("latin-1"), ""):
        given = client.get("/status", headers={"X-Correlation-ID": wrong.encode("latin-1")})  # type: ignore[dict-item] - httpx takes bytes, too
        assert given.headers["x-correlation-id"].startswith("req-")
    for path in ("/", "/health"):
        assert nobody.get(path).headers["x-correlation-id"]


@pytest.mark.proves("ops-audit")
def test_a_correlation_id_binds_what_was_done_in_the_log(served: Served) -> None:
    served.client().post("/ops/drafts", json={"prompt": "p"}, headers={"X-Correlation-ID": "mine-3"})
    assert served.client().get("/ops/audit", params={"limit": 1}).json()[0]["correlation_id"] == "mine-3"


def test_health_and_the_front_door_say_nothing_secret_and_take_no_verb(nobody: httpx2.Client) -> None:
    assert nobody.get("/health").json() == {"status": "ok"}
    told(nobody.post("/health"), 405)
    assert nobody.post("/health").headers["allow"] == "GET"


def test_no_other_origin_is_ever_let_in(shared: Served) -> None:
    foreign = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for method, path in (("OPTIONS", "/ops/drafts"), ("GET", "/ops/drafts")):
        answer = shared.client().request(method, path, headers=foreign)
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_token_in_the_address_or_in_a_body_is_none(shared: Served, nobody: httpx2.Client) -> None:
    token = shared.tokens["admin", "human"]
    for name in ("token", "access_token", "authorization", "api_key"):
        told(nobody.get("/status", params={name: token}), 401)
        told(nobody.post("/ops/drafts", json={name: token, "prompt": "p"}), 401)
    assert token not in redact(f"GET /status?token={token}")


@pytest.mark.proves("ops-rate-limit")
def test_who_asks_too_often_is_told_how_long_to_wait_and_nobody_else_waits(workspace: Path) -> None:
    access = AccessOptions(requests_per_minute=60, burst=3, bad_tokens_per_minute=3)
    with closing(Interlock.at(workspace)) as house, serving(house, access=access) as served:
        busy = served.client("actions", "service")
        answers = [busy.get("/status") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 2
        told(answers[-1], 429, "too_many_requests")
        assert served.client("actions", "human").get("/status").status_code == 200
        wrong = served.anybody(Authorization="Bearer wrong")
        bad = [wrong.get("/status") for _ in range(6)]
        assert [answer.status_code for answer in bad] == [401, 401, 401, 429, 429, 429]
        assert int(bad[-1].headers["retry-after"]) <= 20
        told(wrong.get("/status", headers={"X-Forwarded-For": "10.1.2.3"}), 429)
        assert served.client("operator", "human").get("/status").status_code == 200


@pytest.mark.parametrize("path", ["/nowhere", "/ops", "/ops/", "/ops/drafts/", "/ops/approved/..%2Fdrafts", "/%00"])
def test_an_unknown_path_is_not_found_and_leads_nowhere_else(shared: Served, nobody: httpx2.Client, path: str) -> None:
    answer = shared.client().get(path, follow_redirects=False)
    assert told(answer, 404)["code"] == "not_found"
    told(nobody.get(path), 401)
