"""What somebody could do to the evidence, each caught by its own exit code of `interlock evidence verify`."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from attested_samples import ALICE, Workshop
from evidence_samples import ORIGIN, leaf

from interlock.app import Interlock
from interlock.cli.main import main
from interlock.evidence import publish
from interlock.evidence.head import render_head, sign_head
from interlock.evidence.keys import create_key, load_verifiers
from interlock.evidence.ledger import render_line
from interlock.evidence.models import SignedHead, TreeHead
from interlock.evidence.policy import read_policy
from interlock.evidence.tree import leaf_hash, root_of
from interlock.evidence.witness import Witness, load_witness, make_witness
from interlock.founding import create_workspace

Damage = Callable[[Path, Workshop], None]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A bundle with keys, statements of every sort, and two heads."""
    shop = Workshop(tmp_path_factory.mktemp("bundle")).begin()
    shop.approval()
    shop.evidence().head()
    shop.run()
    shop.checkpoint("agent-PlanAgent", role="planner")
    shop.checkpoint()
    shop.outcome()
    shop.export()
    return shop


@pytest.fixture
def bundle(made: Workshop, tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    shutil.copytree(made.out, folder)
    return folder


@pytest.fixture
def shop(made: Workshop, tmp_path: Path) -> Workshop:
    """The same log and keys, to go on with."""
    shutil.copytree(made.folder, tmp_path / "shop")
    again = Workshop(tmp_path / "shop")
    again.log.data, again.log.signed = list(made.log.data), list(made.log.signed)
    again.log.envelopes = dict(made.log.envelopes)
    return again


def verdict(folder: Path, *more: str) -> int:
    return main(["evidence", "verify", "--dir", str(folder), *more])


def lines(folder: Path) -> list[bytes]:
    return (folder / "ledger.jsonl").read_bytes().splitlines(keepends=True)


def write(folder: Path, new: list[bytes]) -> None:
    (folder / "ledger.jsonl").write_bytes(b"".join(new))


def envelope_of(folder: Path, kind: str) -> Path:
    found = next(each for line in lines(folder) if (each := json.loads(line))["event"]["kind"] == kind)
    return folder / "envelopes" / f"{found['signed_operation']['digest'].removeprefix('sha256:')}.json"


def rehearsed(leaves: list[bytes]) -> list[bytes]:
    return [render_line(index, data) for index, data in enumerate(leaves)]


def payload_edited(folder: Path, _: Workshop) -> None:
    write(folder, [line.replace(b'"number":0', b'"number":9') for line in lines(folder)])


def projection_edited(folder: Path, _: Workshop) -> None:
    told = lines(folder)
    write(folder, [*told[:2], told[2].replace(b',"kind":"key.added","leaf', b',"kind":"key.moved","leaf'), *told[3:]])


def line_dropped(folder: Path, _: Workshop) -> None:
    told = lines(folder)
    write(folder, [*told[:7], *told[8:]])


def lines_swapped(folder: Path, _: Workshop) -> None:
    told = lines(folder)
    write(folder, [*told[:6], told[7], told[6], *told[8:]])


def tail_cut(folder: Path, _: Workshop) -> None:
    write(folder, lines(folder)[:-2])


def last_line_torn(folder: Path, _: Workshop) -> None:
    told = lines(folder)
    write(folder, [*told[:-1], told[-1][:-20]])


def rewritten_at_the_same_length(folder: Path, shop: Workshop) -> None:
    """Whoever holds no key can mend every hash, and no signature."""
    data = list(shop.log.data)
    data[0] = leaf(0, principal="service:walker@host")
    write(folder, rehearsed(data))


def head_forked(folder: Path, shop: Workshop) -> None:
    head = shop.log.signed[-1]
    note = sign_head(TreeHead(ORIGIN, head.size, bytes(32)), shop.signer("log"))
    with (folder / "heads.jsonl").open("ab") as file:
        file.write(render_head(SignedHead(size=head.size, root=bytes(32), at=head.at, note=note)))


def head_by_a_stranger(folder: Path, shop: Workshop) -> None:
    head = shop.log.signed[-1]
    note = sign_head(TreeHead(ORIGIN, head.size, head.root), create_key(shop.folder / "x" / "log.key", ORIGIN))
    (folder / "heads.jsonl").write_bytes(render_head(SignedHead(size=head.size, root=head.root, at=head.at, note=note)))


def envelope_missing(folder: Path, _: Workshop) -> None:
    envelope_of(folder, "draft.approved").unlink()


def envelope_edited(folder: Path, _: Workshop) -> None:
    path = envelope_of(folder, "draft.approved")
    path.write_bytes(path.read_bytes().replace(b'"payloadType"', b'"payloadTypo"'))


def keys_edited(folder: Path, _: Workshop) -> None:
    path = folder / "keys.json"
    path.write_bytes(path.read_bytes().replace(b'"planner"', b'"verifier"'))


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (payload_edited, 13),
        (projection_edited, 14),
        (keys_edited, 14),
        (line_dropped, 12),
        (lines_swapped, 12),
        (tail_cut, 17),
        (last_line_torn, 11),
        (rewritten_at_the_same_length, 16),
        (head_forked, 18),
        (head_by_a_stranger, 15),
        (envelope_missing, 22),
        (envelope_edited, 24),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_damage_to_a_bundle_has_an_exit_code_of_its_own(
    bundle: Path, made: Workshop, damage: Damage, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verdict(bundle) == 0, capsys.readouterr().err
    damage(bundle, made)
    assert verdict(bundle) == code, capsys.readouterr().err


def wrong_role(shop: Workshop) -> None:
    shop.checkpoint("agent-PlanAgent")


def revoked(shop: Workshop) -> None:
    shop.keyring.revoke(ALICE, "agent-ReviewAgent", reason="stolen", from_index=1)


def replayed_from_another_run(shop: Workshop) -> None:
    shop.checkpoint(pipeline="p_0")


def replayed_in_another_run(shop: Workshop) -> None:
    """The very envelope of an earlier run under an entry of a later one."""
    told = next(data for data in shop.log.data if b'"kind":"pipeline.state.checkpoint_passed"' in data)
    shop.log.data.append(told.replace(b'"subject":"p_1"', b'"subject":"p_2"'))


def unknown_key(shop: Workshop) -> None:
    shop.approval(create_key(shop.folder / "x" / "human-alice.key", "interlock/human-alice"))


@pytest.mark.parametrize(
    ("deed", "code"),
    [
        (wrong_role, 25),
        (revoked, 26),
        (replayed_from_another_run, 27),
        (replayed_in_another_run, 27),
        (unknown_key, 24),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_what_a_writer_of_the_log_can_not_say_has_an_exit_code_of_its_own(
    shop: Workshop, deed: Callable[[Workshop], None], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    deed(shop)
    assert verdict(shop.export()) == code, capsys.readouterr().err


def test_an_approval_that_the_service_signed_fails_only_where_a_persons_own_is_demanded(shop: Workshop) -> None:
    shop.approval("service", "service_on_behalf", principal="human:bob")
    assert verdict(shop.export()) == 0
    assert verdict(shop.export(), "--signed-by", "principal") == 33
    assert verdict(shop.export(), "--signed-by", "nobody") == 2


def shorter(shop: Workshop) -> Path:
    """Whoever holds the log's key makes a whole, shorter log and signs that."""
    other = Workshop(shop.folder)
    other.log.data = list(shop.log.data[:-3])
    other.log.envelopes = shop.log.envelopes
    return other.export()


def rewritten(shop: Workshop) -> Path:
    """The same with a log of the same length."""
    other = Workshop(shop.folder)
    other.log.data = [*shop.log.data[:-1], leaf(77)]
    other.log.envelopes = shop.log.envelopes
    return other.export()


@pytest.mark.parametrize("forge", [shorter, rewritten])
def test_a_log_that_its_key_holder_replaced_is_seen_by_a_saved_head_alone(
    shop: Workshop, tmp_path: Path, forge: Callable[[Workshop], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "saved.txt"
    saved.write_text(shop.log.signed[-1].note)
    assert verdict(shop.export(), "--since", str(saved)) == 0
    folder = forge(shop)
    assert verdict(folder) == 0, "without a saved head nothing shows it, and the caveat says so"
    assert "no saved head was given" in capsys.readouterr().out
    assert verdict(folder, "--since", str(saved)) == 19


@pytest.mark.parametrize("forge", [shorter, rewritten])
def test_a_log_that_its_key_holder_replaced_is_seen_where_a_witness_is_demanded(
    shop: Workshop, tmp_path: Path, forge: Callable[[Workshop], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "witness" / "witness.key"
    vkey = make_witness(key, "witness.example/w1").vkey()
    policy = tmp_path / "policy.tlog"
    policy.write_text(f"witness w1 {vkey}\nquorum w1\n")
    witness = Witness(
        signer=load_witness(key), logs=load_verifiers(shop.out / "log.vkey"), state=tmp_path / "state.json"
    )
    room = shop.evidence()
    room.head()
    assert verdict(shop.export(), "--policy", str(policy)) == 28
    line = witness.cosign(room.witness_request(), 1_795_262_400)
    assert room.add_cosignatures(line, read_policy(policy)) == ["w1"]
    assert verdict(shop.export(), "--policy", str(policy)) == 0
    capsys.readouterr()
    folder = forge(shop)
    assert verdict(folder, "--policy", str(policy)) == 28


# --- writers ----------------------------------------------------------------------------------------------------------

_APPEND = """
import sys
from pathlib import Path
from interlock.access.models import Actor, Principal
from interlock.app import Interlock
from interlock.workspace.events import WindowCompleted

house = Interlock.at(Path(sys.argv[1]))
actor = Actor(principal=Principal.parse("service:" + sys.argv[2]))
print("ready", flush=True)
sys.stdin.readline()
for turn in range(500):
    if turn == 250:
        print("half", flush=True)
        sys.stdin.readline()
    with house.database.write(actor) as transaction:
        for number in range(10):
            transaction.emit(WindowCompleted(subject=sys.argv[2], entries=turn * 10 + number))
house.close()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    create_workspace(tmp_path / "w", ALICE, database_url="", replace=False)
    return tmp_path / "w"


def settled(root: Path) -> Interlock:
    """Bring the files up to the log, sign, and return the house."""
    house = Interlock.at(root)
    house.database.seal()
    house.evidence.head()
    assert house.catch_up(ALICE) == ()
    return house


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_two_processes_append_ten_thousand_events_at_once_and_the_log_is_one(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    root, url = tmp_path / "w", request.getfixturevalue("postgres_url") if kind == "postgres" else ""
    create_workspace(root, ALICE, database_url=url, replace=False)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _APPEND, str(root), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for name in ("one", "two")
    ]
    for said in (b"ready\n", b"half\n"):  # neither begins its second half before the other has written its first
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == said
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write(b"\n")
            writer.stdin.flush()
    for writer in writers:
        for pipe in (writer.stdin, writer.stdout):
            assert pipe is not None
            pipe.close()
    assert [writer.wait(110) for writer in writers] == [0, 0]
    with closing(settled(root)) as house:
        told = [json.loads(data) for data in house.event_log.leaves(0, house.event_log.size())]
        subjects = [each["subject"] for each in told if each["subject"] in {"one", "two"}]
        assert subjects != sorted(subjects), "neither waited for the other"
        assert subjects != sorted(subjects, reverse=True)
        for name in ("one", "two"):
            mine = [each["payload"]["entries"] for each in told if each["subject"] == name]
            assert mine == list(range(5000))
    assert main(["--workspace", str(root), "evidence", "verify"]) == 0


_DOOMED = """
import os, signal, sys
from pathlib import Path
from interlock.access.models import Actor, Principal
from interlock.app import Interlock

left = int(sys.argv[2])

def doomed(real):
    def call(*given, **named):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given, **named)
    return call

house = Interlock.at(Path(sys.argv[1]))
actor = Actor(principal=Principal.parse("human:alice"))
draft = house.approval.create(actor, "do it")
for name in ("fsync", "pwrite", "ftruncate", "replace", "rename", "link", "unlink"):
    setattr(os, name, doomed(getattr(os, name)))
house.approval.approve(actor, draft.id)
house.evidence.head()
house.catch_up(actor)
house.keyring.rotate(actor, "log")
house.evidence.head()
house.catch_up(actor)
os._exit(7)
"""


@pytest.mark.timeout(300)
def test_a_writer_killed_between_any_two_writes_leaves_a_log_that_verifies(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended, turn = -signal.SIGKILL, 0
    while ended == -signal.SIGKILL:
        turn += 1
        ended = subprocess.run([sys.executable, "-c", _DOOMED, str(root), str(turn)], check=False).returncode
        settled(root).close()
        assert main(["--workspace", str(root), "evidence", "verify"]) == 0, capsys.readouterr().err
        assert main(["--workspace", str(root), "windows", "verify"]) == 0, capsys.readouterr()
    assert ended == 7
    assert turn > 20


@pytest.mark.parametrize("name", ["pwrite", "fsync"])
def test_a_full_disk_leaves_a_log_that_the_next_call_completes(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with closing(settled(root)) as house:
        draft = house.approval.create(ALICE, "do it")
        house.approval.approve(ALICE, draft.id)
        real = getattr(os, name)

        def full(descriptor: int, *rest: object) -> object:
            if name == "pwrite":
                data, offset = rest
                if isinstance(data, bytes) and len(data) > 100:
                    return real(descriptor, data[:100], offset)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patched:
            patched.setattr(os, name, full)
            with pytest.raises(OSError, match="No space left"):
                house.windows.catch_up(ALICE)
    settled(root).close()
    assert main(["--workspace", str(root), "evidence", "verify"]) == 0


def test_an_export_to_a_full_disk_leaves_the_one_before(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shop.export()
    shop.approval()
    shop.evidence().head()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(publish.os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            shop.evidence().export(folder)
    assert verdict(folder) == 0, capsys.readouterr().err
    assert not list(folder.rglob("*.tmp"))


def test_a_root_is_over_every_leaf(made: Workshop) -> None:
    assert root_of([leaf_hash(data) for data in made.log.data]) == made.log.signed[-1].root
