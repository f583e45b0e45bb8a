"""The evidence files of seed 3: what the log makes of each, byte for byte. Pure.

Nine logs in two copies, `.workspace/indexes/<log>.log` and `storage/db/<log>.log`. A line is compact JSON with sorted
keys; in the seed's shape its parts mean this:

    event.event_type           the seed's word for the event's kind; of `pipeline.*` and `deployment.*` the kind itself
    event.actor, source        the principal
    event.scope, target        the subject; of `deployment.*` as `deployment::<id>`
    event.metadata             the event's payload
    event.timestamp            its time in milliseconds
    policy.record              the same once more, with `kind` and `operation_id`: `op-<leaf index>`
    policy.hash                digest of the record's canonical JSON
    policy.signature           the `reference` of the entry's line in the ledger: the digest of its attestation, else
                               its leaf hash; so each line is joined to its line there
    policy.previous_signature  the one before in the same log, or `GENESIS`
    policy.keyid               of the key that signed the attestation, else null
    previous_hash, entry_hash  chain the log: digest of the canonical JSON of event, policy and previous_hash

The first line of each log is `<log>::genesis`. It stands for the log's first entry, whatever that is, and has its time.

`storage/db/pipelines/state.json` is every pipeline and deployment by id, with the index of the last entry that changed
one and the root of the tree up to it. A snapshot's file name begins with its entry's time in milliseconds, made one
more than the name before where that is not later: so two of the same instant do not take each other's name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from interlock.evidence.ledger import read_leaf
from interlock.evidence.models import LoggedEvent
from interlock.evidence.tree import Frontier, leaf_hash
from interlock.kernel.canonical import Json, JsonObject, canonical, digest
from interlock.kernel.clock import from_text, to_text
from interlock.pipelines.report import HEAD, REPORT_PATH, is_outcome, render_row

if TYPE_CHECKING:  # every command that writes imports this module; few have to do with pipelines
    from interlock.pipelines.fold import Fold
    from interlock.pipelines.models import Fleet

GENESIS: Final = "GENESIS"
LOGS: Final = (
    "relocation",
    "documentation",
    "stage_receipts",
    "task_dispatches",
    "auto_fix_actions",
    "budget_guardian",
    "security_scans",
    "inference_metrics",
    "pipeline_events",
)
STREAMS: Final = (*LOGS, REPORT_PATH)
"""What is only ever appended to: the logs by name, and the report."""
STATE_PATH: Final = "storage/db/pipelines/state.json"
AUTO_FIX: Final = "storage/db/auto_fix"
BUDGET: Final = "storage/db/budget_guardian"
SUMMARY_PATH: Final = f"{BUDGET}/rolling_summary.json"
SNAPSHOTS: Final = {AUTO_FIX: "-auto-fix.json", BUDGET: "-budget.json"}
"""Folders of snapshots, with how the names in them end."""
_SAMPLES: Final = 50
_PERCENTILES: Final = (50, 90, 99)
_KIND: Final = re.compile(
    rb'\{"correlation_id":(?:null|"(?:[^"\\]|\\.)*"),"key":(?:null|"(?:[^"\\]|\\.)*"),"kind":"([^"\\]*)"', re.DOTALL
)


class Place(NamedTuple):
    """Where an event is told, and as what."""

    log: str
    event_type: str
    operation: str


_PLACES: Final[Mapping[str, Place]] = {
    "stage_receipt.issued": Place("stage_receipts", "stage_receipt", "stage_receipt"),
    "task.dispatched": Place("task_dispatches", "task.dispatch", "other"),
    "budget.decided": Place("budget_guardian", "budget.guardian", "other"),
    "auto_fix.planned": Place("auto_fix_actions", "auto_fix.action", "other"),
    "auto_fix.applied": Place("auto_fix_actions", "auto_fix.action", "other"),
    "auto_fix.undone": Place("auto_fix_actions", "auto_fix.action", "other"),
    "security_scan.recorded": Place("security_scans", "security_scan", "security_scan"),
    "document.updated": Place("documentation", "documentation", "document_update"),
    "file.relocated": Place("relocation", "relocation", "file_move"),
    "draft.generated": Place("inference_metrics", "inference.metric", "other"),
}
_SNAPSHOT_OF: Final = {"auto_fix.planned": AUTO_FIX, "auto_fix.applied": AUTO_FIX, "budget.decided": BUDGET}


def paths_of(stream: str) -> tuple[str, ...]:
    """Return the files of a stream, below the workspace."""
    return (stream,) if stream == REPORT_PATH else (f".workspace/indexes/{stream}.log", f"storage/db/{stream}.log")


def kind_of(leaf: bytes) -> str:
    """Return the kind of the event in a leaf, without reading all of it."""
    found = _KIND.match(leaf)
    return found[1].decode() if found else read_leaf(leaf)["kind"]


def place_of(kind: str) -> Place | None:
    """Return where events of this kind are told."""
    if kind.startswith(("pipeline.", "deployment.")):
        return Place("pipeline_events", kind, "other")
    return _PLACES.get(kind)


def _folds(kind: str) -> bool:
    """Say whether events of this kind change a pipeline or a deployment; every such kind has its place in a log."""
    from interlock.pipelines.fold import changes  # noqa: PLC0415 - costs 20 ms, and few commands need it

    return changes(kind)


def concerns(kind: str) -> bool:
    """Say whether events of this kind change any of these files."""
    return place_of(kind) is not None or is_outcome(kind)


# --- one log ----------------------------------------------------------------------------------------------------------


class Tail(NamedTuple):
    """How far an appended file goes, and what its next line follows."""

    entries: int = 0
    """Lines of a log, rows of the report."""
    size_bytes: int = 0
    entry_hash: str = GENESIS
    signature: str = GENESIS


@dataclass(frozen=True, slots=True)
class Entry:
    """An event in its place."""

    index: int
    leaf_hash: bytes
    event: LoggedEvent


def reference(entry: Entry) -> tuple[str, str | None]:
    """Return the `reference` of the entry's line in the ledger, and the id of the key that signed its attestation."""
    found = entry.event["payload"].get("attestation")
    if isinstance(found, Mapping) and isinstance(named := found.get("digest"), str):
        keyid = found.get("keyid")
        return named, keyid if isinstance(keyid, str) else None
    return f"sha256:{entry.leaf_hash.hex()}", None


