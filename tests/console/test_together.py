"""Two people at once, a server that goes away, a session that ends: nothing is lost and nothing is done twice."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.console.conftest import Sit
from tests.console.people import person
from tests.console.wire import wire
from tests.http.processes import HUMAN, Process, process

pytestmark = pytest.mark.timeout(120)


def draft(server: Process, prompt: str = "sweep the floor", **work: object) -> str:
    """Make a draft; returns its id."""
    work = {"command": ["sh", "-c", "echo done"], **work}
    with server.client() as client:
        made = client.post("/ops/drafts", json={"prompt": prompt, "work": work})
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


def token(server: Process, name: str, *, kind: str = "human", role: str = "admin") -> str:
    """Make a token for somebody more; returns its text."""
    body = {"name": name, "role": role, "kind": kind, "expires_in_seconds": 600}
    with server.client() as client:
        made = client.post("/ops/tokens", json=body)
    assert made.status_code == 201, made.text
    return str(made.json()["token"])


def approved(server: Process) -> list[str]:
    with server.client() as client:
        return [each["draft_id"] for each in client.get("/ops/approved").json()]


@pytest.mark.proves("console-together")
def test_of_two_who_approve_one_draft_at_once_one_does_and_the_other_is_told(
    server: Process, repository: Path, sit: Sit
) -> None:
    draft_id = draft(server, repository=str(repository))
    people = [sit(token(server, name), f"/review/{draft_id}") for name in ("bob", "carol")]
    for each in people:
        each.page.get_by_role("button", name="Approve").click()
        expect(each.page.get_by_role("form", name="Approve")).to_be_visible()
    for each in people:  # both have decided before either has heard of the other
        each.page.get_by_role("form", name="Approve").get_by_role("button", name="Approve").click(no_wait_after=True)
    for each in people:
        expect(each.page.get_by_role("article")).to_contain_text(re.compile("approved by human:|Decision"))
    assert approved(server) == [draft_id]
    with server.client() as client:
        first = client.get(f"/ops/drafts/{draft_id}").json()["decided_by"]
    for each in people:
        expect(each.page.get_by_role("article")).to_contain_text(first)
    told = [each.page.get_by_role("alert").filter(has_text="has been approved by").count() for each in people]
    assert sorted(told) == [0, 1]


def test_what_was_edited_while_somebody_read_it_is_refused_and_shown(
    server: Process, repository: Path, sit: Sit
) -> None:
    draft_id = draft(server, repository=str(repository))
    alice = sit(HUMAN, f"/review/{draft_id}")
    alice.page.get_by_role("button", name="Approve").click()
    with server.client() as client:
        found = client.get(f"/ops/drafts/{draft_id}")
        body = {"prompt": "burn the house down"}
        changed = client.put(f"/ops/drafts/{draft_id}", json=body, headers={"If-Match": found.headers["etag"]})
        assert changed.status_code == 200, changed.text
    expect(alice.page.get_by_role("status").filter(has_text="changed")).to_be_visible()
    expect(alice.page.get_by_role("group", name="Prompt")).to_have_text("sweep the floor")
    alice.page.get_by_role("form", name="Approve").get_by_role("button", name="Approve").click()
    expect(alice.page.get_by_role("alert")).to_be_visible()
    assert approved(server) == []
    alice.page.get_by_role("button", name="Show it as it is now").first.click()
    expect(alice.page.get_by_role("group", name="Prompt")).to_have_text("burn the house down")


@pytest.mark.proves("console-together")
def test_a_server_that_goes_away_in_the_middle_costs_nothing(
    workspace: Path, repository: Path, browser: Browser
) -> None:
    with process(workspace) as server:
        port = server.address.rpartition(":")[2]
        draft_id = draft(server, repository=str(repository))
        with person(browser, server.address) as alice:
            alice.log_in(HUMAN, f"/review/{draft_id}")
            alice.page.get_by_role("button", name="Reject").click()
            alice.page.get_by_label("Reason").fill("thought over well")
            server.end()
            expect(alice.page.get_by_text("Not connected.")).to_be_visible()
            submit = alice.page.get_by_role("form", name="Reject").get_by_role("button", name="Reject")
            submit.click()
            expect(alice.page.get_by_role("alert").filter(has_text="can not be reached")).to_be_visible()
            with process(workspace, "--port", port) as again:
                other = draft(again, "the second one", repository=str(repository))
                expect(alice.page.get_by_text("Not connected.")).to_have_count(0, timeout=20_000)
                expect(alice.page.get_by_text("the second one").first).to_be_visible()
                expect(alice.page.get_by_label("Reason")).to_have_value("thought over well")
                submit.click()
                expect(alice.page.get_by_role("article").get_by_text("rejected", exact=True).first).to_be_visible()
                with again.client() as client:
                    assert client.get(f"/ops/drafts/{draft_id}").json()["decision_reason"] == "thought over well"
                    told = [each["kind"] for each in client.get("/ops/audit", params={"limit": 200}).json()]
                    assert client.get(f"/ops/drafts/{other}").json()["status"] == "draft"
                assert told.count("draft.rejected") == 1


@pytest.mark.proves("console-together")
def test_a_wire_that_is_cut_is_told_and_what_happened_meanwhile_is_there_once(
    server: Process, repository: Path, browser: Browser
) -> None:
    first = draft(server, repository=str(repository))
    with wire(int(server.address.rpartition(":")[2])) as line, person(browser, line.address) as alice:
        alice.log_in(HUMAN, f"/review/{first}")
        alice.page.get_by_role("button", name="Approve").click()
        line.break_()
        expect(alice.page.get_by_text("Not connected.")).to_be_visible()
        submit = alice.page.get_by_role("form", name="Approve").get_by_role("button", name="Approve")
        submit.click()
        expect(alice.page.get_by_role("alert").filter(has_text="can not be reached")).to_be_visible()
        for number in range(20):
            draft(server, f"number {number} of twenty", repository=str(repository))
        assert approved(server) == []
        line.mend()
        expect(alice.page.get_by_text("Not connected.")).to_have_count(0, timeout=20_000)
        listed = alice.page.get_by_role("list", name="Drafts").get_by_role("link")
        expect(listed.filter(has_text="of twenty")).to_have_count(20)
        assert approved(server) == []  # nothing is done later, unasked
        submit.click()
        expect(alice.page.get_by_role("article").get_by_text("approved", exact=True).first).to_be_visible()
        assert approved(server) == [first]


@pytest.mark.parametrize(
    ("who", "told"),
    [
        (("agent", "admin"), "Only a human approves"),
        (("service", "admin"), "Only a human approves"),
        (("human", "operator"), "takes the role admin"),
        (("human", "actions"), "takes the role admin"),
    ],
)
def test_who_may_not_approve_is_not_offered_it(
    server: Process, repository: Path, sit: Sit, who: tuple[str, str], told: str
) -> None:
    kind, role = who
    draft_id = draft(server, repository=str(repository))
    somebody = sit(token(server, "carol", kind=kind, role=role), f"/review/{draft_id}")
    expect(somebody.page.get_by_role("article")).to_contain_text(told)
    assert somebody.page.get_by_role("button", name="Approve").count() == 0
    somebody.page.keyboard.press("a")
    assert somebody.page.get_by_role("form", name="Approve").count() == 0
    assert approved(server) == []


@pytest.mark.proves("console-together")
def test_a_session_that_ends_amid_an_approval_is_taken_up_again(server: Process, repository: Path, sit: Sit) -> None:
    draft_id = draft(server, repository=str(repository))
    alice = sit(HUMAN, f"/review/{draft_id}")
    alice.page.get_by_role("button", name="Approve").click()
    other_tab = alice.context.new_page()
    other_tab.goto(server.address + "/runs")
    other_tab.get_by_role("button", name="Log out").click()
    expect(other_tab.get_by_label("Token", exact=True)).to_be_visible()
    alice.page.get_by_role("form", name="Approve").get_by_role("button", name="Approve").click()
    alice.page.get_by_label("Token", exact=True).fill(HUMAN)
    alice.page.get_by_role("button", name="Log in").click()
    expect(alice.page.get_by_label("Token", exact=True)).to_have_count(0)
    assert approved(server) == []
    alice.page.get_by_role("form", name="Approve").get_by_role("button", name="Approve").click()
    expect(alice.page.get_by_role("article").get_by_text("approved", exact=True).first).to_be_visible()
    assert approved(server) == [draft_id]
