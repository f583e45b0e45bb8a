"""Serves the console's files: to browsers, without a token, and nothing but the files that are there.

Every file is read once, by its name; a path is looked up and never joined to a folder, so it leads nowhere else.
"""

from __future__ import annotations

import gzip
import mimetypes
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

ASSETS: Final = Path(__file__).with_name("assets")
"""Where `npm run build` in `ui/` puts what it makes."""
API: Final = frozenset({"ops", "ui", "health", "status", "metrics", "openapi.json", "openapi.yaml"})
"""First parts of paths that are never a page."""
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_FOREVER: Final = "public, max-age=31536000, immutable"
_NEVER: Final = "no-store"
_INDEX: Final = "/index.html"
_HASHED: Final = "/assets/"
"""The bundler names what is in here by its content: other content is another name."""
_TEXTS: Final = ("text/", "application/json", "image/svg+xml")
_MISSING: Final = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Interlock: no console</title></head>
<body><h1>The console is not built</h1>
<p>This installation has no pages. In a checkout: <code>make ui</code>, and start the server again.</p>
<p>The command line and the HTTP doors work without it: <a href="/health">/health</a>.</p></body></html>
"""


@dataclass(frozen=True, slots=True)
class Page:
    """A file as it is sent."""

    body: bytes
    packed: bytes | None
    """The same by gzip, where that makes a text shorter."""
    media_type: str
    caching: str


def read_pages(folder: Path) -> dict[str, Page]:
    """Return every file of a folder by its path in the address (`/assets/x.js`); none where there is no index."""
    if not (folder / "index.html").is_file():
        return {}
    found = (each for each in sorted(folder.rglob("*")) if each.is_file() and not each.is_symlink())
    return {f"/{each.relative_to(folder).as_posix()}": _page(each, folder) for each in found}


def _page(path: Path, folder: Path) -> Page:
    body = path.read_bytes()
    kind = _kind(path)
    packed = gzip.compress(body, mtime=0) if kind.startswith(_TEXTS) else None
    hashed = f"/{path.relative_to(folder).as_posix()}".startswith(_HASHED)
    return Page(
        body=body,
        packed=packed if packed is not None and len(packed) < len(body) else None,
        media_type=kind,
        caching=_FOREVER if hashed else _NEVER,
    )


def _kind(path: Path) -> str:
    known = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
    return known.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Console:
    """Answers a browser's questions for pages; every other request goes on to the application."""

    app: ASGIApp
    folder: Path = ASSETS
    api: Collection[str] = API
    pages: Mapping[str, Page] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pages", read_pages(self.folder))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        answer = self._answer(scope) if scope["type"] == "http" else None
        await (answer or self.app)(scope, receive, send)

    def _answer(self, scope: Scope) -> Response | None:
        path: str = scope["path"]
        if scope["method"] not in {"GET", "HEAD"} or path.lstrip("/").partition("/")[0] in self.api:
            return None
        headers = Headers(scope=scope)
        page = self.pages.get(path)
        if page is not None:
            return _sent(page, headers)
        if path.startswith(_HASHED):
            return Response("there is no such file\n", 404, {**_HEADERS, "Cache-Control": _NEVER}, "text/plain")
        return self._view(headers) if _asks_for_a_page(headers) else None

    def _view(self, headers: Headers) -> Response:
        """The one page that every view begins with; the address says which view."""
        index = self.pages.get(_INDEX)
        if index is None:
            return Response(_MISSING, 503, {**_HEADERS, "Cache-Control": _NEVER}, "text/html")
        return _sent(index, headers)


def _asks_for_a_page(headers: Headers) -> bool:
    """Tell a browser that goes somewhere from a program that asks the API; who shows a token is a program."""
    return "text/html" in headers.get("accept", "") and "authorization" not in headers


def _sent(page: Page, headers: Headers) -> Response:
    sent = {**_HEADERS, "Cache-Control": page.caching, "Vary": "Accept, Accept-Encoding"}
    if page.packed is not None and "gzip" in headers.get("accept-encoding", ""):
        return Response(page.packed, 200, {**sent, "Content-Encoding": "gzip"}, page.media_type)
    return Response(page.body, 200, sent, page.media_type)
