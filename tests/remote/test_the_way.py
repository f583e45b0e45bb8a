"""The way to a server: what breaks on it, what is tried again, and where a token never goes."""

from __future__ import annotations

import datetime as dt
import json
import os
import socket
import ssl
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from interlock.access.options import AccessOptions
from interlock.app import Interlock
from interlock.remote.address import read_address
from interlock.remote.connection import Connection
from interlock.remote.errors import AnswerLost
from tests.cli.door import said
from tests.http.served import Served, everything, serving
from tests.ports import free_port
from tests.remote.far import Far, token_in
from tests.remote.wire import answering, hanging_up, listening, wire

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]"


def secret(far: Far) -> str:
    return far.token_file.read_text().strip()


def refuses(far: Far, line: Sequence[str], code: int, *words: str) -> None:
    """Assert a refusal, and that it does not show the token."""
    answered = far(*line)
    answered.refuses(code, *words)
    assert secret(far) not in answered.err


# --- where it goes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("http://example.org", "http to example.org"),
        ("http://example.org:9325/x", "it takes https"),
        ("http://127.0.0.1.example.org", "it takes https"),
        ("http://10.0.0.1:9325", "it takes https"),
        ("http://[2001:db8::1]:9325", "it takes https"),
        ("http://0.0.0.0:9325", "it takes https"),
        ("HTTP://EXAMPLE.ORG", "it takes https"),
        ("", "no address of a server"),
        ("127.0.0.1:9325", "no address of a server"),
        ("ftp://127.0.0.1", "no address of a server"),
        ("file:///etc/passwd", "no address of a server"),
        ("http://", "no address of a server"),
        ("http://127.0.0.1:99999", "no address of a server"),
        ("http://127.0.0.1:0", "no address of a server"),
        ("http://[::1", "no address of a server"),
        ("https://exa mple.org", "no address of a server"),
        ("https://a..b", "no address of a server"),
        (f"https://{'a' * 64}.org", "no address of a server"),
        ("https://example.org/?a=b", "names more than a server"),
        ("https://example.org/#x", "names more than a server"),
        ("https://example.org/a b", "names more than a server"),
        ("https://me:hunter2@example.org", "holds a name or password"),
    ],
)
def test_an_address_that_a_token_may_not_go_to_is_refused(far: Far, address: str, told: str) -> None:
    answered = far.at(address)("run", "list")
    answered.refuses(2, told, "[server_address_refused]")
    assert "hunter2" not in answered.err


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1.2.3"])
def test_http_to_this_machine_itself_is_taken(far: Far, host: str) -> None:
    refuses(far.at(f"http://{host}:{free_port()}"), ["run", "list"], 5, "[server_unreachable]")


def test_a_path_before_every_path_is_kept(far: Far) -> None:
    with answering(OK) as (address, asked):
        assert far.at(f"{address}/behind/a/proxy/")("--json", "run", "list").json == []
    assert asked[0].startswith(b"GET /behind/a/proxy/ops/runs?limit=100 HTTP/1.1\r\n")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(far: Far, status: int) -> None:
    with answering(OK) as (elsewhere, stolen):
        gone = f"HTTP/1.1 {status} Gone\r\nLocation: {elsewhere}/ops/runs\r\nContent-Length: 0\r\n\r\n".encode()
        with answering(gone) as (address, _):
            refuses(far.at(address), ["run", "list"], 5, f"({status})", "[not_interlock]")
    assert stolen == []


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n[{"id": 1}]',
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope",
        b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\n[]",
    ],
)
def test_somebody_else_who_answers_is_told_apart(far: Far, answer: bytes) -> None:
    with answering(answer) as (address, _):
        refuses(far.at(address), ["run", "list"], 5, "[not_interlock]")


def test_what_speaks_no_http_does_not_answer(far: Far) -> None:
    with answering(b"SSH-2.0-OpenSSH_9.6\r\n") as (address, _):
        refuses(far.at(address), ["run", "list"], 5, "it does not speak HTTP", "[server_unreachable]")


def test_a_correlation_id_goes_along_and_binds_what_is_done(far: Far) -> None:
    far.json("draft", "create", "--prompt", "p", "--correlation-id", "trace-7")
    events = far.json("evidence", "list")
    assert [each["correlation_id"] for each in events if each["kind"] == "draft.created"] == ["trace-7"]
    far("draft", "list", "--correlation-id", "not one").refuses(2, "[malformed_correlation_id]")


# --- the certificate --------------------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for this machine that only its maker trusts, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.fromisoformat("2026-11-01T00:00:00+00:00")
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return file


