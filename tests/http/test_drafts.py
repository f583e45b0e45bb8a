"""Drafts over HTTP: versions, differences, and the reasons of those who decide."""

from __future__ import annotations

from typing import Any

from tests.http.served import Served


def test_an_edit_with_a_reason_is_told_by_versions_and_by_the_difference(served: Served) -> None:
    admin = served.client()
    made = admin.post("/ops/drafts", json={"prompt": "one", "content": "c", "work": {"command": "sh -c 'a b'"}}).json()
    assert (made["content"], made["work"]["command"]) == ("c", ["sh", "-c", "a b"])
    path = f"/ops/drafts/{made['id']}"
    edited = admin.put(path, json={"prompt": "two", "reason": "shorter"}, headers={"If-Match": '"1"'})
    assert edited.status_code == 200, edited.text
    assert [(each["version"], each["how"], each["reason"]) for each in admin.get(f"{path}/versions").json()] == [
        (2, "edited", "shorter"),
        (1, "created", ""),
    ]
    assert len(admin.get(f"{path}/versions", params={"limit": 1}).json()) == 1
    found: dict[str, Any] = admin.get(f"{path}/difference").json()
    assert (found["other"], found["other_version"], found["to"]) == (made["id"], 1, "previous")
    assert [(line["mark"], line["parts"][0]["text"]) for line in found["fields"][0]["lines"]] == [
        ("removed", "one"),
        ("added", "two"),
    ]
    nothing = admin.get(f"{path}/difference", params={"to": "approved"}).json()
    assert (nothing["other"], nothing["fields"]) == (None, [])
    assert admin.get(f"{path}/difference", params={"to": "else"}).status_code == 422


def test_the_reason_of_an_approval_is_shown_with_the_draft(served: Served) -> None:
    admin, draft_id = served.client(), served.draft()
    done = admin.post(f"/ops/drafts/{draft_id}/approve", json={"reason": "looked at twice"})
    assert done.status_code == 200, done.text
    assert done.json()["approved"]["terms"]["schema"] == "interlock.terms/v1"
    shown = admin.get(f"/ops/drafts/{draft_id}").json()
    assert (shown["decision_reason"], shown["terms"]["limits"]["check_seconds"]) == ("looked at twice", 600)
