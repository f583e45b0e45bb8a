"""The log over HTTP: looked through by links, one entry whole, and files that the command line takes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from interlock.evidence import api
from interlock.evidence.api import cell
from interlock.evidence.consistency import check_heads, decode_consistency
from interlock.evidence.keys import load_verifiers
from interlock.evidence.tree import leaf_hash
from interlock.kernel.canonical import JsonObject, canonical
from interlock.kernel.events import Event
from interlock.storage import evidence as stored
from tests.cli.door import call
from tests.conftest import ALICE
from tests.http.served import Served, told

HOSTILE = '<script>alert(1)</script> 100%_! É "quoted" \\ back'


@dataclass(frozen=True, kw_only=True)
class Claimed(Event):
    """An event whose payload says who it would like to be by."""

    kind = "test.claimed"
    claims: JsonObject


def entries(served: Served, **asked: object) -> dict[str, Any]:
    answer = served.client("actions").get("/ops/evidence/entries", params=asked)  # pyright: ignore[reportArgumentType] - httpx takes any of them
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def indexes(page: dict[str, Any]) -> list[int]:
    return [each["index"] for each in page["entries"]]


def test_pages_are_newest_first_and_meet_each_other(any_served: Served) -> None:
    for _ in range(3):
        any_served.draft()
    whole = entries(any_served, limit=1000)
    assert indexes(whole) == list(range(whole["size"]))[::-1]
    assert whole["next"] is None
    walked: list[int] = []
    before: int | None = whole["size"]
    while before is not None:
        page = entries(any_served, limit=4, before=before)
        walked += indexes(page)
        before = page["next"]
    assert walked == indexes(whole)
    drafts, before = list[int](), None
    while not drafts or before is not None:
        page = entries(any_served, kind="key", limit=2, **({} if before is None else {"before": before}))
        drafts += indexes(page)
        before = page["next"]
    assert drafts == [each["index"] for each in whole["entries"] if each["kind"].startswith("key.")]


def test_entries_are_found_by_kind_subject_person_text_and_outcome(any_served: Served) -> None:
    draft = any_served.draft(HOSTILE)
    any_served.client().post(f"/ops/drafts/{draft}/reject", json={"reason": HOSTILE})
    told(any_served.client("actions", "agent").post("/ops/drafts", json={"prompt": "p"}), 403)
    every = entries(any_served, limit=1000)["entries"]

    def same(wanted: dict[str, str], fits: Callable[[dict[str, Any]], bool]) -> None:
        found = entries(any_served, limit=1000, **wanted)
        assert indexes(found) == [each["index"] for each in every if fits(each)]
        assert indexes(found), wanted
        audited = any_served.client().get("/ops/audit", params={"limit": 1000, **wanted}).json()
        assert [each["index"] for each in audited] == indexes(found)

    same({"kind": "draft"}, lambda each: each["kind"].startswith("draft."))
    same({"kind": "draft.rejected"}, lambda each: each["kind"] == "draft.rejected")
    same({"subject": draft}, lambda each: each["subject"] == draft)
    same({"principal": "human:human-admin"}, lambda each: each["principal"] == "human:human-admin")
    same({"outcome": "denied"}, lambda each: each["kind"] == "access.denied")
    same({"outcome": "allowed"}, lambda each: each["kind"] != "access.denied")
    same({"text": HOSTILE.replace("SCRIPT", "script")}, lambda each: each["kind"] == "draft.rejected")
    same({"text": "<SCRIPT>ALERT"}, lambda each: each["kind"] == "draft.rejected")
    same({"kind": "draft", "principal": "human:human-admin", "text": "100%_!"}, lambda e: e["kind"] == "draft.rejected")
    for nothing in (
        {"text": "100_%"},
        {"kind": "draf"},
        {"kind": "draft.rej"},
        {"subject": draft[:-1]},
        {"text": "é \\"},
    ):
        assert indexes(entries(any_served, **nothing)) == []


def test_a_principal_is_found_by_the_event_and_not_by_what_a_payload_says(any_served: Served) -> None:
    body = {"prompt": "p", "context": {"principal": "human:mallory", "z": 1}}
    any_served.client().post("/ops/drafts", json=body)
    made = any_served.client().post("/ops/tokens", json={"name": "mallory", "role": "actions", "kind": "human"})
    assert made.status_code == 201
    with any_served.house.database.write(ALICE) as transaction:
        transaction.emit(Claimed(subject="s", claims={"principal": "human:mallory", "z": 1}))
    assert indexes(entries(any_served, principal="human:mallory")) == []
    assert len(indexes(entries(any_served, kind="test.claimed", principal="human:alice"))) == 1


def test_a_search_is_bounded_and_goes_on_where_it_ended(any_served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    first = entries(any_served, kind="workspace")
    for _ in range(4):
        any_served.draft()
    monkeypatch.setattr(stored, "STRETCH", 3)
    before: int | None = None
    pages, found = 0, list[int]()
    while pages == 0 or before is not None:
        page = entries(any_served, subject="panic", **({} if before is None else {"before": before}))
        assert page["searched_to"] - page["searched_from"] <= 3
        found += indexes(page)
        before, pages = page["next"], pages + 1
    assert pages == -(-first["size"] // 3) or pages > 3
    linked = any_served.client().get("/ops/audit", params={"subject": "panic"})
    assert linked.json() == []
    assert 'rel="next"' in linked.headers["link"]


@pytest.mark.parametrize(
    "asked",
    [
        {"kind": "Draft"},
        {"kind": "draft."},
        {"kind": "%"},
        {"principal": "mallory"},
        {"principal": "human:"},
        {"outcome": "maybe"},
        {"text": "x" * 201},
        {"before": -1},
        {"limit": 1001},
        {"subject": "x" * 301},
    ],
)
def test_what_asks_for_nothing_sensible_is_refused(shared: Served, asked: dict[str, Any]) -> None:
    for path in ("/ops/evidence/entries", "/ops/audit"):
        told(shared.client().get(path, params=asked), 422)


def test_an_entry_is_whole_byte_for_byte(any_served: Served) -> None:
    draft = any_served.draft(HOSTILE)
    [made] = entries(any_served, kind="draft.created", subject=draft)["entries"]
    whole = any_served.client("actions").get(f"/ops/evidence/entries/{made['index']}").json()
    event = {name: value for name, value in made.items() if name != "index"}
    assert whole["leaf"].encode() == canonical(event)
    assert whole["leaf_hash"] == leaf_hash(whole["leaf"].encode()).hex()
    [leaf] = any_served.house.event_log.leaves(made["index"], made["index"] + 1)
    assert whole["leaf"].encode() == leaf
    assert whole["statement"] is None
    assert whole["covered"] is False
    told(any_served.client().get("/ops/evidence/entries/99999"), 404, "entry_not_found")
    told(any_served.client().get("/ops/evidence/entries/99999/line"), 404, "entry_not_found")


def test_what_was_committed_is_named_by_its_commitment_also_when_it_is_erased(any_served: Served) -> None:
    draft = any_served.draft(HOSTILE)
    assert any_served.client().post(f"/ops/drafts/{draft}/approve").status_code == 200
    [made] = entries(any_served, kind="draft.approved", subject=draft)["entries"]
    path = f"/ops/evidence/entries/{made['index']}"
    kept = any_served.client().get(path).json()["committed"]
    assert [(each["place"], each["standing"]) for each in kept] == [("terms.context", "kept"), ("terms.prompt", "kept")]
    assert kept[0]["ref"].startswith("salted-sha256:")
    done = any_served.client().post(f"/ops/drafts/{draft}/erase", json={"reason": "asked for"})
    assert done.status_code == 200, done.text
    answer = any_served.client().get(path)
    erased = answer.json()["committed"]
    assert [(each["ref"], each["standing"]) for each in erased] == [(each["ref"], "erased") for each in kept]
    assert all(each["erased_at"] for each in erased)
    assert "alert(1)" not in answer.text


def test_an_approval_bears_its_statement_and_the_standing_of_its_key(any_served: Served) -> None:
    any_served.approved()
    [made] = entries(any_served, kind="draft.approved", limit=1)["entries"]
    found = any_served.client().get(f"/ops/evidence/entries/{made['index']}").json()["statement"]
    assert found["standing"] == "counts"
    assert found["key"]["keyid"] == found["keyid"]
    assert found["key"]["vkey"] in {each["vkey"] for each in any_served.client().get("/ops/evidence/keys").json()}
    assert found["statement"]["predicateType"] == found["predicate_type"]
    assert json.loads(found["envelope"])["payloadType"] == "application/vnd.in-toto+json"


def test_the_downloaded_files_are_what_the_command_line_takes(any_served: Served, tmp_path: Path) -> None:
    any_served.approved()
    head = any_served.client("operator").post("/ops/evidence/head").json()
    for index in (0, head["size"] - 1):
        proof = any_served.client("actions").get(f"/ops/evidence/entries/{index}/proof.txt")
        line = any_served.client("actions").get(f"/ops/evidence/entries/{index}/line")
        assert proof.headers["content-disposition"] == f'attachment; filename="entry-{index}.tlog-proof"'
        assert line.headers["content-disposition"] == f'attachment; filename="entry-{index}.jsonl"'
        assert proof.text == any_served.client().get(f"/ops/evidence/entries/{index}/proof").json()["proof"]
        (tmp_path / "p").write_bytes(proof.content)
        (tmp_path / "l").write_bytes(line.content)
        key = any_served.house.evidence_folder / "log.vkey"
        done = call("evidence", "check", "p", "l", "--key", str(key), "--json", at=tmp_path)
        assert done.json["id"] == str(index), done
    any_served.draft()
    told(any_served.client().get(f"/ops/evidence/entries/{head['size']}/proof.txt"), 409, "entry_not_covered")


def test_the_head_says_whose_it_is_and_what_it_does_not_cover(any_served: Served) -> None:
    before = any_served.client("actions").get("/ops/evidence/head").json()
    assert before["log_keys"] == [key.vkey() for key in load_verifiers(any_served.house.evidence_folder / "log.vkey")]
    any_served.client().post("/ops/evidence/head")
    any_served.draft()
    after = any_served.client("actions").get("/ops/evidence/head").json()
    assert after["status"] == "signed"
    assert after["note"].startswith(f"{after['origin']}\n{after['size']}\n")
    assert after["entries"] > after["size"]
    assert after["cosigned"] == []


def test_two_heads_are_shown_to_be_one_log(any_served: Served) -> None:
    first = any_served.client().post("/ops/evidence/head").json()["size"]
    for _ in range(3):
        any_served.draft()
    second = any_served.client().post("/ops/evidence/head").json()["size"]
    asked = {"first": first, "second": second}
    found = any_served.client("actions").get("/ops/evidence/consistency", params=asked)
    assert found.status_code == 200, found.text
    keys = load_verifiers(any_served.house.evidence_folder / "log.vkey")
    old, new = check_heads(decode_consistency(found.json()["proof"]), keys)
    assert (old.size, new.size) == (first, second)
    told(any_served.client().get("/ops/evidence/consistency", params={"first": first, "second": second + 1}), 409)


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_the_audit_is_downloaded_as_a_file(any_served: Served, form: str) -> None:
    draft = any_served.draft()
    any_served.client().post(f"/ops/drafts/{draft}/reject", json={"reason": '=HYPERLINK(1)\nnext line, "q"'})
    every = entries(any_served, limit=1000)
    answer = any_served.client("actions").get("/ops/audit/export", params={"format": form})
    assert answer.headers["content-disposition"] == f'attachment; filename="audit-0-{every["size"]}.{form}"'
    if form == "jsonl":
        assert [json.loads(line) for line in answer.text.splitlines()] == every["entries"]
    else:
        rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
        assert [int(row["index"]) for row in rows] == indexes(every)
        assert [json.loads(row["payload"]) for row in rows] == [each["payload"] for each in every["entries"]]
    some = any_served.client().get("/ops/audit/export", params={"first": 3, "end": 9, "kind": "key"})
    assert [json.loads(line)["index"] for line in some.text.splitlines()] == [
        each["index"] for each in every["entries"] if 3 <= each["index"] < 9 and each["kind"].startswith("key.")
    ]


def test_no_cell_of_a_table_is_a_formula() -> None:
    assert [cell(each) for each in ("=1", "+1", "-1", "@a", "\tx", "plain", None, 3, {"a": "=1"})] == [
        "'=1",
        "'+1",
        "'-1",
        "'@a",
        "'\tx",
        "plain",
        "",
        "3",
        '{"a": "=1"}',
    ]


def test_a_download_has_an_end(shared: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "MOST_EXPORTED", 2)
    told(shared.client().get("/ops/audit/export", params={"first": 0, "end": 3}), 422, "stretch_too_long")
    assert len(shared.client().get("/ops/audit/export").text.splitlines()) == 2