def render_entry(place: Place, entry: Entry, before: Tail) -> tuple[bytes, Tail]:
    """Return the event's line in its log, and the log's tail after it."""
    event = entry.event
    subject = event["subject"]
    scope = f"deployment::{subject}" if event["kind"].startswith("deployment.") else subject
    told: JsonObject = {
        "actor": event["principal"],
        "scope": scope,
        "source": event["principal"],
        "target": scope,
        "metadata": event["payload"],
        "timestamp": from_text(event["time"]),
    }
    return _line(place, told, entry, before)


def render_genesis(log: str, first: Entry) -> tuple[bytes, Tail]:
    """Return a log's first line, which stands for the first entry of all, and the log's tail after it."""
    told: JsonObject = {
        "actor": "system/bootstrap",
        "scope": "instrumentation",
        "source": None,
        "target": None,
        "metadata": {"message": f"{log} begins"},
        "timestamp": from_text(first.event["time"]),
    }
    return _line(Place(log, f"{log}::genesis", "other"), told, first, Tail())


def _line(place: Place, told: JsonObject, entry: Entry, before: Tail) -> tuple[bytes, Tail]:
    record: JsonObject = {**told, "kind": {"type": place.operation}, "operation_id": f"op-{entry.index}"}
    signature, keyid = reference(entry)
    chained: dict[str, Json] = {
        "event": {**told, "event_type": place.event_type},
        "policy": {
            "record": record,
            "hash": digest(record),
            "signature": signature,
            "previous_signature": before.signature,
            "keyid": keyid,
        },
        "previous_hash": before.entry_hash,
    }
    entry_hash = digest(chained)
    line = canonical({**chained, "entry_hash": entry_hash}) + b"\n"
    return line, Tail(before.entries + 1, before.size_bytes + len(line), entry_hash, signature)


# --- whole files ------------------------------------------------------------------------------------------------------


