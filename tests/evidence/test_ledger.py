from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from evidence_samples import event, leaf
from hypothesis import given
from hypothesis import strategies as st
from test_canonical import ALLOWED, KEYS, TEXT

from interlock.evidence.errors import (
    EventMalformed,
    EvidenceError,
    IndexMismatch,
    LeafMismatch,
    LineMalformed,
    ProjectionMismatch,
    TailTorn,
)
from interlock.evidence.ledger import MAX_LINE, read_leaf, read_line, render_line
from interlock.evidence.tree import leaf_hash
from interlock.kernel.canonical import Json, canonical
from interlock.kernel.clock import to_text
from interlock.kernel.events import MAX_LEAF_BYTES

ATTESTED: dict[str, Json] = {"attestation": {"digest": "sha256:" + "cd" * 32, "keyid": "0a1b2c3d"}, "run_id": "r_1"}
LINE = render_line(7, leaf(7))


def edited(change: Callable[[dict[str, Any]], object], line: bytes = LINE) -> bytes:
    """Edit a line as someone would who then writes good canonical JSON."""
    fields = json.loads(line)
    change(fields)
    return canonical(fields) + b"\n"


def rehashed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Edit a line's event and mend its leaf hash, but nothing else."""
    fields = json.loads(LINE)
    change(fields["event"])
    fields["leaf_hash"] = leaf_hash(canonical(fields["event"])).hex()
    return canonical(fields) + b"\n"


def test_a_line_is_the_canonical_json_of_the_event_and_its_projection() -> None:
    assert canonical(json.loads(LINE)) + b"\n" == LINE
    digest = leaf_hash(leaf(7)).hex()
    assert json.loads(LINE) == {
        "event": event(7),
        "index": 7,
        "kind": "run.step_completed",
        "leaf_hash": digest,
        "payload": event(7)["payload"],
        "reference": f"sha256:{digest}",
        "signed_operation": None,
        "timestamp": 1795248000125,
    }


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("pipeline.run_started", "PipelineEvent"),
        ("pipeline.state.status_changed", "PipelineEvent"),
        ("deployment.state.created", "PipelineEvent"),
        ("pipelines.approved", "pipelines.approved"),
        ("run.created", "run.created"),
    ],
)
def test_pipeline_and_deployment_events_have_the_seeds_kind(kind: str, shown: str) -> None:
    assert json.loads(render_line(0, leaf(0, kind=kind)))["kind"] == shown


def test_an_attested_event_refers_to_its_envelope() -> None:
    fields = json.loads(render_line(0, leaf(0, payload=ATTESTED)))
    assert fields["reference"] == "sha256:" + "cd" * 32
    assert fields["signed_operation"] == ATTESTED["attestation"]


@pytest.mark.parametrize("attestation", [None, "text", [], {}, {"digest": 1}, {"keyid": "0a"}])
def test_what_names_no_envelope_is_plain_payload(attestation: Json) -> None:
    data = leaf(0, payload={"attestation": attestation})
    fields = json.loads(render_line(0, data))
    assert fields["reference"] == f"sha256:{leaf_hash(data).hex()}"
    assert fields["signed_operation"] is None


EVENTS = st.builds(
    event,
    st.integers(0, 9),
    correlation_id=st.none() | TEXT,
    key=st.none() | TEXT,
    kind=TEXT,
    payload=st.dictionaries(KEYS, ALLOWED, max_size=5) | st.just(ATTESTED),
    principal=TEXT,
    subject=TEXT,
    time=st.integers(0, 4_000_000_000_000).map(to_text),
    version=st.integers(0, 99),
)


@given(EVENTS, st.integers(0, 2**53 - 1))
def test_every_event_is_read_back_from_its_line(one: dict[str, Json], index: int) -> None:
    data = canonical(one)
    line = render_line(index, data)
    entry = read_line(line, index)
    assert (entry.index, entry.leaf, entry.leaf_hash, entry.event) == (index, data, leaf_hash(data), one)
    assert line == canonical(json.loads(line)) + b"\n"


def test_the_largest_event_is_read_back_and_a_larger_one_is_refused() -> None:
    attestation: Json = {"digest": "sha256:00", "blob": ""}
    room = MAX_LEAF_BYTES - len(leaf(0, payload={"attestation": attestation}))
    largest = leaf(0, payload={"attestation": {"digest": "sha256:00", "blob": "x" * room}})
    line = render_line(0, largest)
    assert len(largest) == MAX_LEAF_BYTES
    assert len(line) < MAX_LINE
    assert read_line(line, 0).leaf == largest
    with pytest.raises(EventMalformed):
        render_line(0, leaf(0, payload={"attestation": {"digest": "sha256:00", "blob": "x" * (room + 1)}}))


MISTAKES: list[bytes] = [
    b"",
    b"[]",
    b"null",
    b"\xff",
    canonical([event(0)]),
    json.dumps(event(0)).encode(),
    leaf(0) + b"\n",
    leaf(0).replace(b'"version":1', b'"version":1.0'),
    leaf(0).replace(b'"version":1', b'"version":1,"version":1'),
    leaf(0).replace(b'"version":1', b'"version":[1]'),
    leaf(0).replace(b'"version":1', b'"version":true'),
    leaf(0).replace("é".encode(), b"\\u00e9"),
    leaf(0).replace("é".encode(), b"\\ud800"),
    leaf(0, version="1"),
    leaf(0, payload="text"),
    leaf(0, payload=["text"]),
    leaf(0, payload=None),
    leaf(0, kind=None),
    leaf(0, kind=["text"]),
    leaf(0, principal=1),
    leaf(0, subject=None),
    leaf(0, key=1),
    leaf(0, correlation_id=True),
    leaf(0, time=1795248000125),
    leaf(0, time="2026-11-21T08:00:00Z"),
    leaf(0, time="2026-13-21T08:00:00.000Z"),
    leaf(0, extra=1),
    canonical({key: value for key, value in event(0).items() if key != "key"}),
    leaf(0, payload={"number": 2**53}),
    leaf(0, payload={"number": "deep"}).replace(b'"deep"', b"[" * 20_000 + b"]" * 20_000),
    leaf(0, payload={"é": 1}),
]


