"""Many callers at the same moment: one of them is right, and everybody is told the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from tests.http.served import Served, told

Deed = Callable[[], httpx2.Response]


def at_once(*deeds: Deed) -> Sequence[httpx2.Response]:
    with ThreadPoolExecutor(len(deeds)) as pool:
        return [each.result() for each in [pool.submit(deed) for deed in deeds]]


@pytest.mark.proves("ops-approve-atomic")
def test_eight_approvals_at_once_make_one_record(any_served: Served) -> None:
    admin, draft_id = any_served.client(), any_served.draft()
    answers = at_once(*[lambda: admin.post(f"/ops/drafts/{draft_id}/approve")] * 8)
    right = [answer for answer in answers if answer.status_code == 200]
    assert len(right) == 1
    for answer in answers:
        if answer not in right:
            told(answer, 409)
    assert len(admin.get("/ops/approved").json()) == 1
    kinds = [event["kind"] for event in admin.get("/ops/audit").json()]
    assert kinds.count("draft.approved") == 1


@pytest.mark.proves("ops-approve-frozen")
def test_an_approval_and_an_edit_at_once_never_approve_what_nobody_saw(any_served: Served) -> None:
    admin = any_served.client()
    for _ in range(6):
        draft_id = any_served.draft("as it was")
        shown = admin.get(f"/ops/drafts/{draft_id}").json()["digest"]
        approval, edit = at_once(
            lambda: admin.post(f"/ops/drafts/{draft_id}/approve", json={"digest": shown}),  # noqa: B023 - done in here
            lambda: admin.put(f"/ops/drafts/{draft_id}", json={"prompt": "as it became"}),  # noqa: B023 - called within its turn of the loop
        )
        assert {approval.status_code, edit.status_code} == {200, 409}
        draft = admin.get(f"/ops/drafts/{draft_id}").json()
        if approval.status_code == 200:
            assert (draft["status"], draft["prompt"]) == ("approved", "as it was")
            assert approval.json()["approved"]["digest"] == shown
        else:
            assert (draft["status"], draft["prompt"]) == ("draft", "as it became")


def test_two_edits_of_what_both_saw_leave_one(any_served: Served) -> None:
    admin = any_served.client()
    for _ in range(4):
        draft_id = any_served.draft()
        tag = admin.get(f"/ops/drafts/{draft_id}").headers["etag"]
        answers = at_once(
            *[
                lambda word=word: admin.put(
                    f"/ops/drafts/{draft_id}",  # noqa: B023 - done in here
                    json={"prompt": word},
                    headers={"If-Match": tag},  # noqa: B023 - the same
                )
                for word in ("one", "two")
            ]
        )
        assert sorted(answer.status_code for answer in answers) == [200, 412]
        right = next(answer for answer in answers if answer.status_code == 200)
        assert admin.get(f"/ops/drafts/{draft_id}").json()["prompt"] == right.json()["prompt"]
        assert right.headers["etag"] == '"2"'


@pytest.mark.proves("ops-plan")
def test_two_plans_written_over_the_same_one_leave_one(any_served: Served) -> None:
    admin = any_served.client()
    plan: dict[str, Any] = {"id": "p", "title": "t", "workspace": "w", "created": "c", "objective": "o", "tasks": []}
    admin.put("/ops/plan", json=plan)
    for _ in range(6):
        tag = admin.get("/ops/plan").headers["etag"]
        answers = at_once(
            *[
                lambda word=word: admin.put(
                    "/ops/plan",
                    json={**plan, "title": word},
                    headers={"If-Match": tag},  # noqa: B023 - done in here
                )
                for word in ("one", "two", "three")
            ]
        )
        assert sorted(answer.status_code for answer in answers) == [200, 412, 412]


def test_a_cancel_and_the_end_of_a_run_at_once_leave_what_was_first(any_served: Served) -> None:
    admin = any_served.client()
    for _ in range(4):
        run_id = any_served.run()
        held = admin.post("/ops/queue/claim", json={"owner_session": "outside"}).json()
        assert held["run_id"] == run_id  # without a command it is somebody outside who carries it out
        cancel, done = at_once(
            lambda: admin.post(f"/ops/runs/{run_id}/cancel"),  # noqa: B023 - done in here
            lambda: admin.post(f"/ops/queue/items/{held['id']}/complete", json={"fence": held["fence"]}),  # noqa: B023 - the same
        )
        status = admin.get(f"/ops/runs/{run_id}").json()["status"]
        if cancel.status_code == 200:
            assert done.status_code == 409
            assert status == "cancelled"
        else:
            told(cancel, 409)
            assert done.status_code == 200
            assert status == "done"