class States:
    """Pipelines and deployments as `state.json` has them: texts, of which only those are read that an event changes."""

    def __init__(self, pipelines: dict[str, bytes] | None = None, deployments: dict[str, bytes] | None = None) -> None:
        from interlock.pipelines.fold import Fold  # noqa: PLC0415 - costs 20 ms, and few commands need it

        self._texts = (pipelines or {}, deployments or {})
        self._fold = Fold()

    @classmethod
    def of(cls, data: bytes) -> States:
        """Take apart a `state.json` that `render` made; anything else may come to anything."""
        middle = data.find(b'\n  "deployments": [')
        return cls(_texts(data[:middle]), _texts(data[middle:]))

    def apply(self, kind: str, subject: str, payload: Mapping[str, Any]) -> None:
        """Follow an event; raises `FoldBroken`."""
        from interlock.pipelines.documents import read_deployment, read_pipeline  # noqa: PLC0415 - the same

        pipelines, deployments = self._texts
        if subject in pipelines and subject not in self._fold.pipelines:
            self._fold.pipelines[subject] = read_pipeline(json.loads(pipelines[subject]))
        if subject in deployments and subject not in self._fold.deployments:
            self._fold.deployments[subject] = read_deployment(json.loads(deployments[subject]))
        self._fold.apply(kind, subject, payload)

    def fleet(self) -> Fleet:
        """Return them, every one read."""
        from interlock.pipelines.documents import read_deployment, read_pipeline  # noqa: PLC0415 - the same
        from interlock.pipelines.models import Fleet  # noqa: PLC0415 - the same

        pipelines, deployments = self._texts
        return Fleet(
            {key: read_pipeline(json.loads(text)) for key, text in pipelines.items()} | self._fold.pipelines,
            {key: read_deployment(json.loads(text)) for key, text in deployments.items()} | self._fold.deployments,
        )

    def render(self, last_index: int | None, root: str | None) -> bytes:
        """Return the bytes of `state.json`."""
        from interlock.pipelines.documents import show_deployment, show_pipeline  # noqa: PLC0415 - the same

        pipelines, deployments = self._texts
        pipelines.update({key: _text(show_pipeline(each)) for key, each in self._fold.pipelines.items()})
        deployments.update({key: _text(show_deployment(each)) for key, each in self._fold.deployments.items()})
        self._fold.pipelines.clear()
        self._fold.deployments.clear()
        return b"".join(
            (
                f'{{\n  "schema_version": 1,\n  "last_index": {json.dumps(last_index)},\n'.encode(),
                f'  "root": {json.dumps(root)},\n  "pipelines": ['.encode(),
                _listed(pipelines),
                b'],\n  "deployments": [',
                _listed(deployments),
                b"]\n}\n",
            )
        )


def _text(document: Mapping[str, Any]) -> bytes:
    """Return an object as it stands in a list of `state.json`, without what comes before and behind it."""
    return json.dumps(document, indent=2, ensure_ascii=False).replace("\n", "\n    ").encode()


def _listed(texts: Mapping[str, bytes]) -> bytes:
    inside = b",".join(b"\n    " + texts[key] for key in sorted(texts))
    return inside + b"\n  " if inside else b""


def _texts(data: bytes) -> dict[str, bytes]:
    """Find the objects of a list by their indentation: no text in JSON holds a newline."""
    found: dict[str, bytes] = {}
    at = data.find(b"\n    {")
    while at >= 0:
        end = data.index(b"\n    }", at) + len(b"\n    }")
        text = data[at + len(b"\n    ") : end]
        first = text.split(b"\n", 2)[1]
        found[json.loads(first.strip().removeprefix(b'"id": ').removesuffix(b","))] = text
        at = data.find(b"\n    {", end)
    return found


def read_state(data: bytes) -> Fold:
    """Return what a `state.json` tells; raises ValueError, KeyError or TypeError where it is none."""
    from interlock.pipelines.documents import read_deployment, read_pipeline  # noqa: PLC0415 - the same
    from interlock.pipelines.fold import Fold  # noqa: PLC0415 - the same

    found = json.loads(data)
    if not isinstance(found, dict):
        raise TypeError("it is not an object")
    document = cast("dict[str, list[Mapping[str, Any]]]", found)
    return Fold(
        {each["id"]: read_pipeline(each) for each in document["pipelines"]},
        {each["id"]: read_deployment(each) for each in document["deployments"]},
    )


