"""`/ops/inbox` and what maintenance asks: typed, for every role, the verb only where it is the caller's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from interlock.inbox.api import InboxShown
from tests.cli.door import Said, call
from tests.http.conftest import any_served, served
from tests.http.served import KINDS, ROLES, Served, told

__all__ = ["any_served", "served"]


def listed(served: Served, role: str = "admin", kind: str = "human") -> list[dict[str, Any]]:
    found = served.client(role, kind).get("/ops/inbox").json()
    InboxShown.model_validate(found)
    return list(found["items"])


def test_what_waits_is_listed_over_each_kind_of_database_until_it_is_done(any_served: Served) -> None:
    assert listed(any_served) == []
    draft = any_served.draft("mend the roof")
    (entry,) = listed(any_served)
    assert (entry["kind"], entry["id"], entry["href"]) == ("draft_waiting", draft, f"/review/{draft}")
    any_served.client().put("/ops/panic", json={"reason": "look"})
    assert [each["kind"] for each in listed(any_served)] == ["panic", "draft_waiting"]
    any_served.client().post("/ops/panic/release", json={"reason": "seen"})
    any_served.client().post(f"/ops/drafts/{draft}/reject", json={"reason": "no"})
    assert listed(any_served) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("role", ROLES)
def test_everybody_sees_what_waits_and_only_who_may_is_told_the_verb(served: Served, role: str, kind: str) -> None:
    served.draft()
    (entry,) = listed(served, role, kind)
    assert (entry["next"] is not None) == ((role, kind) == ("admin", "human"))
    assert entry["who_can"] == "a human with the role admin"


def test_how_many_of_a_kind_is_bounded(served: Served) -> None:
    for number in range(3):
        served.draft(f"number {number}")
    found = served.client().get("/ops/inbox", params={"most": 2}).json()
    assert (len(found["items"]), found["more"], found["kinds"][0]["more"]) == (2, True, True)
    told(served.client().get("/ops/inbox", params={"most": 101}), 422)


def test_from_afar_the_command_line_lists_the_same(served: Served, tmp_path: Path) -> None:
    draft = served.draft("mend the roof")

    def from_afar(role: str, kind: str, *more: str) -> Said:
        token = tmp_path / f"{role}-{kind}"
        token.touch(mode=0o600)
        token.write_text(served.tokens[role, kind])
        return call("inbox", *more, "--server", served.address, "--token-file", str(token), at=tmp_path)

    here = call("inbox", "--json", at=served.house.layout.root)
    far = from_afar("admin", "human", "--json")
    assert (here.code, far.code) == (0, 0), (here, far)
    mine, theirs = json.loads(here.out), json.loads(far.out)
    assert {**mine, "now": ""} == {**theirs, "now": ""}
    assert f"interlock draft show {draft}" in from_afar("admin", "human").out
    assert from_afar("operator", "agent").out.endswith("\ta human with the role admin\n")


def test_the_status_says_what_is_up_what_is_sealed_and_what_is_behind(any_served: Served) -> None:
    any_served.draft()
    found = any_served.client("actions", "service").get("/status").json()
    assert (found["database"], found["tasks"]) == ("ok", [])
    assert found["workspace"] == str(any_served.house.layout.root)
    ledger = found["ledger"]
    assert ledger["entries"] >= ledger["exported"] > 0
    assert ledger["behind"] == ledger["entries"] - ledger["exported"]
    assert (ledger["head_size"] is None) == (ledger["head_signed_at"] is None)
    any_served.house.evidence.head()
    signed = any_served.client().get("/ui/status").json()["ledger"]
    assert 0 < signed["head_size"] <= signed["entries"]
    assert signed["head_signed_at"].endswith("Z")


def test_raising_panic_says_what_was_cancelled_and_health_says_when_it_was_asked(served: Served) -> None:
    assert served.client().put("/ops/panic", json={"reason": "look"}).json()["stopped_runs"] == []
    assert served.client().get("/ops/provider/health").json()["at"].endswith("Z")
