"""What is written is read as what it was: one table of every pair, and a guard that no pair stays outside of it."""

# Some of a room's own files are written and read by nobody outside of it; what a row of the table draws is of no one
# type.
# pyright: reportPrivateUsage=false, reportUnknownLambdaType=false
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

import interlock
from interlock import settings as settings_room
from interlock.access import tokens
from interlock.access.models import Principal, PrincipalKind
from interlock.approval.models import Limits, Rung, Work
from interlock.evidence import consistency, cosignature, head, note, proof, witness
from interlock.evidence.ledger import read_leaf
from interlock.evidence.models import Cosignature, TreeHead
from interlock.evidence.tree import Frontier
from interlock.fleet.models import Facts, Leader, Node, NodeState, Process, Published
from interlock.fleet.shown import show_leader, show_node, show_published
from interlock.kernel.canonical import canonical
from interlock.kernel.clock import to_text
from interlock.kernel.ids import UlidSource, checked, with_prefix
from interlock.loops import files, polling
from interlock.loops.models import seconds_of, stamp
from interlock.loops.places import LoopPlaces
from interlock.pipelines import documents, gateway
from interlock.pipelines.models import Artefact, Checkpoint, Deployment, Health, JobState, Pipeline, StageState
from interlock.pipelines.rendering import STREAMS, Projection, Sample, States, Tail
from interlock.providers import merging
from interlock.providers.models import ProviderConfig, ProviderEntry, ProviderType
from interlock.queue.exchange import as_row, hand_row
from interlock.queue.markdown import COLUMNS, NOBODY, cell, parse, rendered
from interlock.queue.models import HandRow, Item, ItemStatus
from interlock.queue.words import instant
from interlock.remote.fleet import read_leader, read_node, read_published
from interlock.remote.truth import read_truth
from interlock.runs import wire
from interlock.runs.agents.sessions import _read as read_session
from interlock.runs.agents.sessions import keep_session
from interlock.runs.models import Claim, Run
from interlock.runs.truth import Truth
from interlock.runs.truth_shown import show_truth
from interlock.storage.database import kst
from tests.fuzz.effort import effort
from tests.remote.test_shapes import MS, NAME, OBJECT, STEPS, TEXT, WHOLE, approved_records, wired

SOURCE = Path(interlock.__file__).parent
ROOT = SOURCE.parents[1]


class Codec(NamedTuple):
    """One pair."""

    readers: str
    """`module:function` of what reads, below `interlock`; several are divided by a space."""
    values: st.SearchStrategy[Any]
    around: Callable[[Any], Any]
    """Writes a value and reads it back."""
    seen: Callable[[Any], Any] = lambda value: value
    """What of a value has to come back; as a rule all of it."""