def test_a_certificate_is_checked_before_the_token_is_shown(
    far: Far, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with answering(OK, context) as (address, asked):
        named, other = address.replace("127.0.0.1", "localhost"), address
        refuses(far.at(named), ["run", "list"], 5, "self-signed certificate", "[server_unreachable]")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        refuses(far.at(other), ["run", "list"], 5, "IP address mismatch", "[server_unreachable]")
        assert asked == []
        assert far.at(named)("--json", "run", "list").json == []
    assert secret(far).encode() in asked[0]


# --- what breaks ------------------------------------------------------------------------------------------------------


def test_a_server_that_is_away_is_exit_5(far: Far) -> None:
    gone = far.at(f"http://127.0.0.1:{free_port()}")
    for line in (["run", "list"], ["draft", "create", "--prompt", "p"], ["queue", "claim", "--owner-session", "a"]):
        refuses(gone, line, 5, "Connection refused", "is it running", "[server_unreachable]")


def test_a_host_that_nobody_knows_is_exit_5(far: Far) -> None:
    refuses(far.at("https://nobody.invalid"), ["run", "list"], 5, "[server_unreachable]")


def test_reading_is_tried_twice_more(far: Far) -> None:
    with wire(far.served, cut=2) as cable:
        assert far.at(cable.address)("--json", "run", "list").json == []
    assert len(cable.asked) == 3
    with wire(far.served, cut=3) as cable:
        refuses(far.at(cable.address), ["run", "list"], 5, "it hung up", "[server_unreachable]")
    assert len(cable.asked) == 3


def test_what_makes_something_makes_it_once_however_often_the_wire_is_cut(far: Far) -> None:
    approved = far.approved()
    makes = {
        ("draft", "create", "--prompt", "only once"): ("draft", "list"),
        ("run", "create", approved): ("run", "list"),
        ("queue", "add", "--task", "only once", "--success-criteria", "s"): ("queue", "list"),
    }
    for line, listing in makes.items():
        before = len(far.json(*listing))
        with wire(far.served, cut=2, of="POST") as cable:
            made = far.at(cable.address).json(*line)
        assert len([each for each in cable.asked if each.startswith("POST")]) == 3
        after = far.json(*listing)
        assert len(after) == before + 1, line
        assert made["id"] in {each["id"] for each in after}


def test_two_calls_make_two_things(far: Far) -> None:
    assert far.draft() != far.draft()


def test_what_may_have_been_done_is_not_done_again_and_says_so(far: Far) -> None:
    draft = far.draft()
    with wire(far.served, cut=1) as cable:
        refuses(far.at(cable.address), ["draft", "approve", draft], 5, "not known", "[answer_lost]")
    assert len(cable.asked) == 1
    assert far.json("draft", "show", draft)["status"] == "approved"


def test_a_server_that_is_silent_is_left_and_not_asked_again(far: Far) -> None:
    asked: list[bytes] = []

    def only_listen(caller: socket.socket) -> None:
        asked.append(everything(caller))

    with listening(only_listen) as address:
        server = Connection(read_address(address), token=secret(far))
        with closing(server), pytest.raises(AnswerLost, match="nothing came within"):
            server.send("POST", "/ops/drafts", {}, seconds=0.2)
        with closing(server), pytest.raises(AnswerLost, match="nothing came within"):
            server.make("/ops/drafts", {}, seconds=0.2)
    assert len([each for each in asked if each]) == 2


def test_a_caller_who_asked_too_often_waits_and_gets_it(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    access = AccessOptions(requests_per_minute=60, burst=2)
    with closing(Interlock.at(workspace)) as house, serving(house, access=access) as served:
        hasty = Far.of(served, tmp_path, capsys)
        for _ in range(4):
            assert hasty("--json", "run", "list").json == []


def test_an_answer_of_a_server_that_is_overrun_is_exit_5(far: Far) -> None:
    body = json.dumps({"code": "database_busy", "detail": "the database is busy", "hint": "try again"}).encode()
    head = f"HTTP/1.1 503 Later\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with answering(head + body) as (address, _):
        far.at(address)("run", "list").refuses(5, "the database is busy; try again [database_busy]")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        *((status, 1) for status in (418, 500, 502)),
        *((status, 2) for status in (400, 413, 415, 422)),
        *((status, 4) for status in (403, 409, 412, 423, 501)),
        *((status, 5) for status in (429, 503, 504)),
        (404, 3),
    ],
)
def test_a_code_that_is_not_known_here_is_judged_by_its_status(far: Far, status: int, code: int) -> None:
    body = json.dumps({"code": "from_tomorrow", "detail": "something new", "correlation_id": "req-7"}).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with answering(head + body) as (address, _):
        answered = far.at(address)("run", "list")
    answered.refuses(code, "something new", "[from_tomorrow]")
    assert ("req-7" in answered.err) == (code == 1)


def test_an_error_that_is_known_here_keeps_its_own_exit_code(far: Far) -> None:
    body = json.dumps({"code": "note_rejected", "detail": "the note does not hold"}).encode()
    with answering(b"HTTP/1.1 500 Failed\r\nContent-Length: %d\r\n\r\n" % len(body) + body) as (address, _):
        far.at(address)("evidence", "prove", "0").refuses(15, "[note_rejected]")


