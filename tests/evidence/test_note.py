from __future__ import annotations

from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from evidence_samples import signer
from hypothesis import given
from hypothesis import strategies as st

from interlock.evidence.errors import KeyMalformed, NoteMalformed, NoteRejected, NoteUntrusted, SignatureInvalid
from interlock.evidence.models import OpenedNote
from interlock.evidence.note import MAX_SIGNATURES, Signer, Verifier, decode_base64, open_note, sign

# The example of c2sp.org/signed-note.
SPEC_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SPEC_NOTE = (
    "This is an example message.\n\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
# The example of golang.org/x/mod/sumdb/note; its private key is published there for tests.
GO_SEED = decode_base64("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz") or b""
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)

ALICE, BOB = signer(1, "alice.example"), signer(2, "bob.example")
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=[chr(c) for c in range(32) if c != 10]))


def line(name: str, blob: bytes) -> str:
    return f"— {name} {b64encode(blob).decode()}\n"


def test_the_note_of_the_specification_opens() -> None:
    opened = open_note(SPEC_NOTE, [Verifier.parse(SPEC_VKEY)])
    assert opened == OpenedNote("This is an example message.\n", ("example.com/foo+530d903a",), 0)


def test_the_note_of_the_go_package_is_signed_the_same_byte_for_byte() -> None:
    peter = Signer("PeterNeumann", Ed25519PrivateKey.from_private_bytes(GO_SEED[1:]))
    assert peter.verifier().vkey() == GO_VKEY
    assert sign(GO_TEXT, [peter]) == f"{GO_TEXT}\n{GO_LINE}"


@given(TEXTS)
def test_any_signed_text_is_opened_as_it_was(text: str) -> None:
    note = sign(text + "\n", [ALICE, BOB])
    assert open_note(note, [BOB.verifier(), ALICE.verifier()]) == open_note(
        note.encode(), [ALICE.verifier(), BOB.verifier()]
    )
    assert open_note(note, [ALICE.verifier()]).text == text + "\n"


def test_the_text_ends_at_the_last_blank_line() -> None:
    text = "one\n\ntwo\n\n\nthree\n"
    assert open_note(sign(text, [ALICE]), [ALICE.verifier()]).text == text


def test_signatures_by_unknown_keys_are_counted_and_ignored() -> None:
    alike = Signer("alice.example", Ed25519PrivateKey.from_private_bytes(b"\x07" * 32))
    note = sign("text\n", [BOB, ALICE, alike]) + line("witness.example", b"abcd" + b"x" * 72)
    opened = open_note(note, [ALICE.verifier()])
    assert opened.unknown == 3
    assert opened.verified == (f"alice.example+{ALICE.verifier().key_id.hex()}",)


def test_a_note_without_a_trusted_signature_is_refused() -> None:
    with pytest.raises(NoteUntrusted, match=r"bob\.example"):
        open_note(sign("text\n", [BOB]), [ALICE.verifier()])
    with pytest.raises(NoteUntrusted):
        open_note(sign("text\n", [BOB]), [])


def test_a_wrong_signature_by_a_trusted_key_is_refused_although_another_is_right() -> None:
    forged = line("alice.example", ALICE.verifier().key_id + ALICE.sign(b"other\n"))
    with pytest.raises(SignatureInvalid, match=r"alice\.example"):
        open_note(sign("text\n", [BOB]) + forged, [ALICE.verifier(), BOB.verifier()])


def test_a_trusted_key_that_signs_twice_is_refused() -> None:
    with pytest.raises(SignatureInvalid, match="twice"):
        open_note(sign("text\n", [ALICE, ALICE]), [ALICE.verifier()])


GOOD = line("alice.example", ALICE.verifier().key_id + ALICE.sign(b"text\n"))


