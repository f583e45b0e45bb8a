from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from evidence_samples import signer

from interlock.evidence.errors import KeyExists, KeyMalformed, KeyMissing, KeyUnsafe
from interlock.evidence.keys import create_key, load_signer, load_verifiers
from interlock.evidence.note import open_note, sign

NAME = "evidence.example/log"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "keys" / "log.pem"
    create_key(path, NAME)
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_made_key_signs_what_its_public_half_verifies(key: Path) -> None:
    note = sign("text\n", [load_signer(key, NAME)])
    assert open_note(note, load_verifiers(key.with_suffix(".vkey"))).text == "text\n"


def test_a_made_key_is_for_its_owner_only_and_nothing_else_is_left_behind(key: Path) -> None:
    assert (mode(key), mode(key.parent)) == (0o600, 0o700)
    assert sorted(path.name for path in key.parent.iterdir()) == ["log.pem", "log.vkey"]
    assert key.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")


@pytest.mark.parametrize("suffix", [".pem", ".vkey"])
def test_a_key_is_never_overwritten(key: Path, suffix: str) -> None:
    key.with_suffix({".pem": ".vkey", ".vkey": ".pem"}[suffix]).unlink()
    before = key.with_suffix(suffix).read_bytes()
    with pytest.raises(KeyExists):
        create_key(key, NAME)
    assert {path.suffix: path.read_bytes() for path in key.parent.iterdir()} == {suffix: before}


def taken_by_nobody(_: object) -> bool:
    return False


def test_a_key_that_appears_meanwhile_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    path = tmp_path / "log.pem"
    path.write_text("theirs")
    monkeypatch.setattr(os.path, "lexists", taken_by_nobody)
    with pytest.raises(KeyExists, match=r"log\.pem"):
        create_key(path, NAME)
    assert [found.read_text() for found in tmp_path.iterdir()] == ["theirs"]


def test_a_key_that_is_missing_says_what_to_do(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(KeyMissing) as told:
        load_signer(tmp_path / "log.pem", NAME)
    assert "interlock init" in told.value.hint
    with pytest.raises(KeyMissing):
        load_signer(tmp_path / "nowhere" / "log.pem", NAME)


@pytest.mark.parametrize("open_to", [0o640, 0o604, 0o620, 0o610])
def test_a_key_that_others_can_reach_is_refused_with_the_command_that_closes_it(key: Path, open_to: int) -> None:
    key.chmod(open_to)
    with pytest.raises(KeyUnsafe) as told:
        load_signer(key, NAME)
    assert told.value.hint == f"chmod 600 {key}"


def test_a_key_in_a_folder_where_others_can_swap_it_is_refused(key: Path) -> None:
    key.parent.chmod(0o770)
    with pytest.raises(KeyUnsafe) as told:
        load_signer(key, NAME)
    assert told.value.hint == f"chmod 700 {key.parent}"


def test_a_key_is_not_made_in_a_folder_that_others_can_look_into(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    with pytest.raises(KeyUnsafe):
        create_key(tmp_path / "log.pem", NAME)
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_is_a_symbolic_link_is_refused(key: Path) -> None:
    link = key.parent / "link.pem"
    link.symlink_to(key)
    with pytest.raises(KeyUnsafe, match="symbolic link"):
        load_signer(link, NAME)


def test_a_key_that_is_no_file_is_refused(key: Path) -> None:
    fifo = key.parent / "fifo.pem"
    os.mkfifo(fifo, 0o600)
    with pytest.raises(KeyUnsafe, match="not a file"):
        load_signer(fifo, NAME)


def test_a_key_of_another_user_is_refused(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    if key.stat().st_uid == 0:
        os.chown(key.parent, 4242, 4242)
        os.chown(key, 4343, 4343)
    with pytest.raises(KeyUnsafe, match="another user"):
        load_signer(key, NAME)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        x25519.X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        signer().private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")),
    ],
)
def test_a_file_that_is_not_a_plain_ed25519_key_is_refused(key: Path, data: bytes) -> None:
    key.write_bytes(data)
    with pytest.raises(KeyMalformed):
        load_signer(key, NAME)


def test_public_keys_are_read_one_a_line(tmp_path: Path) -> None:
    verifiers = tuple(signer(number).verifier() for number in (1, 2))
    (tmp_path / "log.vkey").write_text("".join(f"{verifier.vkey()}\n" for verifier in verifiers))
    assert load_verifiers(tmp_path / "log.vkey") == verifiers


def test_a_public_key_that_can_not_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(KeyMissing):
        load_verifiers(tmp_path / "log.vkey")
    (tmp_path / "log.vkey").write_bytes(b"\xff")
    with pytest.raises(KeyMalformed):
        load_verifiers(tmp_path / "log.vkey")