def test_a_body_that_is_refused_while_it_is_sent_is_told_as_refused(far: Far) -> None:
    body = json.dumps({"code": "body_too_large", "detail": "too much"}).encode()
    answer = b"HTTP/1.1 413 No\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body
    with hanging_up(answer) as address:
        context = json.dumps({"a": "x" * 8_000_000})
        far.at(address)("plan", "set", str(_plan(far, context))).refuses(2, "too much", "[body_too_large]")


def _plan(far: Far, text: str) -> Path:
    file = far.folder / "plan.json"
    file.write_text(text)
    return file


# --- the token --------------------------------------------------------------------------------------------------------


def test_a_token_that_is_not_valid_is_exit_4_and_says_where_to_look(far: Far) -> None:
    wrong = replace(far, token_file=token_in(far.folder, "ilk_01ARZ3NDEKTSV4RRFFQ69G5FAV_wrong", "wrong"))
    refuses(wrong, ["run", "list"], 4, "--token-file", "INTERLOCK_TOKEN", "[token_invalid]")
    far.json("token", "revoke", far.json("token", "list")[0]["id"])
    first = far.json("token", "list")[0]
    assert first["status"] == "revoked"
    revoked = far.as_(first["role"], first["name"].partition("-")[0])
    refuses(revoked, ["run", "list"], 4, "[token_invalid]")


def test_without_a_token_nothing_is_asked(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "--server", served.address, "run", "list").refuses(2, "INTERLOCK_TOKEN_FILE", "[token_missing]")


def test_a_token_that_a_server_says_back_is_not_shown(far: Far) -> None:
    body = json.dumps({"code": "parrot", "detail": f"I heard {secret(far)}", "hint": secret(far)}).encode()
    with answering(b"HTTP/1.1 409 Conflict\r\nContent-Length: %d\r\n\r\n" % len(body) + body) as (address, _):
        refuses(far.at(address), ["run", "list"], 4, "I heard ***", "[parrot]")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o602, 0o610])
def test_a_token_file_that_others_can_reach_is_refused(far: Far, mode: int) -> None:
    far.token_file.chmod(mode)
    refuses(far, ["run", "list"], 4, "chmod 600", "[token_file_unsafe]")


@pytest.mark.parametrize("content", ["", "two words", "ümlaut", "a\nb", "x" * 3000])
def test_a_file_that_holds_no_token_is_refused(far: Far, content: str) -> None:
    far.token_file.write_text(content)
    answered = far("run", "list")
    answered.refuses(2)
    assert "two words" not in answered.err


def test_a_token_may_come_through_a_pipe(far: Far) -> None:
    reading, writing = os.pipe()
    os.write(writing, far.token_file.read_bytes())
    os.close(writing)
    assert replace(far, token_file=Path(f"/dev/fd/{reading}"))("--json", "run", "list").json == []
    os.close(reading)


def test_a_token_file_that_is_not_there_is_refused(far: Far, tmp_path: Path) -> None:
    for file in (tmp_path / "nowhere", tmp_path):
        replace(far, token_file=file)("run", "list").refuses(2, "[token_file_unreadable]")


def test_the_environment_names_server_and_token(
    far: Far, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERLOCK_SERVER", far.address)
    monkeypatch.setenv("INTERLOCK_TOKEN", secret(far))
    assert said(capsys, "--json", "run", "list").json == []
    monkeypatch.setenv("INTERLOCK_TOKEN_FILE", str(far.token_file))
    said(capsys, "run", "list").refuses(2, "both set")
    monkeypatch.delenv("INTERLOCK_TOKEN")
    assert said(capsys, "--json", "run", "list").json == []
    monkeypatch.setenv("INTERLOCK_TOKEN_FILE", "/nowhere")
    assert said(capsys, "--json", "run", "list", "--token-file", str(far.token_file)).json == []


def test_a_workspace_that_is_named_wins_over_a_server_that_is_only_set(
    far: Far, workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERLOCK_SERVER", f"http://127.0.0.1:{free_port()}")
    assert said(capsys, "--workspace", str(workspace), "--json", "run", "list").json == []
    monkeypatch.setenv("INTERLOCK_WORKSPACE", str(workspace))
    said(capsys, "run", "list").refuses(2, "name two places", "give --server or --workspace")
    assert said(capsys, "--workspace", str(workspace), "--json", "run", "list").json == []
    assert far("--json", "run", "list").json == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--workspace", "/tmp", "run", "list"], "name two places"),  # noqa: S108 - never looked at
        (["--as", "agent:x", "run", "list"], "the token says who you are"),
    ],
)
def test_what_is_for_a_workspace_here_is_refused(far: Far, words: list[str], told: str) -> None:
    far(*words).refuses(2, told)


def test_a_token_file_without_a_server_is_refused(far: Far, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "--token-file", str(far.token_file), "run", "list").refuses(2, "--server")


def test_a_token_is_not_taken_from_the_command_line(far: Far) -> None:
    far("--token", secret(far), "run", "list").refuses(2)