def render_snapshot(event: LoggedEvent) -> bytes:
    """Return the snapshot of a repair, or the manifest of what the budget guardian decided."""
    told, at = event["payload"], from_text(event["time"])
    if _SNAPSHOT_OF[event["kind"]] == AUTO_FIX:
        kept: dict[str, Any] = {name: told[name] for name in ("fixer", "target", "plan", "policy")}
        return _pretty({**kept, "recorded_at": at})
    kept = {name: told[name] for name in ("workflow_id", "stage_id", "action", "rewritten_plan")}
    for name in ("tokens_used", "token_limit", "latency_ms", "latency_limit"):
        value = cast("int | None", told[name])
        kept[name] = None if value is None else float(value)
    return _pretty({**kept, "recorded_at": at})


def snapshot_name(event: LoggedEvent, ms: int) -> str:
    """Return the file name of a snapshot."""
    told, folder = event["payload"], _SNAPSHOT_OF[event["kind"]]
    named = told["fixer"] if folder == AUTO_FIX else f"{told['workflow_id']}-{told['stage_id']}"
    return f"{ms}-{re.sub(r'[^A-Za-z0-9._-]', '_', str(named))[:120]}{SNAPSHOTS[folder]}"


class Sample(NamedTuple):
    """What one piece of work took."""

    time_ms: int
    tokens: int | None
    latency_ms: int | None


def sample_of(event: LoggedEvent) -> Sample | None:
    """Return what an event says that something took."""
    told, at = event["payload"], from_text(event["time"])
    if event["kind"] == "budget.decided":
        return Sample(at, _whole(told["tokens_used"]), _whole(told["latency_ms"]))
    generated = told.get("generated")
    if event["kind"] != "draft.generated" or not isinstance(generated, Mapping):
        return None
    tokens = [_whole(generated.get(name)) for name in ("input_tokens", "output_tokens")]
    known = [each for each in tokens if each is not None]
    return Sample(at, sum(known) if known else None, _whole(generated.get("duration_ms")))


def render_summary(samples: Sequence[Sample]) -> bytes:
    """Return the bytes of `rolling_summary.json` over these samples, of which there is at least one."""
    return _pretty(
        {
            "generated_at": to_text(samples[-1].time_ms),
            "sample_count": len(samples),
            "tokens": _percentiles([each.tokens for each in samples]),
            "latency_ms": _percentiles([each.latency_ms for each in samples]),
        }
    )


