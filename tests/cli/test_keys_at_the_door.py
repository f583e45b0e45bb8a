"""Keys that are missing, open to others or not files: nothing is signed with them, and the way out is said."""

from __future__ import annotations

import getpass
import shutil
from pathlib import Path

import pytest

from tests.cli.door import WITHOUT_PRIVILEGES, Door, call, call_all, closed, files

ME = f"human-{getpass.getuser()}"


@pytest.fixture
def draft(ask: Door) -> str:
    return ask.draft()


def key_of(ask: Door, name: str) -> Path:
    return ask.root / ".interlock" / "keys" / f"{name}.key"


def deed(name: str, draft: str) -> list[str]:
    return {
        ME: ["draft", "approve", draft],
        "service": ["worker", "--once"],
        "log": ["evidence", "head"],
    }[name]


@pytest.mark.parametrize("name", [ME, "service", "log"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_a_key_that_others_can_reach_signs_nothing(ask: Door, draft: str, name: str, mode: int) -> None:
    before, entries = files(ask.root), ask.log_size()
    key_of(ask, name).chmod(mode)
    ask(*deed(name, draft)).refuses(4, "open to others", f"chmod 600 {key_of(ask, name)}")
    key_of(ask, name).chmod(0o600)
    assert (files(ask.root), ask.log_size()) == (before, entries)
    if name != "service":
        assert ask(*deed(name, draft)).code == 0


@pytest.mark.parametrize("name", [ME, "service", "log"])
def test_a_link_is_no_key(ask: Door, draft: str, tmp_path: Path, name: str) -> None:
    key = key_of(ask, name)
    shutil.move(key, tmp_path / "elsewhere")
    key.symlink_to(tmp_path / "elsewhere")
    ask(*deed(name, draft)).refuses(4, "symbolic link")
    assert ask.json("draft", "show", draft)["status"] == "draft"


WHAT_TO_DO = {ME: "interlock init", "service": "interlock init", "log": "restore it"}
"""About a missing key; a second key of the log would be worth nothing to whoever knows the first."""


@pytest.mark.parametrize("name", ["service", "log"])
def test_a_missing_key_is_named_with_what_to_do(ask: Door, draft: str, name: str) -> None:
    key_of(ask, name).unlink()
    ask(*deed(name, draft)).refuses(3, "key", WHAT_TO_DO[name])


@pytest.mark.parametrize("name", [ME, "service", "log"])
def test_a_missing_folder_of_keys_is_named(ask: Door, draft: str, name: str) -> None:
    shutil.rmtree(ask.root / ".interlock" / "keys")
    ask(*deed(name, draft)).refuses(3, "key", WHAT_TO_DO[name])
    assert ask.json("draft", "show", draft)["status"] == "draft"


@pytest.mark.parametrize("name", [ME, "service", "log"])
def test_a_folder_of_keys_that_others_can_write_in_is_not_used(ask: Door, draft: str, name: str) -> None:
    folder = key_of(ask, name).parent
    with closed(folder, mode=0o777):
        ask(*deed(name, draft)).refuses(4, "open to others", f"chmod 700 {folder}")


@pytest.mark.parametrize(
    "content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", b"\xff" * 99]
)
@pytest.mark.parametrize("name", [ME, "service", "log"])
def test_a_file_that_is_no_key_is_named(ask: Door, draft: str, name: str, content: bytes) -> None:
    key_of(ask, name).write_bytes(content)
    ask(*deed(name, draft)).refuses(2, str(key_of(ask, name)))
    assert ask.json("draft", "show", draft)["status"] == "draft"


def test_a_key_that_may_not_be_read_is_named(ask: Door, draft: str) -> None:
    with closed(key_of(ask, ME), mode=0o000):
        answered = call("draft", "approve", draft, at=ask.root, prefix=WITHOUT_PRIVILEGES)
    answered.refuses(4, "can not be read")


def test_looking_and_proposing_need_no_key(ask: Door, draft: str) -> None:
    shutil.rmtree(ask.root / ".interlock" / "keys")
    assert ask.json("draft", "show", draft)["id"] == draft
    ask.draft()
    ask("evidence", "verify").refuses(21)


@pytest.mark.parametrize("mode", [0o000, 0o644])
def test_reading_the_evidence_needs_no_private_key(ask: Door, draft: str, mode: int) -> None:
    assert ask("evidence", "head").code == 0
    with closed(key_of(ask, "log"), mode=mode):
        lines = (["evidence", "list", "--subject", draft], ["evidence", "verify"], ["evidence", "prove", "0"])
        answered = call_all(*lines, at=ask.root, prefix=WITHOUT_PRIVILEGES)
    assert [each.code for each in answered] == [0, 0, 0], answered
    with closed(key_of(ask, "log").parent, mode=0o000):
        answered = call_all(*lines, at=ask.root, prefix=WITHOUT_PRIVILEGES)
    assert [each.code for each in answered] == [0, 0, 0], answered


def test_who_signed_is_told_apart(ask: Door) -> None:
    """Without a key of the person's own the service signs on its behalf, and the record says so."""
    mine = ask.json("approved", "show", ask.approved())["attestation"]
    for suffix in (".key", ".vkey"):
        key_of(ask, ME).with_suffix(suffix).unlink()
    other = ask.json("approved", "show", ask.approved())["attestation"]
    assert (mine["signed_by"], other["signed_by"]) == ("principal", "service_on_behalf")
    assert mine["keyid"] != other["keyid"]


def test_a_worker_whose_log_key_can_not_sign_refuses_before_it_works(ask: Door) -> None:
    run = ask.json("run", "create", ask.approved("--command", "true"))["id"]
    key_of(ask, "log").chmod(0o644)
    ask("worker", "--once").refuses(4, "open to others")
    assert ask.json("run", "show", run)["status"] == "pending"