HASH = st.binary(min_size=32, max_size=32)
PATH = st.lists(HASH, max_size=5).map(tuple)
HEAD = head.sign_head(
    TreeHead("log.example", 3, b"\2" * 32), note.Signer("log.example", Ed25519PrivateKey.from_private_bytes(b"\1" * 32))
)
LABEL = st.from_regex(r"[a-z0-9][a-z0-9._/-]{0,9}(=[A-Za-z0-9]{1,5})?", fullmatch=True)
WORD = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
COMMAND = st.lists(TEXT, min_size=1).map(tuple)
LIMITS = st.builds(
    Limits,
    wall_clock_seconds=st.integers(1, 10**6),
    check_seconds=st.integers(1, 10**6),
    **{name: st.integers(1, 2**53 - 1) for name in ("output_bytes", "disk_bytes", "patch_bytes")},
    **{name: st.integers(0, 2**53 - 1) for name in ("tokens", "cost_microusd")},
)
COMMON: dict[str, Any] = {
    "repository": st.none() | TEXT,
    "base_ref": st.none() | TEXT,
    "checks": st.lists(COMMAND).map(tuple),
    "environment": st.lists(st.from_regex(r"[A-H][A-Z_]{0,9}", fullmatch=True), unique=True).map(
        lambda names: tuple(sorted(names))
    ),
    "network": st.booleans(),
    "limits": LIMITS,
    "agent": st.sampled_from(["command", "claude_code"]),
    "needs": st.lists(LABEL, unique=True).map(lambda labels: tuple(sorted(labels))),
    "rung": st.none() | st.sampled_from([each.value for each in Rung]),
}
WORKS = st.builds(Work, command=COMMAND, **COMMON) | st.builds(
    Work,
    command=st.none(),
    model=st.none() | st.just("m-1"),
    tools=st.lists(st.just("Bash(git *)")).map(tuple),
    **COMMON,
)
RUNS = st.builds(Run, result=st.none() | OBJECT)
STRINGS = st.lists(TEXT, max_size=3).map(tuple)
ITEMS = st.builds(Item, needs=STRINGS)
KST = st.integers(0, 253_402_300_799 // 60 - 600).map(lambda minutes: kst(minutes * 60_000))
STORED = st.builds(
    Item,
    **dict.fromkeys(("id", "priority", "task", "success_criteria", "notes", "owner_session"), TEXT),
    **dict.fromkeys(("due_at_kst", "started_at_kst"), TEXT | KST),
)
CLAIMS = st.builds(
    Claim,
    item=ITEMS,
    run=RUNS,
    approved=approved_records(),
    steps=st.lists(STEPS, max_size=3, unique_by=lambda step: step.name).map(
        lambda steps: {step.name: step for step in steps}
    ),
)
PIPELINES = st.builds(
    Pipeline,
    stages=st.lists(st.builds(StageState), max_size=2).map(tuple),
    jobs=st.lists(
        st.builds(JobState, notes=STRINGS, artefacts=st.lists(st.builds(Artefact), max_size=2).map(tuple)), max_size=2
    ).map(tuple),
    checkpoints=st.lists(st.builds(Checkpoint), max_size=2).map(tuple),
    scans=st.lists(OBJECT, max_size=2).map(tuple),
)
MILLI = st.integers(0, 10**9)
DEPLOYMENTS = st.builds(
    Deployment,
    health=st.builds(Health, error_rate_milli=MILLI, cpu_usage_milli=MILLI, memory_usage_milli=MILLI),
)
NODES = st.builds(
    Node,
    facts=st.builds(Facts, boot_id=st.just(""), capabilities=STRINGS, labels=STRINGS),
    state=st.sampled_from(NodeState),
    beat=st.just(0),
    **dict.fromkeys(("since_ms", "joined_ms", "heartbeat_ms"), MS),
    **dict.fromkeys(("left_ms", "lost_ms"), st.none() | MS),
)
LEADERS = st.builds(
    Leader,
    process=st.builds(Process, boot_id=st.just(""), pid=st.just(0), start_time=st.just(0)),
    expires_ms=st.just(0),
)
PROVIDERS = st.dictionaries(
    NAME.filter(lambda name: name[0] != "_" and not set(name) & set("@:+")),
    st.builds(
        ProviderEntry,
        type=st.sampled_from(ProviderType),
        model=st.just("m-1"),
        base_url=st.none() | st.just("https://x.example/v1"),
        api_key=st.none() | st.just("${A_KEY}") | st.from_regex(r"sk-[A-Za-z0-9]{20}", fullmatch=True),
    ),
    min_size=1,
    max_size=3,
).flatmap(lambda found: st.builds(ProviderConfig, active=st.sampled_from(sorted(found)), providers=st.just(found)))
COUNT = st.integers(0, 2**53)
TAILS = st.builds(Tail, entries=COUNT, size_bytes=COUNT)
PROJECTIONS = st.builds(
    Projection,
    next_index=st.integers(1, 2**53),
    tree=PATH.map(lambda peaks: Frontier((1 << len(peaks)) - 1, peaks)),
    last_leaf=TEXT,
    tails=st.fixed_dictionaries(dict.fromkeys(STREAMS, TAILS)),
    last_index=st.none() | COUNT,
    root=st.none() | TEXT,
    samples=st.lists(st.builds(Sample, COUNT, st.none() | COUNT, st.none() | COUNT), max_size=2),
    named_ms=st.dictionaries(TEXT, COUNT, max_size=2),
    load=st.just(States),
)
EVENTS = st.fixed_dictionaries(
    {
        **dict.fromkeys(("kind", "principal", "subject"), TEXT),
        **dict.fromkeys(("correlation_id", "key"), st.none() | TEXT),
        "payload": OBJECT,
        "time": MS.map(to_text),
        "version": WHOLE,
    }
)
CLAIMED = st.builds(
    gateway.Claims,
    fs_scopes=STRINGS,
    network_scopes=STRINGS,
    client_id=TEXT,
    **dict.fromkeys(("rate_limit_per_minute", "issued_at", "expires_at"), WHOLE),
)
TABLE = "|" + "|".join(COLUMNS) + "|\n" + "|---" * len(COLUMNS) + "|\n"
CELL = WORD.map(cell)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            **dict.fromkeys(COLUMNS, CELL),
            "id": st.from_regex(r"[A-Z]{1,3}-[0-9]{1,4}", fullmatch=True),
            "status": st.sampled_from([each.value for each in ItemStatus]),
            "priority": st.sampled_from(["P0", "P1", "P2"]),
        }
    ),
    max_size=4,
    unique_by=lambda row: row["id"],
)
FOLLOWED = st.tuples(st.integers(1, 10**9), st.text(st.characters(exclude_categories=["Cs"])))


