"""The console's files over HTTP, without the bundler: what is served, how long it is kept, and what never is."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.types import Message, Receive, Scope, Send

from interlock.web.pages import API, POLICY, Console

INDEX = "<!doctype html><title>Interlock</title>" + "<p>the page</p>" * 50
BROWSER = {"accept": "text/html,application/xhtml+xml"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


async def behind(scope: Scope, receive: Receive, send: Send) -> None:
    """The application that stands behind the console: it says that it was asked."""
    del scope, receive
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b"the application"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "built"
    (made / "assets").mkdir(parents=True)
    (made / "index.html").write_text(INDEX)
    (made / "favicon.svg").write_text("<svg/>")
    (made / "assets/index-0a1b.js").write_text("console.log('it works')\n" * 40)
    (tmp_path / "secret.txt").write_text("a secret")
    (made / "assets/out.txt").symlink_to(tmp_path / "secret.txt")
    return made


def ask(folder: Path, path: str, method: str = "GET", **headers: str) -> Answer:
    """Ask as a server would hand it on: the path as it was unquoted, and not made any shorter."""
    return asyncio.run(asked(Console(behind, folder), path, method, headers))


async def asked(console: Console, path: str, method: str, headers: dict[str, str]) -> Answer:
    said: list[Message] = []

    async def send(message: Message) -> None:
        await asyncio.sleep(0)
        said.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    await console({"type": "http", "method": method, "path": path, "headers": raw}, receive, send)
    told = {name.decode(): value.decode() for name, value in said[0]["headers"]}
    return Answer(said[0]["status"], told, b"".join(each.get("body", b"") for each in said[1:]))


@pytest.mark.parametrize("path", ["/", "/review", "/review/d_01", "/pipelines/runs/x", "/nowhere", "/opsy"])
def test_a_browser_is_given_the_page_wherever_it_goes(folder: Path, path: str) -> None:
    answer = ask(folder, path, **BROWSER)
    assert (answer.status, answer.body) == (200, INDEX.encode())
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path", ["/ops/drafts", "/ops", "//ops/drafts", "/ui/status", "/health", "/status", "/metrics", "/openapi.json"]
)
def test_what_is_of_the_api_goes_to_the_api(folder: Path, path: str) -> None:
    assert ask(folder, path, **BROWSER).status == 299


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {"accept": "application/json"}),
        ("GET", {}),
        ("GET", {**BROWSER, "authorization": "Bearer x"}),
        ("POST", BROWSER),
        ("DELETE", BROWSER),
        ("OPTIONS", BROWSER),
    ],
)
def test_a_program_that_asks_for_no_page_goes_to_the_api(folder: Path, method: str, headers: dict[str, str]) -> None:
    assert ask(folder, "/", method, **headers).status == 299


def test_a_file_named_by_its_content_is_kept_for_good(folder: Path) -> None:
    answer = ask(folder, "/assets/index-0a1b.js")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_any_other_file_is_asked_for_anew(folder: Path) -> None:
    answer = ask(folder, "/favicon.svg")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/", "/favicon.svg", "/assets/index-0a1b.js", "/assets/gone.js"])
def test_every_answer_keeps_strangers_out_of_the_page(folder: Path, path: str) -> None:
    headers = ask(folder, path, **BROWSER).headers
    assert headers["content-security-policy"] == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"


def test_the_policy_lets_nothing_inline_run() -> None:
    assert "unsafe" not in POLICY
    assert POLICY.startswith("default-src 'none'; script-src 'self'; style-src 'self';")


def test_a_file_of_an_older_page_is_gone_and_no_page_stands_in_for_it(folder: Path) -> None:
    answer = ask(folder, "/assets/index-old.js", **BROWSER)
    assert answer.status == 404
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../../secret.txt",
        "/../secret.txt",
        "/assets/..\\..\\secret.txt",
        "/assets//etc/passwd",
        "//etc/passwd",
        "/assets/out.txt",
        "/assets/index-0a1b.js\x00.txt",
    ],
)
def test_no_path_leads_out_of_the_folder(folder: Path, path: str) -> None:
    for headers in ({}, BROWSER):
        answer = ask(folder, path, **headers)
        assert b"secret" not in answer.body
        assert b"root:" not in answer.body
        assert answer.status in {200, 299, 404}
        assert answer.status != 200 or answer.body == INDEX.encode()


def test_a_text_is_sent_packed_to_who_can_unpack_it(folder: Path) -> None:
    plain = ask(folder, "/", **BROWSER)
    packed = ask(folder, "/", **BROWSER, accept_encoding="br, gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body)
    assert "content-encoding" not in plain.headers
    assert "Accept-Encoding" in plain.headers["vary"]


@pytest.mark.parametrize("there", [True, False])
def test_without_a_page_a_browser_is_told_what_to_do(tmp_path: Path, *, there: bool) -> None:
    if there:
        (tmp_path / "assets").mkdir()
        (tmp_path / "assets/index-0a1b.js").write_text("left over")
    answer = ask(tmp_path if there else tmp_path / "none", "/review", **BROWSER)
    assert answer.status == 503
    assert b"make ui" in answer.body
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["cache-control"] == "no-store"
    assert ask(tmp_path, "/ops/drafts").status == 299
    assert ask(tmp_path, "/assets/index-0a1b.js").status == 404


def test_what_is_no_request_goes_on(folder: Path) -> None:
    heard: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        del receive, send
        heard.append(scope["type"])

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        del message

    asyncio.run(Console(application, folder)({"type": "lifespan"}, receive, send))
    assert heard == ["lifespan"]


def test_no_route_of_the_api_is_taken_for_a_page() -> None:
    document = Path(__file__).parents[2] / "docs/openapi.json"
    routes = [path for path in json.loads(document.read_text())["paths"] if path != "/"]
    assert routes
    assert {path.split("/")[1] for path in routes} <= API