@pytest.mark.parametrize("data", MISTAKES)
def test_a_leaf_that_is_no_event_gets_no_line(data: bytes) -> None:
    with pytest.raises(EventMalformed):
        read_leaf(data)
    with pytest.raises(EventMalformed):
        render_line(0, data)


@pytest.mark.parametrize("data", MISTAKES)
def test_a_leaf_that_is_no_event_is_not_read_from_a_line_either(data: bytes) -> None:
    digest = leaf_hash(data)
    line = LINE.replace(leaf(7), data).replace(leaf_hash(leaf(7)).hex().encode(), digest.hex().encode())
    with pytest.raises(EvidenceError) as told:
        read_line(line, 7)
    assert (told.value.index, told.value.line) == (7, 8)


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"{}\n",
        b"[]\n",
        b'"text"\n',
        b"\xff\n",
        b"\0" * 40 + b"\n",
        b" " + LINE,
        LINE[:-1] + b" \n",
        LINE[:-1] + b"\r\n",
        LINE[:300] + b"\n",
        json.dumps(json.loads(LINE)).encode() + b"\n",
        LINE.replace(b'"index":7', b'"index":7.0'),
        LINE.replace(b'"index":7', b'"index":"7"'),
        LINE.replace(b'"index":7', b'"index":true'),
        LINE.replace(b'"index":7', b'"index":7,"index":7'),
        LINE.replace(b'"version":1', b'"version":1,"version":1'),
        LINE.replace("é".encode(), b"\\u00e9"),
        LINE.replace("é".encode(), b"e\xcc\x81\xff"),
        edited(lambda fields: fields.update(extra=1)),
        edited(lambda fields: fields.pop("reference")),
        edited(lambda fields: fields["event"].update(number=2**53)),
        rehashed(lambda told: told.update(extra=1)),
        rehashed(lambda told: told.update(version="1")),
        rehashed(lambda told: told.update(time="yesterday")),
        rehashed(lambda told: told["payload"].update({"é": 1})),
        rehashed(lambda told: told["payload"].update(note="x" * MAX_LEAF_BYTES)),
        b"x" * (MAX_LINE + 1),
        b"[" * 50_000 + b"\n",
    ],
)
def test_a_line_that_the_export_would_not_write_is_malformed(line: bytes) -> None:
    with pytest.raises(LineMalformed, match=r"^entry 7 \(line 8\): ") as told:
        read_line(line, 7)
    assert (told.value.code, told.value.exit_code) == ("malformed_line", 10)


def test_a_right_line_of_an_event_that_is_too_large_is_malformed() -> None:
    data = leaf(7, payload={"body": "x" * MAX_LEAF_BYTES})
    digest = leaf_hash(data).hex()
    fields = json.loads(LINE) | {"event": json.loads(data), "leaf_hash": digest, "reference": f"sha256:{digest}"}
    with pytest.raises(LineMalformed, match="at most 32768 bytes"):
        read_line(canonical(fields | {"payload": fields["event"]["payload"]}) + b"\n", 7)


def test_a_line_without_an_end_is_torn() -> None:
    with pytest.raises(TailTorn, match=r"^entry 7 \(line 8\)"):
        read_line(LINE[:-1], 7)


def test_a_line_at_another_place_is_an_index_mismatch() -> None:
    with pytest.raises(IndexMismatch, match=r"^entry 6 \(line 7\): the line says index 7"):
        read_line(LINE, 6)


@pytest.mark.parametrize(
    "line",
    [
        edited(lambda fields: fields["event"].update(principal="human:mallory")),
        edited(lambda fields: fields["event"].update(time="whenever")),
        edited(lambda fields: fields["event"].pop("key")),
        edited(lambda fields: fields.update(event="gone")),
        edited(lambda fields: (fields["event"]["payload"].update(number=8), fields["payload"].update(number=8))),
        edited(lambda fields: fields.update(leaf_hash="00" * 32)),
        edited(lambda fields: fields.update(leaf_hash=fields["leaf_hash"].upper())),
        edited(lambda fields: fields.update(leaf_hash=None)),
    ],
)
def test_an_edited_event_is_a_leaf_mismatch(line: bytes) -> None:
    with pytest.raises(LeafMismatch, match=r"^entry 7 \(line 8\)"):
        read_line(line, 7)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "run.created"),
        ("kind", "PipelineEvent"),
        ("timestamp", 1795248000124),
        ("timestamp", "1795248000125"),
        ("reference", "sha256:" + "00" * 32),
        ("payload", {}),
        ("payload", None),
        ("signed_operation", {}),
        ("signed_operation", False),
    ],
)
def test_an_edited_copy_is_a_projection_mismatch_that_names_it(name: str, value: object) -> None:
    with pytest.raises(ProjectionMismatch, match=rf"^entry 7 \(line 8\): {name} differ"):
        read_line(edited(lambda fields: fields.update({name: value})), 7)


@given(st.data())
def test_no_byte_of_a_line_changes_unseen(data: st.DataObject) -> None:
    line = bytearray(render_line(7, leaf(7, payload=ATTESTED)))
    line[data.draw(st.integers(0, len(line) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(EvidenceError):
        read_line(bytes(line), 7)
