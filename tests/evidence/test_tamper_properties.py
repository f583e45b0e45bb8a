"""Whatever is done to a file of an export: verification fails by its exit code, or it is listed as not covered.

The auditor has what one should have from elsewhere: the log's first key, the last head, and a policy. Not covered by
the export are then, and only then:

    README.txt           words for people
    log.vkey             the auditor has the key from elsewhere
    policy.tlog          the auditor has a policy
    keys.json            that it is there: the log itself tells of its keys; what it says, if it is there, is covered
    heads.jsonl          each head's `time` (the log's own word), and that a head stands there at all, or twice: the
                         auditor has the last one
    cosignatures.jsonl   that a line stands there twice
    files besides        nobody reads them
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from attested_samples import Workshop
from evidence_samples import NOON
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.effort import FACTOR, effort

from interlock.cli.main import main
from interlock.evidence.cosignature import WitnessSigner
from interlock.evidence.errors import EvidenceError
from interlock.evidence.keys import load_private, load_verifiers
from interlock.evidence.policy import Policy, parse_policy
from interlock.evidence.predicates import ALLOWED, PIPELINE_ACCEPTANCE, ROLE_CHANGE, SELF_HEAL_REPORT
from interlock.evidence.verify import verify_export
from interlock.kernel.canonical import Json, digest
from interlock.kernel.clock import from_text

Files = dict[str, bytes]
ALICE = ("human-alice", "human:alice")
CHAINED = ("ledger.jsonl", "heads.jsonl", "cosignatures.jsonl", "keys.json")
UNREAD = {"README.txt", "log.vkey", "policy.tlog"}
_TIME = re.compile(rb'"time":"([0-9TZ:.-]+)"')


class Bundle(NamedTuple):
    """An export, and what the auditor has from elsewhere."""

    files: Files
    key: Path
    head: str
    policy: Policy
    policy_file: Path
    scratch: Path
    other: Files
    """The export of another log, with the same names."""


def attested(shop: Workshop, kind: str, subject: str, predicate_type: str, *, by: tuple[str, str]) -> None:
    """Tell an event with a statement of this type about all that it says; `by` is a key and whose it is."""
    key, principal = by
    told: dict[str, Json] = {"about": subject, "name": "x"}
    about = (subject, digest(told).removeprefix("sha256:"))
    attestation = shop.attest(key, predicate_type, about, told, principal=principal)
    shop.tell(kind, subject, principal, {**told, "attestation": attestation})


def worked(folder: Path) -> Workshop:
    """Make a log with two heads in which there is a statement of every type."""
    shop = Workshop(folder).begin()
    shop.approval()
    shop.evidence().head()
    shop.run()
    shop.checkpoint("agent-PlanAgent", role="planner")
    shop.checkpoint()
    shop.outcome()
    attested(shop, "role.changed", "planner", ROLE_CHANGE, by=ALICE)
    attested(shop, "pipeline.definition_accepted", "nightly", PIPELINE_ACCEPTANCE, by=ALICE)
    attested(shop, "self_heal.reported", "p_1", SELF_HEAL_REPORT, by=("service", "service:worker@test"))
    shop.evidence().head()
    return shop


def read(folder: Path) -> Files:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    own = tmp_path_factory.mktemp("auditor")
    shop = worked(tmp_path_factory.mktemp("log"))
    witness = WitnessSigner("witness.example", load_private(shop.keys / "service.key"))
    policy = f"witness w {witness.public().vkey()}\nquorum w\n".encode()
    last = shop.log.signed[-1].note
    shop.evidence().add_cosignatures(
        witness.cosign(last.partition("\n\n")[0] + "\n", NOON // 1000) + "\n", parse_policy(policy)
    )
    shop.evidence().export(shop.out)
    (shop.out / "policy.tlog").write_bytes(policy)
    other = worked(tmp_path_factory.mktemp("other"))
    other.evidence().export(other.out)
    (own / "log.vkey").write_bytes((shop.out / "log.vkey").read_bytes().splitlines(keepends=True)[0])
    (own / "policy.tlog").write_bytes(policy)
    (own / "head").write_text(last, encoding="utf-8")
    return Bundle(
        read(shop.out), own / "log.vkey", last, parse_policy(policy), own / "policy.tlog", own / "copy", read(other.out)
    )


# --- what is done to it -----------------------------------------------------------------------------------------------


def put(bundle: Bundle, files: Mapping[str, bytes]) -> Path:
    """Lay the files out; only what differs from the last time is written."""
    folder = bundle.scratch
    there = read(folder) if folder.exists() else {}
    for name in there.keys() - files.keys():
        (folder / name).unlink()
    for name, data in files.items():
        if there.get(name) != data:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
    return folder


def verdict(bundle: Bundle, files: Mapping[str, bytes]) -> int:
    """Return the exit code that an auditor would see; anything but an `EvidenceError` is not caught."""
    folder = put(bundle, files)
    try:
        verify_export(
            folder / "ledger.jsonl",
            folder / "heads.jsonl",
            load_verifiers(bundle.key),
            since=[bundle.head],
            policy=bundle.policy,
        )
    except EvidenceError as error:
        return error.exit_code
    return 0


def is_covered(before: Files, after: Files) -> bool:
    """Say by the list above whether what was done has to be found."""
    if "heads.jsonl" not in after or any(after.get(name) != data for name, data in before.items() if _is_exact(name)):
        return True
    if after.get("keys.json", before["keys.json"]) != before["keys.json"]:
        return True
    cosigned = after.get("cosignatures.jsonl", b"")
    if set(cosigned.splitlines(keepends=True)) != set(before["cosignatures.jsonl"].splitlines(keepends=True)):
        return True
    heads, known = (list(_heads(files["heads.jsonl"])) for files in (after, before))
    if None in heads or not set(heads) <= set(known):
        return True
    places = [known.index(each) for each in heads]
    return places != sorted(places)


def _is_exact(name: str) -> bool:
    return name == "ledger.jsonl" or name.startswith("envelopes/")


def _heads(data: bytes) -> Iterator[bytes | None]:
    """Yield each head's line without its time; None for one whose time is none."""
    for line in data.splitlines(keepends=True):
        found = _TIME.search(line)
        try:
            from_text(found[1].decode()) if found else None
        except ValueError:
            yield None
            continue
        yield _TIME.sub(b"", line)