def _row_of(told: Item | HandRow) -> tuple[Any, ...]:
    """Return what both an item and a row of a queue say, as a cell can hold it, and the instant that it began."""
    words = (told.id, told.status.value, told.priority, told.task, told.success_criteria, told.notes)
    began = cell(told.started_at_kst)
    started_ms = told.started_ms if isinstance(told, HandRow) else instant(began)
    perhaps = [cell(each) or NOBODY for each in (told.owner_session, began, told.due_at_kst)]
    return (*(cell(each) for each in words), *perhaps, started_ms)


def _session(folder: Path) -> Callable[[Any], Any]:
    def around(told: tuple[str, str, int]) -> Any:  # noqa: ANN401 - a session's parts
        keep_session(folder, told[0], Path(told[1]), told[2])
        found = read_session(folder)
        assert found is not None
        return found.session_id, str(found.place), found.generation

    return around


def _loop_cursor(folder: Path) -> Callable[[Any], Any]:
    places = LoopPlaces(str(folder), "docs")

    def around(offset: int) -> int:
        path = folder / "cursor.json"
        path.write_bytes(files.bytes_of(polling.cursor(places, offset, offset, 0)))
        return polling.read_cursor(str(path))

    return around


def _followed(folder: Path) -> Callable[[Any], Any]:
    (folder / ".interlock").mkdir()

    def around(told: tuple[int, str]) -> tuple[int, str]:
        version, body = told
        digest = settings_room.sha256(body.encode()).hexdigest()
        followed = settings_room.Followed(version=version, digest=f"sha256:{digest}", body=body)
        name, data = settings_room.followed_file(followed)
        (folder / ".interlock" / name).write_bytes(data)
        assert settings_room.load_followed(folder) == followed
        return version, body

    return around


def _cosigned(folder: Path) -> Callable[[Any], Any]:
    def around(told: list[tuple[int, str]]) -> Any:  # noqa: ANN401 - lines
        path = folder / "cosignatures.jsonl"
        path.write_bytes(b"".join(cosignature.render_cosignature(Cosignature(*each)) for each in told))
        return [
            (size, line)
            for size in sorted({size for size, _ in told})
            for line in cosignature.read_cosignatures(path, size)
        ]

    return around


def _projection(told: Projection) -> Projection:
    return Projection.from_json(json.loads(json.dumps(told.to_json())), States)


