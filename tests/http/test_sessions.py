"""A browser's session: opened with a token, ended by leaving, and of no use to another site."""

from __future__ import annotations

import httpx2
import pytest

from tests.http.served import Served, told


def log_in(served: Served, role: str = "admin", kind: str = "human") -> httpx2.Client:
    """Return a client that has nothing but the cookie."""
    answer = served.client(role, kind).post("/ops/session")
    assert answer.status_code == 201, answer.text
    cookie = answer.headers["set-cookie"]
    served.client(role, kind).cookies.clear()
    assert served.tokens[role, kind] not in cookie
    flags = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert flags == {"httponly", "samesite=strict", "path=/"}
    return served.anybody(Cookie=cookie.partition(";")[0])


def test_a_session_is_who_its_token_is_and_ends_when_it_is_left(served: Served) -> None:
    browser = log_in(served, "operator")
    me = browser.get("/ops/me").json()
    assert (me["id"], me["role"], me["session"]) == ("human:human-operator", "operator", True)
    told(browser.post("/ops/drafts", json={"prompt": "p"}), 403, "role_too_low")
    told(browser.post("/ops/session"), 403, "token_needed")
    left = browser.delete("/ops/session")
    assert left.status_code == 204
    assert left.content == b""
    told(browser.get("/ops/me"), 401, "session_invalid")
    told(browser.delete("/ops/session"), 401)
    told(served.client().delete("/ops/session"), 401)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"},
        {"Origin": ""},
    ],
)
def test_another_site_can_not_use_it(served: Served, headers: dict[str, str]) -> None:
    browser = log_in(served)
    told(browser.post("/ops/drafts", json={"prompt": "p"}, headers=headers), 403, "foreign_origin")
    assert browser.get("/ops/drafts").json() == []


def test_its_own_site_can(served: Served) -> None:
    browser = log_in(served)
    own = {"Origin": served.address, "Sec-Fetch-Site": "same-origin"}
    assert browser.post("/ops/drafts", json={"prompt": "p"}, headers=own).status_code == 201
    assert browser.post("/ops/drafts", json={"prompt": "p"}).status_code == 201


@pytest.mark.parametrize("end", ["revoke", "rotate"])
def test_it_ends_with_its_token(served: Served, end: str) -> None:
    browser = log_in(served)
    token_id = browser.get("/ops/me").json()["token_id"]
    other = served.client("admin", "service")
    answer = (
        other.post(f"/ops/tokens/{token_id}/{end}")
        if end == "revoke"
        else served.client().post(f"/ops/tokens/{token_id}/rotate")
    )
    assert answer.status_code == 200, answer.text
    told(browser.get("/ops/me"), 401, "session_invalid")
    told(served.client().get("/ops/me"), 401, "token_invalid")


def test_a_token_that_is_shown_counts_before_a_cookie(served: Served) -> None:
    browser = log_in(served)
    told(browser.get("/ops/me", headers={"Authorization": "Bearer wrong"}), 401)


def test_a_token_is_shown_once_and_its_secret_is_in_no_list(served: Served) -> None:
    admin = served.client()
    made = admin.post("/ops/tokens", json={"name": "ci", "role": "actions", "expires_in_seconds": 60})
    assert made.status_code == 201
    text, token_id = made.json()["token"], made.json()["id"]
    assert made.headers["location"] == f"/ops/tokens/{token_id}"
    shown = [admin.get(path).text for path in ("/ops/tokens", f"/ops/tokens/{token_id}", "/ops/audit")]
    assert not [page for page in shown if text in page or text.split("_", 2)[2] in page]
    client = served.anybody(Authorization=f"Bearer {text}")
    assert client.get("/ops/me").json()["id"] == "service:ci"
    again = admin.post(f"/ops/tokens/{token_id}/rotate", json={"grace_seconds": 60}).json()["token"]
    assert client.get("/ops/me").status_code == 200
    assert served.anybody(Authorization=f"Bearer {again}").get("/ops/me").status_code == 200
    assert admin.post(f"/ops/tokens/{token_id}/revoke", json={"reason": "done"}).json()["status"] == "revoked"
    told(client.get("/ops/me"), 401, "token_invalid")
    told(admin.post(f"/ops/tokens/{token_id}/rotate"), 409, "token_ended")


def test_no_agent_and_no_service_makes_a_human(served: Served) -> None:
    body = {"name": "eve", "role": "admin", "kind": "human"}
    for kind in ("agent", "service"):
        told(served.client("admin", kind).post("/ops/tokens", json=body), 403, "human_needed")