def _percentiles(values: Iterable[int | None]) -> dict[str, float]:
    """Return the nearest ranks; 0 where nothing is known."""
    known = sorted(value for value in values if value is not None)
    return {f"p{each}": float(known[-(-len(known) * each // 100) - 1]) if known else 0.0 for each in _PERCENTILES}


def _whole(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _pretty(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


# --- all of them, as the log goes on ----------------------------------------------------------------------------------


@dataclass(slots=True)
class Changes:
    """What a part of the log adds to the files."""

    appended: dict[str, list[bytes]] = field(default_factory=dict[str, list[bytes]])
    """By stream: lines in their order."""
    whole: dict[str, bytes] = field(default_factory=dict[str, bytes])
    """Snapshots and the rolling summary, by path below the workspace."""
    state: bool = False
    """Whether `state.json` is another one."""


@dataclass(slots=True, kw_only=True)
class Projection:
    """The files as far as the log was followed: not their bytes, but all that is needed to go on."""

    next_index: int = 0
    tree: Frontier = field(default_factory=Frontier)
    last_leaf: str = ""
    """Hash of the last leaf that was followed, hex."""
    tails: dict[str, Tail] = field(default_factory=dict[str, Tail])
    """By stream."""
    last_index: int | None = None
    root: str | None = None
    samples: list[Sample] = field(default_factory=list[Sample])
    named_ms: dict[str, int] = field(default_factory=dict[str, int])
    """By folder of snapshots: what the last name begins with."""
    load: Callable[[], States] = States
    """Brings pipelines and deployments as they are at `next_index`, when they are asked for."""
    folds: bool = True
    """Whether pipelines and deployments are followed, too."""
    _states: States | None = None

    @property
    def states(self) -> States:
        """Pipelines and deployments."""
        if self._states is None:
            self._states = self.load()
        return self._states

    def state(self) -> bytes:
        """Return the bytes of `state.json`."""
        return self.states.render(self.last_index, self.root)

    def take(self, leaf: bytes, changes: Changes) -> None:
        """Follow the next leaf; raises `FoldBroken` for an event that can not be."""
        hashed, kind, index = leaf_hash(leaf), kind_of(leaf), self.next_index
        place, outcome = place_of(kind), is_outcome(kind)
        folded = place is not None and _folds(kind)
        if index == 0 or place or outcome:
            entry = Entry(index, hashed, read_leaf(leaf))
            if folded and self.folds:
                self.states.apply(kind, entry.event["subject"], entry.event["payload"])
            if index == 0:
                self._begin(entry, changes)
            if place and (kind != "draft.generated" or sample_of(entry.event)):
                line, self.tails[place.log] = render_entry(place, entry, self.tails[place.log])
                changes.appended.setdefault(place.log, []).append(line)
            if outcome:
                self._append(REPORT_PATH, render_row(index, hashed, entry.event), changes)
            self._snapshot(entry.event, changes)
        self.tree = self.tree.append(hashed)
        self.next_index, self.last_leaf = index + 1, hashed.hex()
        if folded:
            self.last_index, self.root, changes.state = index, self.tree.root().hex(), True

    def _begin(self, first: Entry, changes: Changes) -> None:
        for log in LOGS:
            line, self.tails[log] = render_genesis(log, first)
            changes.appended.setdefault(log, []).append(line)
        self.tails[REPORT_PATH] = Tail(0, len(HEAD))
        changes.appended.setdefault(REPORT_PATH, []).append(HEAD)
        changes.state = True

    def _append(self, stream: str, line: bytes, changes: Changes) -> None:
        before = self.tails[stream]
        self.tails[stream] = before._replace(entries=before.entries + 1, size_bytes=before.size_bytes + len(line))
        changes.appended.setdefault(stream, []).append(line)

    def _snapshot(self, event: LoggedEvent, changes: Changes) -> None:
        if folder := _SNAPSHOT_OF.get(event["kind"]):
            ms = max(from_text(event["time"]), self.named_ms.get(folder, 0) + 1)
            self.named_ms[folder] = ms
            changes.whole[f"{folder}/{snapshot_name(event, ms)}"] = render_snapshot(event)
        if sample := sample_of(event):
            self.samples = [*self.samples, sample][-_SAMPLES:]
            changes.whole[SUMMARY_PATH] = render_summary(self.samples)

    def to_json(self) -> dict[str, Any]:
        """Return all but pipelines and deployments."""
        return {
            "next_index": self.next_index,
            "tree": self.tree.encode().hex(),
            "last_leaf": self.last_leaf,
            "tails": {stream: list(tail) for stream, tail in self.tails.items()},
            "last_index": self.last_index,
            "root": self.root,
            "samples": [list(each) for each in self.samples],
            "named_ms": self.named_ms,
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any], load: Callable[[], States]) -> Projection:
        """Read what `to_json` told; raises KeyError, TypeError, ValueError or an `EvidenceError` for anything else."""
        told = cls(
            next_index=found["next_index"],
            tree=Frontier.decode(bytes.fromhex(found["tree"])),
            last_leaf=found["last_leaf"],
            tails={stream: Tail(*found["tails"][stream]) for stream in STREAMS} if found["next_index"] else {},
            last_index=found["last_index"],
            root=found["root"],
            samples=[Sample(*each) for each in found["samples"]],
            named_ms=dict(found["named_ms"]),
            load=load,
        )
        _check_kinds(told)
        return told


def _check_kinds(told: Projection) -> None:
    """Raise TypeError for a value that is of another kind than the one that `to_json` tells."""
    _check((told.next_index, *told.named_ms.values()), int)
    _check([told.last_index], int, NoneType)
    _check([told.last_leaf, *told.named_ms], str)
    _check([told.root], str, NoneType)
    for tail in told.tails.values():
        _check((tail.entries, tail.size_bytes), int)
        _check((tail.entry_hash, tail.signature), str)
    for sample in told.samples:
        _check([sample.time_ms], int)
        _check((sample.tokens, sample.latency_ms), int, NoneType)


def _check(values: Iterable[object], *kinds: type) -> None:
    for value in values:
        if type(value) not in kinds or (isinstance(value, int) and value < 0):
            raise TypeError(f"{value!r:.80} is not a value of a projection")