def hold(bundle: Bundle, after: Files) -> None:
    """Verify, and compare with the list."""
    code = verdict(bundle, after)
    if is_covered(bundle.files, after):
        assert code in range(10, 35), sorted(name for name in bundle.files if after.get(name) != bundle.files[name])
    else:
        assert code == 0, code


Way = Callable[[bytes, int, int, bytes], bytes]
WAYS: Mapping[str, Way] = {
    "flip": lambda data, at, more, _new: data[:at] + bytes([data[at] ^ (1 << more % 8)]) + data[at + 1 :],
    "delete": lambda data, at, more, _new: data[:at] + data[at + 1 + more % 3 :],
    "insert": lambda data, at, _more, new: data[:at] + new + data[at:],
    "end": lambda data, at, _more, _new: data[:at],
    "repeat": lambda data, at, _more, _new: data[:at] + data[at // 2 :],
    "line gone": lambda data, at, _more, _new: _on_lines(data, at, lambda lines, n: [*lines[:n], *lines[n + 1 :]]),
    "line twice": lambda data, at, _more, _new: _on_lines(
        data, at, lambda lines, n: [*lines[:n], lines[n], *lines[n:]]
    ),
    "line swapped": lambda data, at, _more, _new: _on_lines(
        data, at, lambda lines, n: [*lines[:n], *lines[n + 1 : n + 2], lines[n], *lines[n + 2 :]]
    ),
    "other ends": lambda data, _at, _more, _new: data.replace(b"\n", b"\r\n"),
    "spelt otherwise": lambda data, _at, _more, _new: data.replace(b",", b", ", 1),
}


def _on_lines(data: bytes, at: int, change: Callable[[list[bytes], int], list[bytes]]) -> bytes:
    lines = data.splitlines(keepends=True)
    return b"".join(change(lines, data.count(b"\n", 0, at) % len(lines)))


def test_the_export_holds_a_statement_of_every_type_and_verifies(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    told = [json.loads(line)["signed_operation"] for line in bundle.files["ledger.jsonl"].splitlines()]
    assert {each["predicate_type"] for each in told if each} == set(ALLOWED)
    assert sum(name.startswith("envelopes/") for name in bundle.files) == sum(each is not None for each in told)
    assert verdict(bundle, bundle.files) == 0
    assert main([*asked(bundle, bundle.files)]) == 0
    assert "cosigned by w" in capsys.readouterr().out


def asked(bundle: Bundle, files: Files) -> list[str]:
    folder, own = put(bundle, files), bundle.key.parent
    words = ["--key", str(bundle.key), "--policy", str(bundle.policy_file), "--since", str(own / "head")]
    return ["evidence", "verify", "--dir", str(folder), *words]


def test_the_command_says_so_by_its_exit_code_for_every_file_that_is_gone_or_anothers(bundle: Bundle) -> None:
    for name in bundle.files:
        gone = {other: data for other, data in bundle.files.items() if other != name}
        another = {
            **gone,
            name: next(data for other, data in bundle.other.items() if _alike(name, other, data, bundle)),
        }
        for after in (gone, another):
            code = main(asked(bundle, after))
            assert (code >= 10) if is_covered(bundle.files, after) else (code == 0), (name, code)


def _alike(name: str, other: str, data: bytes, bundle: Bundle) -> bool:
    """Say whether a file of another log's export could stand in one's place."""
    if name.startswith("envelopes/"):
        return other.startswith("envelopes/") and data != bundle.files[name]
    return name in {other, "policy.tlog"}


@effort(400)
@given(st.data())
@pytest.mark.proves("evidence-tamper")
def test_nothing_that_is_done_to_a_file_goes_unseen_but_what_is_listed(bundle: Bundle, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([*CHAINED * 4, *sorted(bundle.files)]))
    way = WAYS[data.draw(st.sampled_from(sorted(WAYS)))]
    before = bundle.files[name]
    at = data.draw(st.integers(0, len(before) - 1))
    new = data.draw(st.sampled_from([b"\0", b" ", b"\n", b"{}\n", b"0", b"\xff"]) | st.binary(min_size=1, max_size=4))
    hold(bundle, {**bundle.files, name: way(before, at, data.draw(st.integers(0, 7)), new)})


@effort(60)
@given(st.data())
def test_no_two_files_change_places_unseen(bundle: Bundle, data: st.DataObject) -> None:
    one, two = data.draw(st.lists(st.sampled_from(sorted(bundle.files)), min_size=2, max_size=2, unique=True))
    hold(bundle, {**bundle.files, one: bundle.files[two], two: bundle.files[one]})


@pytest.mark.parametrize("name", ["heads.jsonl", "cosignatures.jsonl"])
def test_no_character_of_a_signature_is_another_unseen(bundle: Bundle, name: str) -> None:
    whole = bundle.files[name]
    for at in range(0, len(whole), max(1, 7 // FACTOR)):
        other = b"A" if whole[at : at + 1] != b"A" else b"B"
        hold(bundle, {**bundle.files, name: whole[:at] + other + whole[at + 1 :]})


@pytest.mark.parametrize("name", ["ledger.jsonl", "heads.jsonl", "cosignatures.jsonl"])
def test_nothing_is_done_to_any_line_unseen(bundle: Bundle, name: str) -> None:
    whole = bundle.files[name]
    ends = [0, *(at + 1 for at, byte in enumerate(whole) if byte == 10)]
    for start in ends[:-1]:
        for way in ("line gone", "line twice", "line swapped"):
            hold(bundle, {**bundle.files, name: WAYS[way](whole, start, 0, b"")})
    for end in ends:
        cut, newline, blank = whole[:end], whole[: end - 1] + whole[end:], whole[:end] + b"\n" + whole[end:]
        for after in (cut, *([newline] if end else []), blank):
            hold(bundle, {**bundle.files, name: after})


@pytest.mark.proves("evidence-tamper")
def test_what_is_not_covered_is_just_what_is_listed(bundle: Bundle) -> None:
    for name in UNREAD:
        assert verdict(bundle, {**bundle.files, name: b"anything"}) == 0, name
    assert verdict(bundle, {name: data for name, data in bundle.files.items() if name != "keys.json"}) == 0
    assert verdict(bundle, {**bundle.files, "besides.json": b"{}"}) == 0
    later = _TIME.sub(b'"time":"2026-01-01T00:00:00.000Z"', bundle.files["heads.jsonl"])
    assert verdict(bundle, {**bundle.files, "heads.jsonl": later}) == 0
    assert verdict(bundle, {**bundle.files, "heads.jsonl": b""}) == 0


def test_the_name_of_another_log_in_the_list_of_keys_is_seen(bundle: Bundle) -> None:
    named = json.loads(bundle.files["keys.json"])["origin"].encode()
    after = bundle.files["keys.json"].replace(b'"origin": "' + named, b'"origin": "elsewhere.example')
    assert after != bundle.files["keys.json"]
    assert verdict(bundle, {**bundle.files, "keys.json": after}) == 14
