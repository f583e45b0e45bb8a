"""Whatever stands in a query, a path or `Last-Event-ID`: it is understood, or refused in the documented form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple, cast
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.effort import effort
from tests.http.document import COMMITTED
from tests.http.routes import ways
from tests.http.served import Served

DOCUMENT: dict[str, Any] = json.loads(COMMITTED.read_text(encoding="utf-8"))
ODD = (
    *("", " ", "0", "-1", "1.5", "1e3", "NaN", "true", "9" * 16, "9" * 400, "-" + "9" * 400, "\u0663", "\uff10"),
    *("\0", "\r\n", "\u202e", "é가", "%", "%zz", "+", "a" * 5_000, "'; DROP TABLE runs; --", "../../etc/passwd"),
    *("d_01ARZ3NDEKTSV4RRFFQ69G5FAV", "D_01ARZ3NDEKTSV4RRFFQ69G5FAV", "r_01ARZ3NDEKTSV4RRFFQ69G5FA\n", "[]", "{}"),
    *("2026-11-21T08:00:00.000Z", "9999-99-99T99:99:99.999Z", "PENDING", "null", "None", "DESC", "\ud83d"),
)


class Place(NamedTuple):
    """Where something can be said."""

    path: str
    """With ids that lead nowhere."""
    template: str
    name: str
    kind: str
    """`query` or `header`."""


def places() -> Iterator[Place]:
    """List every parameter of what only reads."""
    for way in ways():
        found: Any = DOCUMENT["paths"].get(way.template, {}).get("get", {}) if way.method == "GET" else {}
        parameters = cast("list[dict[str, Any]]", found.get("parameters", []))
        for each in parameters:
            if each["in"] in {"query", "header"}:
                yield Place(way.path, way.template, each["name"], each["in"])


PLACES = sorted(set(places()))


def asked(served: Served, place: Place, text: str) -> None:
    """Ask by HEAD what would never end, else by GET; the answer is one that the document knows."""
    coded = quote(text, safe="", errors="surrogatepass")
    path = f"{place.path}?{place.name}={coded}" if place.kind == "query" else place.path
    headers = [] if place.kind == "query" else [(place.name.encode(), text.encode("utf-8", "surrogatepass"))]
    follows = "text/event-stream" in json.dumps(DOCUMENT["paths"][place.template]["get"]["responses"])
    answer = served.client("admin", "human").request("HEAD" if follows else "GET", path, headers=headers)
    known = {int(code) for code in DOCUMENT["paths"][place.template]["get"]["responses"]}
    assert answer.status_code in known - {500}, (place, text[:80], answer.status_code, answer.text)
    if answer.status_code >= 400 and not follows:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["correlation_id"] == answer.headers["x-correlation-id"]


def is_sent(text: str) -> bool:
    """Say whether a client would send this as a header."""
    return text == text.strip() and not any(character < " " or character == "\x7f" for character in text)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: f"{place.template} {place.name}")
def test_anything_said_to_a_reading_route_is_understood_or_refused(shared: Served, place: Place) -> None:
    for text in ODD:
        if place.kind == "query" or is_sent(text):
            asked(shared, place, text)


@effort(150)
@given(place=st.sampled_from(PLACES), text=st.text(max_size=30) | st.from_regex(r"[a-z]{1,2}_[0-9A-Z]{26}.?"))
def test_any_text_said_to_a_reading_route_is_understood_or_refused(shared: Served, place: Place, text: str) -> None:
    if place.kind == "query" or is_sent(text):
        asked(shared, place, text)


def test_every_list_that_is_paged_and_every_stream_is_among_them() -> None:
    names = {place.name for place in PLACES}
    assert names >= {"before", "after", "limit", "last-event-id"} or names >= {
        "before",
        "after",
        "limit",
        "Last-Event-ID",
    }
