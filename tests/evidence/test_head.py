from __future__ import annotations

from base64 import b64encode

import pytest
from evidence_samples import NOON, ORIGIN, signer
from hypothesis import given
from hypothesis import strategies as st

from interlock.evidence.errors import HeadMalformed, LineMalformed, NoteRejected
from interlock.evidence.head import body, open_head, parse_body, read_head, render_head, sign_head
from interlock.evidence.models import SignedHead, TreeHead
from interlock.evidence.note import sign
from interlock.kernel.canonical import MAX_INTEGER

ROOT = bytes(range(32))
ROOT64 = b64encode(ROOT).decode()
KEY = signer()
HEADS = st.builds(
    TreeHead,
    st.text(st.characters(categories=["L", "N", "P"]), min_size=1),
    st.integers(0, MAX_INTEGER),
    st.binary(min_size=32, max_size=32),
)


def test_a_head_is_three_lines_as_the_specification_says() -> None:
    assert body(TreeHead("example.com/behind-the-sofa", 20852163, ROOT)) == (
        f"example.com/behind-the-sofa\n20852163\n{ROOT64}\n"
    )


@given(HEADS)
def test_a_signed_head_is_opened_as_it_was(head: TreeHead) -> None:
    assert parse_body(body(head)) == head
    assert open_head(sign_head(head, KEY), [KEY.verifier()]) == head


@pytest.mark.parametrize(
    "text",
    [
        f"{ORIGIN}\n7\n{ROOT64}",
        f"\n7\n{ROOT64}\n",
        f"{ORIGIN}\n07\n{ROOT64}\n",
        f"{ORIGIN}\n+7\n{ROOT64}\n",
        f"{ORIGIN}\n-7\n{ROOT64}\n",
        f"{ORIGIN}\n\u0667\n{ROOT64}\n",
        f"{ORIGIN}\n\n{ROOT64}\n",
        f"{ORIGIN}\n9007199254740992\n{ROOT64}\n",
        f"{ORIGIN}\n{'9' * 5000}\n{ROOT64}\n",
        f"{ORIGIN}\n7\n{ROOT64[:-1]}\n",
        f"{ORIGIN}\n7\n{b64encode(ROOT[:31]).decode()}\n",
        f"{ORIGIN}\n7\n{b64encode(ROOT + b'x').decode()}\n",
        f"{ORIGIN}\n7\n{ROOT64[:-2]}9=\n",
        f"{ORIGIN}\n7\n{ROOT64}\nextension\n",
        f"{ORIGIN}\n7\n{ROOT64}\n\n",
        "go.sum database tree\n",
    ],
)
def test_a_signed_text_that_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(HeadMalformed):
        parse_body(text)
    with pytest.raises(NoteRejected):
        open_head(sign(text if text.endswith("\n") else text + "\n\n", [KEY]), [KEY.verifier()])


@pytest.mark.parametrize(
    "head", [TreeHead("a\nb", 1, ROOT), TreeHead("", 1, ROOT), TreeHead("a", -1, ROOT), TreeHead("a", 1, b"")]
)
def test_a_head_that_no_note_can_tell_is_not_signed(head: TreeHead) -> None:
    with pytest.raises(HeadMalformed):
        sign_head(head, KEY)


@given(HEADS, st.integers(0, 4_000_000_000_000))
def test_a_kept_head_is_read_back_as_it_was(head: TreeHead, at: int) -> None:
    kept = SignedHead(size=head.size, root=head.root, at=at, note=f"{body(head)}\n— any text\n")
    assert read_head(render_head(kept)) == kept


KEPT = render_head(SignedHead(size=7, root=ROOT, at=NOON, note="note\n"))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]\n",
        b"7\n",
        b"[" * 50_000 + b"\n",
        KEPT[:-1],
        b" " + KEPT,
        KEPT.replace(b'"size":7', b'"size":"7"'),
        KEPT.replace(b'"size":7', b'"size":true'),
        KEPT.replace(b'"size":7', b'"size":7.0'),
        KEPT.replace(b'"size":7', b'"size":7,"size":7'),
        KEPT.replace(b'"size":7', b'"size":7,"weight":7'),
        KEPT.replace(b'"size":7,', b""),
        KEPT.replace(ROOT.hex().encode(), ROOT.hex().upper().encode()),
        KEPT.replace(b".000Z", b"Z"),
        KEPT.replace(b"note\\n", b"\xff"),
        KEPT.replace(b"note\\n", b"\\ud800"),
    ],
)
def test_a_line_that_is_no_kept_head_is_refused(line: bytes) -> None:
    with pytest.raises(LineMalformed):
        read_head(line)