@pytest.mark.parametrize(
    "note",
    [
        "",
        "text\n",
        "text\n\n",
        f"text{GOOD}",
        f"text\n{GOOD}",
        f"text\n\n{GOOD[:-1]}",
        f"text\n\n{GOOD}\n",
        f"text\n\n{GOOD}{GOOD[:-1]} \n",
        f"text\n\n{GOOD}— carol.example AAAAAAAA!",
        f"te\txt\n\n{GOOD}",
        f"text\r\n\n{GOOD}",
        f"te\0xt\n\n{GOOD}",
        f"text\n\n{GOOD.replace('— ', '- ')}",
        f"text\n\n{GOOD.replace('— ', '—')}",
        f"text\n\n{GOOD.replace('=', '')}",
        f"text\n\n{GOOD.replace('alice', 'al+ice')}",
        "text\n\n" + GOOD.replace("alice", "al\u00a0ice"),
        f"text\n\n{GOOD}—  AAAAAAAA\n",
        f"text\n\n{GOOD}— carol.example AAAA\n",
        f"text\n\n{GOOD}— carol.example AAAAAA==\n",
        "te\ud800xt\n\n" + GOOD,
        b"te\xffxt\n\n" + GOOD.encode(),
        f"text\n\n{GOOD}" + "".join(line("w.example", b"%08d" % n) for n in range(MAX_SIGNATURES)),
        f"{'x' * 1_000_000}\n\n{GOOD}",
    ],
)
def test_what_is_not_formed_like_a_note_is_refused(note: str | bytes) -> None:
    with pytest.raises(NoteMalformed):
        open_note(note, [ALICE.verifier()])


def test_sixteen_signatures_are_read() -> None:
    many = sign("text\n", [signer(n, f"key{n}.example") for n in range(16)])
    assert open_note(many, [signer(3, "key3.example").verifier()]).unknown == 15


@given(st.data())
def test_no_byte_of_a_signed_note_changes_unseen(data: st.DataObject) -> None:
    note = bytearray(sign("è\ntext\n", [ALICE]).encode())
    note[data.draw(st.integers(0, len(note) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(NoteRejected):
        open_note(bytes(note), [ALICE.verifier()])


@pytest.mark.parametrize("text", ["", "no end", "bell\a\n", "\ud800\n"])
def test_a_text_that_no_note_can_say_is_not_signed(text: str) -> None:
    with pytest.raises(NoteMalformed):
        sign(text, [ALICE])


def test_a_note_without_a_signer_is_not_made() -> None:
    with pytest.raises(ValueError, match="signer"):
        sign("text\n", [])


@given(st.binary(min_size=32, max_size=32))
def test_a_public_key_is_read_back_from_its_text(public: bytes) -> None:
    verifier = Verifier("evidence.example/log", public)
    assert Verifier.parse(verifier.vkey()) == verifier


@pytest.mark.parametrize("end", range(len(GO_VKEY)))
def test_a_cut_public_key_is_refused(end: int) -> None:
    with pytest.raises(KeyMalformed):
        Verifier.parse(GO_VKEY[:end])


@pytest.mark.parametrize(
    "text",
    [
        GO_VKEY.replace("Peter", "peter"),
        GO_VKEY.replace("c74f20a3", "C74F20A3"),
        GO_VKEY.replace("c74f20a3", "c74f20a4"),
        GO_VKEY.replace("+ARpc", "+BBpc"),
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        GO_VKEY + "\n",
        " " + GO_VKEY,
    ],
)
def test_a_public_key_of_another_name_id_or_type_is_refused(text: str) -> None:
    with pytest.raises(KeyMalformed):
        Verifier.parse(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u2003b", "a\x01b", "\ud800"])
def test_a_key_can_not_have_a_name_that_a_note_could_not_tell(name: str) -> None:
    with pytest.raises(KeyMalformed):
        Verifier(name, b"\0" * 32)
    with pytest.raises(KeyMalformed):
        signer(1, name)


def test_two_keys_of_one_identity_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Verifier, "key_id", b"same")
    with pytest.raises(KeyMalformed, match="two keys"):
        open_note(SPEC_NOTE, [Verifier("a", b"\1" * 32), Verifier("a", b"\2" * 32)])


def test_a_signer_does_not_show_its_private_key() -> None:
    assert "private" not in repr(ALICE)


@pytest.mark.parametrize("text", ["QQ", "QR==", "QQ==\n", " QQ==", "Q_==", "QQ==QQ=="])
def test_base64_has_one_spelling_only(text: str) -> None:
    assert decode_base64(text) is None