CODECS: tuple[Codec, ...] = (
    Codec(
        "approval.models:Work.from_json",
        WORKS,
        lambda work: Work.from_json(wired({**work.to_json(), "base_ref": work.base_ref})),
    ),
    Codec(
        "access.models:Principal.parse",
        st.builds(Principal, st.sampled_from(PrincipalKind), NAME),
        lambda who: Principal.parse(str(who)),
    ),
    Codec(
        "kernel.ids:checked kernel.ids:with_prefix",
        st.from_regex(r"[dar]_[0-7][0-9A-HJKMNP-TV-Z]{25}", fullmatch=True),
        lambda name: with_prefix(checked(with_prefix(checked(name, name[0]), "q"), "q"), name[0]),
    ),
    Codec(
        "evidence.consistency:decode_consistency",
        PATH.map(lambda path: consistency.Consistency(path, HEAD, HEAD)),
        lambda told: consistency.decode_consistency(consistency.encode_consistency(told)),
    ),
    Codec(
        "evidence.consistency:decode_path evidence.witness:read_request",
        st.builds(witness.Request, WHOLE, PATH, st.just(HEAD)),
        lambda told: witness.read_request(witness.render_request(told)),
    ),
    Codec(
        "evidence.cosignature:WitnessKey.parse",
        st.builds(cosignature.WitnessKey, st.just("w.example"), HASH),
        lambda key: cosignature.WitnessKey.parse(key.vkey()),
    ),
    Codec(
        "evidence.tree:Frontier.decode",
        PATH.map(lambda peaks: Frontier((1 << len(peaks)) - 1, peaks)),
        lambda told: Frontier.decode(told.encode()),
    ),
    Codec(
        "evidence.proof:decode_proof",
        st.builds(proof.Proof, WHOLE, PATH, st.just(HEAD), st.binary()),
        lambda told: proof.decode_proof(proof.encode_proof(told)),
    ),
    Codec("remote.fleet:read_node", NODES, lambda node: read_node(wired(show_node(node, 0)))),
    Codec("evidence.ledger:read_leaf", EVENTS, lambda event: read_leaf(canonical(event))),
    Codec("remote.fleet:read_leader", LEADERS, lambda leader: read_leader(wired(show_leader(leader, 0)))),
    Codec(
        "remote.fleet:read_published",
        st.builds(Published, published_ms=MS),
        lambda told: read_published(wired(show_published(told, body=True))),
    ),
    Codec(
        "remote.truth:read_truth",
        st.builds(Truth, details=OBJECT, sign=st.just(""), since_ms=MS, seen_ms=MS),
        lambda truth: read_truth(wired(show_truth(truth.run_id, truth))),
    ),
    Codec("loops.files:parsed", OBJECT, lambda told: files.parsed(files.bytes_of(told, pretty=True))),
    Codec("loops.models:seconds_of", st.integers(0, 200_000_000_000), lambda seconds: seconds_of(stamp(seconds))),
    Codec(
        "pipelines.documents:read_artefact",
        st.builds(Artefact),
        lambda told: documents.read_artefact(wired(documents.show_artefact(told))),
    ),
    Codec(
        "pipelines.documents:read_pipeline",
        PIPELINES,
        lambda told: documents.read_pipeline(wired(documents.show_pipeline(told))),
        documents.show_pipeline,
    ),
    Codec(
        "pipelines.documents:read_deployment",
        DEPLOYMENTS,
        lambda told: documents.read_deployment(wired(documents.show_deployment(told))),
    ),
    Codec("pipelines.rendering:Projection.from_json", PROJECTIONS, _projection, lambda told: told.to_json()),
    Codec(
        "pipelines.gateway:open_token",
        CLAIMED,
        lambda claims: gateway.open_token(gateway.issue(claims, b"s" * 32), b"s" * 32),
    ),
    Codec("providers.merging:parsed", PROVIDERS, lambda config: merging.parsed(merging.as_file(config))),
    Codec(
        "access.tokens:read",
        st.sampled_from(["ilk", "ils"]),
        lambda prefix: (
            (secret := tokens.mint(prefix, UlidSource()())).digest
            == getattr(tokens.read(prefix, secret.text), "digest", None)
            and prefix
        ),
    ),
    Codec(
        "queue.markdown:parse",
        ROWS,
        lambda rows: [
            row.cells for row in parse("Q.md", rendered(parse("Q.md", TABLE.encode()), rows, banner=True)).rows
        ],
    ),
    Codec(
        "queue.exchange:hand_row",
        STORED,
        lambda item: hand_row({name: cell(text) for name, text in as_row(item).items()}, 0),
        _row_of,
    ),
    Codec(
        "queue.words:instant",
        st.integers(0, 253_402_300_799 // 60 - 600),
        lambda minutes: (instant(kst(minutes * 60_000)) or 0) // 60_000,
    ),
    Codec("runs.wire:read_run", RUNS, lambda run: wire.read_run(wired(wire.tell_run(run)))),
    Codec("runs.wire:read_step", STEPS, lambda step: wire.read_step(wired(wire.tell_step(step)))),
    Codec("runs.wire:read_claim", CLAIMS, lambda claim: wire.read_claim(wired(wire.tell_claim(claim)))),
)
IN_FILES: tuple[tuple[str, st.SearchStrategy[Any], Callable[[Path], Callable[[Any], Any]]], ...] = (
    (
        "runs.agents.sessions:_read",
        st.tuples(
            NAME.filter(lambda name: name[0] != "_" and not set(name) & set("@+")), st.just("/a/b"), st.integers(0, 9)
        ),
        _session,
    ),
    ("loops.polling:read_cursor", WHOLE, _loop_cursor),
    ("settings:load_followed", FOLLOWED, _followed),
    (
        "evidence.cosignature:read_cosignatures",
        st.lists(st.tuples(st.integers(0, 3), TEXT), max_size=4).map(
            lambda told: sorted(told, key=lambda each: each[0])
        ),
        _cosigned,
    ),
)

HELD_ELSEWHERE = {
    "kernel.clock:from_text": "tests/kernel/test_clock.py",
    "evidence.head:read_head": "tests/evidence/test_head.py",
    "evidence.head:parse_body": "tests/evidence/test_head.py",
    "evidence.ledger:read_line": "tests/evidence/test_ledger.py",
    "evidence.note:Verifier.parse": "tests/evidence/test_note.py",
    "pipelines.report:rows_of": "tests/pipelines/test_report.py",
    **{
        f"remote.{room}:read_{thing}": "tests/remote/test_shapes.py"
        for room, things in {
            "access": ("panic", "token"),
            "approval": ("approved", "draft"),
            "evidence": ("head", "leaf_of"),
            "providers": ("config", "health"),
            "queue": ("item", "pause"),
            "runs": ("line", "run", "step"),
        }.items()
        for thing in things
    },
}
"""Pairs that have a property of their own, and where."""
NO_PAIR = {
    "pipelines.deployment_definitions:parse_deployment": "what a person writes",
    "pipelines.probes:Threshold.parse": "what a person writes; a Decimal is shown shorter than it may be written",
}
"""Readers of what nobody of us writes, by a name that another thing is written under."""


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.readers)
def test_what_is_written_is_read_as_what_it_was(codec: Codec) -> None:
    @effort(40)
    @given(codec.values)
    def hold(value: object) -> None:
        assert codec.seen(codec.around(value)) == codec.seen(value)

    hold()


