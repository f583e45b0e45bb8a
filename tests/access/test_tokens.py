"""Tokens and sessions: made once, shown once, kept as hashes; every way of not being valid looks alike."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from interlock.access.errors import (
    HumanNeeded,
    MalformedPrincipal,
    RoleNeeded,
    SessionInvalid,
    TokenEnded,
    TokenInvalid,
    TokenNeeded,
    TokenNotFound,
    TokenWeak,
)
from interlock.access.models import Actor, NewToken, Principal, PrincipalKind, Role
from interlock.access.service import Access
from interlock.access.tokens import from_environment, mint, without_tokens
from interlock.app import Interlock
from interlock.kernel.errors import Invalid
from interlock.kernel.ids import MalformedId, UlidSource
from interlock.settings import Settings
from interlock.storage.database import Database
from interlock.storage.evidence import StoredLog
from interlock.storage.postgres.database import PostgresDatabase
from interlock.storage.sqlite.database import SqliteDatabase
from interlock.workspace.layout import Layout
from tests.conftest import ALICE, BOB, ORIGIN, ROBOT
from tests.queue.desk import SetClock

CI = NewToken(name="ci", principal=Principal(PrincipalKind.SERVICE, "ci"), role=Role.OPERATOR)
PERSON = NewToken(name="laptop", principal=Principal(PrincipalKind.HUMAN, "bob"), role=Role.ADMIN)
CRON = Actor(principal=Principal(PrincipalKind.SERVICE, "cron"))
HOUR = 3_600_000
ENVIRONMENT = {"ORCH_TOKEN": "a" * 32, "ORCH_ACTIONS_TOKEN": "b" * 16, "ORCH_OPERATOR_TOKEN": " " + "c" * 20 + "\n"}


class Room:
    """The access room on one kind of database, under a clock that stands."""

    def __init__(self, database: Database, clock: SetClock, root: Path) -> None:
        self.clock, self.database = clock, database
        self.house = Interlock(Layout(root), Settings(), database, UlidSource())
        self.access: Access = replace(self.house.access, clock=clock, environment=lambda: from_environment(ENVIRONMENT))

    def events(self, kind: str = "") -> list[tuple[str, str]]:
        """List who did what."""
        self.database.seal()
        told = [event for _, event in StoredLog(self.database).events(0, 1000)]
        return [(str(e["principal"]), str(e["kind"])) for e in told if str(e["kind"]).startswith(kind)]


@pytest.fixture(params=["sqlite", "postgres"])
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Room]:
    clock = SetClock()
    made: SqliteDatabase | PostgresDatabase
    if request.param == "sqlite":
        made = SqliteDatabase(tmp_path / "interlock.db", now=clock)
    else:
        made = PostgresDatabase(request.getfixturevalue("postgres_url"), now=clock)
    made.create(ORIGIN)
    yield Room(made, clock, tmp_path)
    made.close()


# --- tokens -----------------------------------------------------------------------------------------------------------


def test_a_token_proves_whom_it_was_made_for(room: Room) -> None:
    issued = room.access.create(ALICE, CI, role=Role.ADMIN)
    assert re.fullmatch(r"ilk_[0-9A-HJKMNP-TV-Z]{26}_[A-Za-z0-9_-]{43}", issued.text)
    assert issued.token.id == "t_" + issued.text.split("_")[1]
    identity = room.access.identify(issued.text)
    assert (identity.principal, identity.role, identity.token_id) == (CI.principal, CI.role, issued.token.id)
    assert room.events() == [("human:alice", "token.created")]


def test_a_token_s_secret_is_kept_nowhere(room: Room, tmp_path: Path) -> None:
    issued = room.access.create(ALICE, CI, role=Role.ADMIN)
    cookie = room.access.open_session(room.access.identify(issued.text))
    rotated = room.access.rotate(ALICE, issued.token.id, role=Role.ADMIN, grace_ms=HOUR)
    room.database.seal()
    kept = repr(room.access.list()).encode()
    kept += b"".join(StoredLog(room.database).leaves(0, 100))
    kept += b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for text in (issued.text, cookie, rotated.text):
        secret = text.split("_", 2)[2]
        assert secret.encode() not in kept
        assert secret not in repr(issued) + repr(rotated)
    assert hashlib.sha256(rotated.text.split("_", 2)[2].encode()).hexdigest() == rotated.token.digest


def test_every_token_that_is_not_valid_looks_alike(room: Room) -> None:
    issued = room.access.create(ALICE, CI, role=Role.ADMIN)
    short = room.access.create(ALICE, replace(CI, expires_in_ms=HOUR), role=Role.ADMIN)
    revoked = room.access.create(ALICE, CI, role=Role.ADMIN)
    room.access.revoke(ALICE, revoked.token.id, role=Role.ADMIN)
    room.clock.move(hours=1)
    unknown = mint("ilk", UlidSource()()).text
    other_secret = issued.text[:31] + revoked.text[31:]
    cut, longer, lower = issued.text[:-1], issued.text + "A", issued.text.lower()
    cookie = room.access.open_session(room.access.identify(issued.text))
    wrong = ["", "x", "é", "\ud800", "a" * 31, "a" * 33, issued.token.id, issued.token.digest, cookie]
    wrong += [short.text, revoked.text, unknown, other_secret, cut, longer, lower, f" {issued.text}", "ilk_" * 10_000]
    said: set[tuple[str, str, str]] = set()
    for text in wrong:
        with pytest.raises(TokenInvalid) as refused:
            room.access.identify(text)
        said.add((refused.value.code, refused.value.message, refused.value.hint))
    assert len(said) == 1
    assert room.access.identify(issued.text).token_id == issued.token.id


def test_an_expiry_is_told_once_and_only_to_who_knew_the_secret(room: Room) -> None:
    issued = room.access.create(ALICE, replace(CI, expires_in_ms=HOUR), role=Role.ADMIN)
    room.clock.move(hours=1, milliseconds=-1)
    room.access.identify(issued.text)
    room.clock.move(milliseconds=1)
    with pytest.raises(TokenInvalid):
        room.access.identify(issued.text[:-3] + "AAA")
    assert room.events("token.expired") == []
    for _ in range(3):
        with pytest.raises(TokenInvalid):
            room.access.identify(issued.text)
    assert room.events("token.expired") == [("service:access", "token.expired")]
    assert room.access.get(issued.token.id).standing(room.clock()) == "expired"
    with pytest.raises(TokenEnded):
        room.access.rotate(ALICE, issued.token.id, role=Role.ADMIN)


def test_a_rotated_token_s_old_secret_ends_at_once_or_after_its_grace(room: Room) -> None:
    first = room.access.create(ALICE, CI, role=Role.ADMIN)
    second = room.access.rotate(ALICE, first.token.id, role=Role.ADMIN, grace_ms=HOUR)
    assert second.token.id == first.token.id
    room.clock.move(hours=1, milliseconds=-1)
    for each in (first, second):
        room.access.identify(each.text)
    room.clock.move(milliseconds=1)
    with pytest.raises(TokenInvalid):
        room.access.identify(first.text)
    third = room.access.rotate(ALICE, first.token.id, role=Role.ADMIN)
    for each in (first, second):
        with pytest.raises(TokenInvalid):
            room.access.identify(each.text)
    assert room.access.identify(third.text).token_id == first.token.id
    assert room.events("token.rotated") == [("human:alice", "token.rotated")] * 2


def test_a_revoked_token_is_worth_nothing_also_within_a_grace(room: Room) -> None:
    first = room.access.create(ALICE, CI, role=Role.ADMIN)
    second = room.access.rotate(ALICE, first.token.id, role=Role.ADMIN, grace_ms=HOUR)
    revoked = room.access.revoke(BOB, first.token.id, role=Role.ADMIN, reason="lost")
    assert (revoked.standing(room.clock()), revoked.revoked_by) == ("revoked", "human:bob")
    for each in (first, second):
        with pytest.raises(TokenInvalid):
            room.access.identify(each.text)
    with pytest.raises(TokenEnded, match="by human:bob"):
        room.access.revoke(ALICE, first.token.id, role=Role.ADMIN)
    with pytest.raises(TokenEnded):
        room.access.rotate(ALICE, first.token.id, role=Role.ADMIN)


def test_last_use_is_noted_coarsely_and_is_no_event(room: Room) -> None:
    issued = room.access.create(ALICE, CI, role=Role.ADMIN)
    noon = room.clock()
    room.access.identify(issued.text)
    room.clock.move(minutes=9)
    room.access.identify(issued.text)
    assert room.access.get(issued.token.id).last_used_ms == noon
    room.clock.move(minutes=1)
    room.access.identify(issued.text)
    assert room.access.get(issued.token.id).last_used_ms == room.clock()
    assert len(room.events()) == 1


@pytest.mark.parametrize("role", [Role.ACTIONS, Role.OPERATOR])
def test_who_is_no_admin_manages_no_tokens(room: Room, role: Role) -> None:
    issued = room.access.create(ALICE, CI, role=Role.ADMIN)
    for deed in (
        lambda: room.access.create(ALICE, CI, role=role),
        lambda: room.access.rotate(ALICE, issued.token.id, role=role),
        lambda: room.access.revoke(ALICE, issued.token.id, role=role),
    ):
        with pytest.raises(RoleNeeded):
            deed()
    assert len(room.events()) == 1


def test_an_agent_manages_no_tokens_and_a_service_none_of_a_human(room: Room) -> None:
    person = room.access.create(ALICE, PERSON, role=Role.ADMIN)
    machine = room.access.create(ALICE, CI, role=Role.ADMIN)
    for deed in (
        lambda: room.access.create(ROBOT, CI, role=Role.ADMIN),
        lambda: room.access.rotate(ROBOT, machine.token.id, role=Role.ADMIN),
        lambda: room.access.revoke(ROBOT, machine.token.id, role=Role.ADMIN),
        lambda: room.access.create(CRON, PERSON, role=Role.ADMIN),
        lambda: room.access.rotate(CRON, person.token.id, role=Role.ADMIN),
    ):
        with pytest.raises(HumanNeeded):
            deed()
    assert room.access.identify(room.access.create(CRON, CI, role=Role.ADMIN).text).role is Role.OPERATOR
    assert room.access.revoke(CRON, person.token.id, role=Role.ADMIN).revoked_by == "service:cron"


def test_what_is_no_token_is_refused(room: Room) -> None:
    with pytest.raises(TokenNotFound):
        room.access.get("t_01ARZ3NDEKTSV4RRFFQ69G5FAV")
    for wrong in ("", "x", "../t", "d_01ARZ3NDEKTSV4RRFFQ69G5FAV", "env:ORCH_TOKEN"):
        with pytest.raises(MalformedId):
            room.access.revoke(ALICE, wrong, role=Role.ADMIN)
    for name in ("", "a b", "x" * 129, "\n"):
        with pytest.raises(MalformedPrincipal):
            room.access.create(ALICE, replace(CI, name=name), role=Role.ADMIN)
    for span in (0, 999, -HOUR, 11 * 366 * 24 * HOUR):
        with pytest.raises(Invalid):
            room.access.create(ALICE, replace(CI, expires_in_ms=span), role=Role.ADMIN)


# --- tokens of the environment ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "principal", "role"),
    [
        ("a" * 32, "human:orch", "admin"),
        ("b" * 16, "service:orch-actions", "actions"),
        ("c" * 20, "human:orch-operator", "operator"),
    ],
)
def test_the_environment_s_tokens_are_known(room: Room, text: str, principal: str, role: str) -> None:
    identity = room.access.identify(text)
    assert (str(identity.principal), identity.role.value) == (principal, role)


def test_a_weak_token_of_the_environment_is_refused_without_saying_it() -> None:
    for weak in ({"ORCH_TOKEN": "hunter2"}, {"ORCH_TOKEN": "a" * 15}, {"ORCH_ACTIONS_TOKEN": " " * 20 + "hunter2"}):
        with pytest.raises(TokenWeak) as refused:
            from_environment(weak)
        assert "hunter2" not in refused.value.message + refused.value.hint
        assert next(iter(weak)) in refused.value.message
    with pytest.raises(TokenWeak, match="another variable"):
        from_environment({"ORCH_TOKEN": "s" * 20, "ORCH_ACTIONS_TOKEN": "s" * 20})
    assert from_environment({"ORCH_TOKEN": "", "ORCH_PORT": "1"}) == []
    proofs = {**ENVIRONMENT, "INTERLOCK_TOKEN": "one of another server"}
    assert without_tokens({**proofs, "PATH": "/bin"}) == {"PATH": "/bin"}


# --- sessions ---------------------------------------------------------------------------------------------------------


def test_a_session_is_its_token_s_principal_until_it_is_ended(room: Room) -> None:
    identity = room.access.identify(room.access.create(ALICE, PERSON, role=Role.ADMIN).text)
    cookie = room.access.open_session(identity)
    session = room.access.session(cookie)
    assert replace(session, session_id=None) == identity
    assert session.session_id is not None
    with pytest.raises(TokenNeeded):
        room.access.open_session(session)
    room.access.end_session(session)
    with pytest.raises(SessionInvalid):
        room.access.session(cookie)
    room.access.end_session(session)
    assert room.events("session") == [("human:bob", "session.opened"), ("human:bob", "session.ended")]


def test_a_session_ends_after_twelve_hours_and_after_one_without_a_request(room: Room) -> None:
    identity = room.access.identify(room.access.create(ALICE, CI, role=Role.ADMIN).text)
    idle, busy = room.access.open_session(identity), room.access.open_session(identity)
    for _ in range(23):
        room.clock.move(minutes=31)
        room.access.session(busy)
    with pytest.raises(SessionInvalid):
        room.access.session(idle)
    room.clock.move(minutes=12 * 60 - 23 * 31)
    with pytest.raises(SessionInvalid):
        room.access.session(busy)
    room.access.open_session(identity)
    with room.access.look() as desk:  # what ended by itself is cleared away
        assert [desk.sessions.get(f"s_{cookie.split('_')[1]}") for cookie in (idle, busy)] == [None, None]


@pytest.mark.parametrize("how", ["revoked", "rotated", "expired"])
def test_a_session_ends_with_its_token(room: Room, how: str) -> None:
    issued = room.access.create(ALICE, replace(CI, expires_in_ms=HOUR // 2), role=Role.ADMIN)
    cookie = room.access.open_session(room.access.identify(issued.text))
    match how:
        case "revoked":
            room.access.revoke(ALICE, issued.token.id, role=Role.ADMIN)
        case "rotated":
            room.access.rotate(ALICE, issued.token.id, role=Role.ADMIN, grace_ms=HOUR)
        case _:
            room.clock.move(minutes=30)
    with pytest.raises(SessionInvalid):
        room.access.session(cookie)


def test_a_session_of_the_environment_ends_when_the_environment_changes(room: Room) -> None:
    cookie = room.access.open_session(room.access.identify("a" * 32))
    assert str(room.access.session(cookie).principal) == "human:orch"
    for changed in ({"ORCH_TOKEN": "d" * 32}, {}):
        with pytest.raises(SessionInvalid):
            replace(room.access, environment=partial(from_environment, changed)).session(cookie)


def test_no_other_text_is_a_session(room: Room) -> None:
    issued = room.access.create(ALICE, CI, role=Role.ADMIN)
    cookie = room.access.open_session(room.access.identify(issued.text))
    other = room.access.open_session(room.access.identify(issued.text))
    for wrong in ("", "x", issued.text, cookie[:-1], cookie[:31] + other[31:], mint("ils", UlidSource()()).text):
        with pytest.raises(SessionInvalid):
            room.access.session(wrong)


# --- who was turned away ----------------------------------------------------------------------------------------------


def test_a_flood_of_denials_is_one_event_for_each_source_and_minute(room: Room) -> None:
    for second in range(150):
        room.clock.ms = 1_800_000_000_000 + second * 1000
        room.access.denied("10.0.0.1", f"c-{second}", "token_invalid")
        if second % 50 == 0:
            room.access.denied("10.0.0.2", None, "token_invalid")
    room.access.settle()
    assert room.access.denials.due(None) == []
    room.database.seal()
    told = [event["payload"] for _, event in StoredLog(room.database).events(0, 100)]
    counted = {(each["source"], each["minute_ms"] - 1_800_000_000_000): each["times"] for each in told}
    assert counted == {
        ("10.0.0.1", 0): 60,
        ("10.0.0.1", 60_000): 60,
        ("10.0.0.1", 120_000): 30,
        ("10.0.0.2", 0): 2,
        ("10.0.0.2", 60_000): 1,
    }
    assert len(told) == 5


def test_a_minute_that_is_over_is_told_with_the_next_request_of_anybody(room: Room) -> None:
    room.access.denied("10.0.0.1", None, "token_invalid")
    room.clock.move(seconds=59)
    room.access.identify("a" * 32)
    room.clock.move(seconds=61)
    room.access.identify("a" * 32)
    assert room.events() == [("service:access", "access.denied")]


def test_who_proved_himself_and_was_turned_away_is_told_by_name(room: Room) -> None:
    room.access.refused(replace(ROBOT, correlation_id="c-1"), code="human_needed", deed="POST /x", subject="d_1")
    room.database.seal()
    (_, event), *_ = StoredLog(room.database).events(0, 10)
    assert (event["kind"], event["subject"], event["correlation_id"]) == ("access.denied", "d_1", "c-1")
    assert (event["principal"], event["payload"]["code"]) == (str(ROBOT.principal), "human_needed")