@pytest.mark.parametrize(("name", "values", "make"), IN_FILES, ids=[each[0] for each in IN_FILES])
def test_what_is_kept_in_a_file_is_read_as_what_it_was(
    name: str, values: st.SearchStrategy[Any], make: Callable[[Path], Callable[[Any], Any]], tmp_path: Path
) -> None:
    around = make(tmp_path)

    @effort(40)
    @given(values)
    def hold(value: object) -> None:
        assert around(value) == value, name

    hold()


# --- that none is missing ---------------------------------------------------------------------------------------------

WRITES = ("to_", "show_", "tell_", "render_", "encode_")
READS = ("from_", "read_", "parse_", "decode_")
_NAMED = re.compile(r"^(class|def|    def) (\w+)", re.MULTILINE)
METHODS = {"from_json", "from_text", "parse", "decode"}


@cache
def definitions() -> tuple[tuple[str, str], ...]:
    """Return every function and every method of a class: the module below `interlock`, and the name."""
    found: list[tuple[str, str]] = []
    for path in sorted(SOURCE.rglob("*.py")):
        module = ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        holder = ""
        for kind, name in _NAMED.findall(path.read_text(encoding="utf-8")):
            if kind == "class":
                holder = f"{name}."
            else:
                holder = holder if kind.startswith(" ") else ""
                found.append((module, f"{holder}{name}"))
    return tuple(found)


def readers() -> set[str]:
    """Return what reads a thing that something else of ours writes under the same name."""
    found = definitions()
    written = {name.removeprefix(prefix) for _, name in found for prefix in WRITES if name.startswith(prefix)}
    pairs = {
        f"{module}:{name}"
        for module, name in found
        for prefix in READS
        if name.startswith(prefix) and name.removeprefix(prefix) in written
    }
    return pairs | {f"{module}:{name}" for module, name in found if "." in name and name.split(".")[1] in METHODS}


def in_the_table() -> set[str]:
    """Return what the tables of this file hold."""
    return {name for codec in CODECS for name in codec.readers.split()} | {name for name, _, _ in IN_FILES}


@cache
def asked_of_whatever_comes(place: str) -> set[str]:
    """Return what the properties of a file of tests call."""
    tree = ast.parse((ROOT / place).read_text(encoding="utf-8"))
    properties = (
        function
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        and any(isinstance(each, ast.Call) and ast.unparse(each.func) == "given" for each in function.decorator_list)
    )
    return {
        ast.unparse(call.func)
        for function in properties
        for each in function.body
        for call in ast.walk(each)
        if isinstance(call, ast.Call)
    }


def test_every_pair_is_in_the_table_or_held_by_a_property_of_its_own() -> None:
    assert len(readers()) > 30
    assert sorted(readers() - in_the_table() - HELD_ELSEWHERE.keys() - NO_PAIR.keys()) == []


def test_everything_that_is_named_here_is_there() -> None:
    known = {f"{module}:{name}" for module, name in definitions()}
    assert sorted((in_the_table() | HELD_ELSEWHERE.keys()) - known) == []
    assert sorted(NO_PAIR.keys() - readers()) == [], "it excuses nothing"


@pytest.mark.parametrize("name", sorted(HELD_ELSEWHERE))
def test_what_is_held_elsewhere_is_called_by_a_property_there(name: str) -> None:
    assert name.rpartition(":")[2] in asked_of_whatever_comes(HELD_ELSEWHERE[name])
