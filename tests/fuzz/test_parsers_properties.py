"""Whatever a parser is given: it reads it, or refuses it by its room's own error, soon, and tells no secret."""

# The readers of a room's own files are called by nobody outside of it.
# pyright: reportPrivateUsage=false
from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given

import interlock
from interlock import settings as settings_room
from interlock.access import tokens
from interlock.access.errors import MalformedPrincipal, TokenWeak
from interlock.access.models import Principal
from interlock.alerts import config as sinks
from interlock.alerts.errors import SinkConfigInvalid
from interlock.doors import api
from interlock.evidence import consistency, cosignature, dsse, head, ledger, note, policy, proof, receipts, witness
from interlock.evidence.errors import (
    ConsistencyRejected,
    EnvelopeRejected,
    EventMalformed,
    EvidenceError,
    FrontierMalformed,
    KeyMalformed,
    LineMalformed,
    NoteRejected,
    PolicyMalformed,
    ProofRejected,
    RequestMalformed,
    WitnessStateDamaged,
)
from interlock.evidence.keys import _to_pem, load_private, load_verifiers
from interlock.evidence.models import Cosignature, SignedHead, Subject, TreeHead
from interlock.evidence.tree import Frontier
from interlock.fleet.errors import NodeIdentityBroken, NodeIdentityForeign
from interlock.fleet.identity import _checked as node_of
from interlock.fleet.identity import _read as node_file
from interlock.kernel import clock, ids
from interlock.kernel.errors import InterlockError, Invalid
from interlock.loops import files as loop_files
from interlock.loops import polling, thresholds
from interlock.loops.errors import CursorCorrupt
from interlock.mcp import ids as mcp_ids
from interlock.mcp.errors import ArgumentInvalid, DraftOutOfReach, FileOutside, NoSuchResource, NotAnId
from interlock.mcp.resources import _place as mcp_cursor
from interlock.mcp.resources import checked_uri
from interlock.pipelines import gateway
from interlock.pipelines.definitions import parse_definition
from interlock.pipelines.deployment_definitions import parse_deployment
from interlock.pipelines.errors import ActionUnknown, AgentUnknown, DefinitionInvalid, RoleFileInvalid, RoleUnknown
from interlock.pipelines.probes import Threshold
from interlock.pipelines.report import rows_of
from interlock.pipelines.roles import parse_roles
from interlock.pipelines.yaml_source import parse as parse_yaml
from interlock.providers import merging
from interlock.providers.errors import ConfigurationInvalid
from interlock.queue import kpi, markdown
from interlock.queue.cli.meant import instant_ms, span_ms
from interlock.queue.errors import MarkdownMalformed
from interlock.queue.words import checked_due, instant, not_before
from interlock.remote.address import read_address
from interlock.remote.errors import AddressRefused, TokenFileUnreadable, TokenMalformed
from interlock.remote.token import read_token
from interlock.runs.agents import AGENTS
from interlock.runs.agents.hearing import Hearing
from interlock.runs.agents.sessions import _read as session_file
from interlock.runs.containment.launch import _understood
from interlock.workspace.replay import NotThen
from interlock.workspace.replay import instant as moment
from tests.fuzz.effort import FACTOR, effort
from tests.fuzz.spoiling import ODD_BYTES, ODD_JSON, anything, swapped

SECRET = "Zq7SecretThatNobodyMaySee4242xyzAB"  # noqa: S105 - a word to look for
MOST_SECONDS = 1.0
MOST_SAID = 5_000
"""Characters of a refusal: whoever reads it wants a sentence, and no copy of what was wrong."""
SHIPPED = Path(interlock.__file__).parent / "workspace" / "shipped"
SKELETON = SHIPPED / "skeleton"
ROLES = parse_roles((SKELETON / "agents" / "data" / "agent_roles.json").read_bytes())
ULID = "01K9ABCDEFGHJKMNPQRSTVWXYZ"
SIGNER = note.Signer("log.example", Ed25519PrivateKey.from_private_bytes(b"\1" * 32))
PRIVATE = "AQEBAQEBAQEBAQEB"
"""A part of that key's private half, as PEM writes it."""
KNOWN = (SIGNER.verifier(),)
HEAD = head.sign_head(TreeHead("log.example", 3, b"\2" * 32), SIGNER)
LEAF = (
    b'{"correlation_id":null,"key":null,"kind":"run.done","payload":{"a":[1,"\xc3\xa9"]},"principal":"human:a",'
    b'"subject":"r_1","time":"2026-11-21T08:00:00.125Z","version":1}'
)
STATEMENT = dsse.statement([Subject("a_1", {"sha256": "ab" * 32})], "https://x.example/v1", {"a": [1, {"b": None}]})


class Parser(NamedTuple):
    """One way in."""

    name: str
    read: Callable[[bytes, Path], Any]
    """Takes what came, and an empty file that it may be written to."""
    refusals: tuple[type[InterlockError], ...]
    seeds: Sequence[bytes]
    """What is right, to be spoilt."""
    values: tuple[type[Exception], ...] = ()
    """What else it documents that it raises, for a caller inside of the house."""
    swaps: int = 400
    """So many odd values are put into places of its seeds."""
    whole: bool = True
    """Whether its first seed is right as a whole; a receipt that is needs a workspace (tests/runs/test_receipts.py), a
    variable one text for every setting."""
    secret: str = ""
    """What no refusal may say, where people have a secret in such a thing, or put one there by mistake."""
    told_by: bytes = b""
    """Without which nobody can know that it is a secret: an address without `@` has no password."""


def of_text(read: Callable[[str], Any]) -> Callable[[bytes, Path], Any]:
    """Let a parser of text read bytes; what is no UTF-8 comes as the system hands it over, with half surrogates."""
    return lambda data, _: read(data.decode("utf-8", "surrogateescape"))


def of_bytes(read: Callable[[bytes], Any]) -> Callable[[bytes, Path], Any]:
    return lambda data, _: read(data)


def of_file(read: Callable[[Path], Any]) -> Callable[[bytes, Path], Any]:
    def reading(data: bytes, path: Path) -> Any:  # noqa: ANN401 - whatever it reads
        path.write_bytes(data)
        path.chmod(0o600)
        return read(path)

    return reading


def as_json(value: object) -> bytes:
    return json.dumps(value, indent=1).encode()


# --- what is right ----------------------------------------------------------------------------------------------------

PROVIDERS = {
    "active": "main",
    "providers": {
        "main": {"type": "anthropic", "model": "m-1", "base_url": "https://x.example/v1", "api_key": SECRET},
        "here": {"type": "gemini", "model": "m", "base_url": "http://localhost:1", "api_key": None},
        "other": {"type": "openai_compat", "model": "m", "base_url": "https://y.example", "api_key": "${KEY}"},
    },
}
SETTINGS = f"""
[database]
url = "postgresql://me@h/db"
[approval]
expires_after_seconds = 60
four_eyes = true
[agent]
command = "claude -p 'x y'"
checks = ["make test"]
[limits]
tokens = 5
[worker]
concurrency = 3
visible = ["/opt"]
# {SECRET}
""".encode()
QUEUE = (
    "# Queue\n\nprose | with a bar\n\n| id | status | priority | task | success_criteria | owner_session "
    "| started_at_kst | due_at_kst | notes |\n|---|---|:-:|---|---|---|---|---|---|\n"
    "| A-1 | PENDING | P1 | sweep | clean | - | - | 2026-11-21 17:00 | retry_not_before=1795262400 |\n"
    "| A-2 | DONE | P0 | 한국어 | ok | me | 2026-11-21 09:00 | - |  |\n\nafter\n"
).encode()
PRINTED: Sequence[Sequence[dict[str, Any]]] = (
    [
        {"type": "system", "subtype": "init", "session_id": "s-1", "model": "m", "tools": ["Bash"]},
        {
            "type": "assistant",
            "message": {
                "id": "m1",
                "content": [
                    {"type": "text", "text": "hi"},
                    {"type": "tool_use", "name": "B", "input": {"c": "ls"}},
                ],
                "usage": {"input_tokens": 1, "cache_read_input_tokens": 2, "output_tokens": 3},
            },
        },
        {
            "type": "result",
            "subtype": "success",
            "result": "ok",
            "num_turns": 1,
            "total_cost_usd": 0.1,
            "usage": {},
        },
    ],
    [
        {"type": "thread.started", "thread_id": "t-1"},
        {
            "type": "item.completed",
            "item": {"id": "i", "type": "command_execution", "command": "ls", "exit_code": 1},
        },
        {"type": "turn.completed", "usage": {"input_tokens": 1, "cached_input_tokens": 1, "output_tokens": 2}},
        {"type": "turn.failed", "error": {"message": "usage limit 1795262400"}},
    ],
    [
        {"type": "init", "session_id": "g", "model": "m"},
        {"type": "message", "role": "assistant", "content": "hi", "delta": True},
        {"type": "tool_use", "tool_name": "x", "parameters": {"a": 1}},
        {
            "type": "result",
            "status": "success",
            "stats": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        },
    ],
    [
        {"type": "step_start", "sessionID": "o", "part": {"id": "p", "type": "step-start"}},
        {"type": "text", "sessionID": "o", "part": {"type": "text", "text": "hi", "time": {"end": 1}}},
        {"type": "step_finish", "part": {"cost": 0.1, "tokens": {"input": 1, "output": 2, "cache": {"read": 1}}}},
        {"type": "error", "error": {"name": "x", "data": {"message": "rate limit"}}},
    ],
)
STREAMS = [b"".join(json.dumps(each).encode() + b"\n" for each in events) for events in PRINTED]
POLICY = "\n".join(
    [
        f"log {SIGNER.verifier().vkey()}",
        *(f"witness w{n} {cosignature.WitnessKey(f'w{n}.example', bytes([n]) * 32).vkey()}" for n in (1, 2)),
        "group g 1 w1 w2",
        "quorum g",
        "",
    ]
).encode()
RECEIPT = as_json(
    {
        "format": receipts.FORMAT,
        "run_id": f"r_{ULID}",
        "approved_id": f"a_{ULID}",
        "draft_id": f"d_{ULID}",
        "origin": "log.example",
        "head": HEAD,
        "entries": [{"index": 0, "line": ledger.render_line(0, LEAF).decode(), "proof": "x"}],
        "envelopes": {"sha256:00": "{}"},
    }
)
CURSOR = as_json({"schemaVersion": "v1", "eventLineOffset": 3, "eventLineCount": 4, "loopId": "docs"})
NODE = as_json({"host": "h", "id": f"n_{ULID}", "machine": "ab"})
SESSION = as_json({"session_id": "s-1", "place": "/somewhere/x", "generation": 0})
STARTED = as_json(
    {"event": "started", "pid": 7, "start_time": 1, "boot_id": "b", "supervisor_pid": 6, "keeper_pid": 5}
    | {"keeper_start_time": 1, "containment": "namespaces", "git": "none", "notes": ["a"]}
)
ENDED = as_json(
    {"event": "ended", "exit_code": 0, "signal": None, "reason": "exited", "duration_ms": 5}
    | {"killed_leftovers": 0, "survivors": 0}
)
TOKEN = f"ilk_{ULID}_{SECRET:a<43}"
GUESSED = SECRET[:10]
PASSWORD = f"postgresql://me:{SECRET}@h/db".encode()
CLAIMS = gateway.issue(
    gateway.Claims(
        client_id="c", fs_scopes=("a",), network_scopes=(), rate_limit_per_minute=1, issued_at=1, expires_at=2
    ),
    b"s" * 32,
)


def _deployment(data: bytes) -> Any:  # noqa: ANN401 - a definition
    return parse_deployment(data, "cicd/deployments/workspace-reports.yaml", "workspace-reports")


def _definition(data: bytes) -> Any:  # noqa: ANN401 - a definition
    return parse_definition(data, "cicd/pipelines/doc-refresh.yaml", directory=ROLES, environment={})


def _hear(agent: str) -> Callable[[bytes], Any]:
    def hear(data: bytes) -> None:
        hearing = Hearing(AGENTS[agent].reader(), lambda hidden: hidden)
        for each in [*hearing.take("stdout", data), *hearing.end()]:
            assert "could not be read" not in each.text
            each.text.encode()

    return hear


def _profile(path: Path) -> Any:  # noqa: ANN401 - a profile
    catalog = thresholds.load(str(path))
    return [thresholds.resolve(catalog, name, str(path)) for name in [None, *thresholds.names(catalog)]]


def _sinks(path: Path, *, strict: bool) -> Any:  # noqa: ANN401 - a catalog
    return sinks.load(str(path), strict=strict).catalog({}, env_check=False)


def _settings(data: bytes, folder: Path) -> Any:  # noqa: ANN401 - settings
    (folder.parent / settings_room.FILE_NAME).write_bytes(data)
    found = settings_room.load(folder.parent, {})
    found.approval_options()
    return found


_STRIDE = 9
_ENDS = [b" " * count for count in range(_STRIDE)]
"""Together with these a text comes to every setting."""
NOWHERE = Path("/nowhere/at/all")
SETTINGS_KNOWN = [(section, key) for section, key, _, _ in settings_room.origins(NOWHERE, {})]


def _variables(text: str) -> None:
    """Give some of all settings this text, hold each refusal against what all must be, and raise the first one."""
    refused: list[settings_room.SettingsInvalid] = []
    for section, key in SETTINGS_KNOWN[len(text) % _STRIDE :: _STRIDE]:
        try:
            settings_room.load(NOWHERE, {f"INTERLOCK_{section}_{key}".upper(): text})
        except settings_room.SettingsInvalid as error:
            _check_told(error, SECRET if "://" in text else "")
            refused.append(error)
    for error in refused[:1]:
        raise error


def _log_rows(path: Path) -> Any:  # noqa: ANN401 - documents
    rows = loop_files.last_rows(str(path), 100)
    with loop_files.log(str(path)) as log:
        assert log is not None
        end = log.end()
        assert log.count(0, end) == path.read_bytes().count(b"\n")
        assert [line for _, line in log.lines(0, end)] == list(log.backwards(end))[::-1]
    return rows


def _witness_state(path: Path) -> Any:  # noqa: ANN401 - what was cosigned
    found = witness._load(path)
    return {origin: witness._head_of(kept, origin, path) for origin, kept in found.items()}


def _records(data: bytes) -> Any:  # noqa: ANN401 - figures
    log = kpi.RunLog()
    log.add(data.splitlines(keepends=True))
    return kpi.figures(log, retry_count=0, stale_in_progress=0).line()


LINE = ledger.render_line(3, LEAF)
HEAD_LINE = head.render_head(SignedHead(size=3, root=b"\2" * 32, at=1_795_262_400_000, note=HEAD))
COSIGNED = cosignature.render_cosignature(Cosignature(3, "— w.example AAAA"))
PROOF = proof.encode_proof(proof.Proof(1, (b"\3" * 32, b"\4" * 32), HEAD, b"x"))
BETWEEN = consistency.encode_consistency(consistency.Consistency((b"\3" * 32,), HEAD, HEAD))
REQUEST = witness.render_request(witness.Request(1, (b"\3" * 32,), HEAD))
SINKS = (SHIPPED / "config" / "ops-manager-alert-sinks.v1.json").read_bytes()
SINKS_WITH_SECRETS = SINKS.replace(b'"OPS_MANAGER_ALERT_WEBHOOK_URL"', f'"https://x.example/{SECRET}"'.encode())
PROFILES = (SHIPPED / "config" / "ops-manager-threshold-profiles.v1.json").read_bytes()
ROLE_FILE = (SKELETON / "agents" / "data" / "agent_roles.json").read_bytes()
GATEWAY = (SKELETON / "services" / "gateway" / "policy.json").read_bytes()
PIPELINES = [
    path.read_bytes().replace(b"\nname: " + path.stem.encode(), b"\nname: doc-refresh")
    for path in sorted((SKELETON / "cicd" / "pipelines").glob("*.yaml"))
]
DEPLOYMENT = (SKELETON / "cicd" / "deployments" / "workspace-reports.yaml").read_bytes()
RUN_LOG = (
    b'{"event":"run_end","command":"done","duration_ms":5,"exit_code":0,"ts_epoch_ms":1}\n'
    b'{"event":"run_start","command":"fail"}\n'
)
EVENTS = (
    b'{"schemaVersion":"v1","event":"role_start","loopId":"docs","timestamp":"2026-11-21T08:00:00Z"}\n'
    b'{"reconcile":1,"durationSeconds":1.5,"healthReasonCodes":["a"]}\r\n{"torn'
)


def _plain_yaml(data: bytes) -> bytes:
    """Say a definition as JSON, which is YAML too: so what is deep inside of it can be spoilt."""
    from ruamel.yaml import YAML  # noqa: PLC0415 - beside its only use

    return as_json(YAML(typ="safe", pure=True).load(data))  # pyright: ignore[reportUnknownMemberType] - no hints


PARSERS = (
    # queue
    Parser("queue table", of_bytes(lambda data: markdown.parse("QUEUE.md", data)), (MarkdownMalformed,), [QUEUE]),
    Parser("run log", of_bytes(_records), (), [RUN_LOG]),
    Parser("due", of_text(checked_due), (Invalid,), [b"2026-11-21 17:00", b"-"]),
    Parser("KST instant", of_text(instant), (), [b"2026-11-21 17:00"]),
    Parser("span", of_text(lambda text: span_ms(text, "x")), (Invalid,), [b"90s", b"15m", b"3d"]),
    Parser(
        "instant with a zone",
        of_text(lambda text: instant_ms(text, "x")),
        (Invalid,),
        [b"2026-11-21T08:00:00Z", b"0001-01-01T00:00:00+14:00"],
    ),
    Parser("moment", of_text(moment), (NotThen,), [b"2026-11-21T08:00:00Z", b"9999-12-31T23:59:59.999999-23:59"]),
    Parser("retry marker", of_text(lambda text: not_before(text, 0)), (), [b"x retry_not_before=1795262400 y"]),
    # loops
    Parser("JSONL", of_file(_log_rows), (), [EVENTS]),
    Parser("loop document", of_bytes(loop_files.parsed), (), [CURSOR]),
    Parser(
        "loop cursor",
        of_file(lambda path: polling.read_cursor(str(path))),
        (CursorCorrupt, loop_files.FileUnreadable),
        [CURSOR],
    ),
    Parser("threshold profiles", of_file(_profile), (thresholds.CatalogInvalid, thresholds.ProfileUnknown), [PROFILES]),
    # alerts, providers, access, settings
    *(
        Parser(
            name,
            of_file(partial(_sinks, strict=strict)),
            (SinkConfigInvalid,),
            [SINKS, SINKS_WITH_SECRETS],
            secret=SECRET,
        )
        for name, strict in (("alert sinks", True), ("alert sinks of any type", False))
    ),
    Parser("providers", of_bytes(merging.parsed), (ConfigurationInvalid,), [as_json(PROVIDERS)], secret=SECRET),
    Parser("principal", of_text(Principal.parse), (MalformedPrincipal,), [b"human:alice", b"agent:r_1"]),
    Parser("token", of_text(lambda text: tokens.read("ilk", text)), (), [TOKEN.encode()]),
    Parser(
        "token of the environment",
        of_text(lambda text: tokens.from_environment({"ORCH_TOKEN": text})),
        (TokenWeak,),
        [TOKEN.encode(), GUESSED.encode()],
        secret=GUESSED,
    ),
    Parser(
        "token file",
        of_file(lambda path: read_token(str(path), {})),
        (TokenFileUnreadable, TokenMalformed),
        [TOKEN.encode() + b"\n", SECRET.encode() + b" \xff"],
        secret=SECRET,
    ),
    Parser("settings", _settings, (settings_room.SettingsInvalid,), [SETTINGS], secret=SECRET),
    Parser(
        "settings of the environment",
        of_text(_variables),
        (settings_room.SettingsInvalid,),
        [
            b"7",
            b"true",
            b"1,2",
            b"postgresql://me@h/db",
            b"claude 'x",
            b"auto",
            *(PASSWORD + end for end in _ENDS),
        ],
        whole=False,
        secret=SECRET,
        told_by=b"://",
    ),
    Parser(
        "address",
        of_text(read_address),
        (AddressRefused,),
        [b"https://h.example:9/x", b"http://[::1]:1", f"https://me:{SECRET}@h".encode()],
        secret=SECRET,
        told_by=b"@",
    ),
    Parser(
        "node",
        of_file(lambda path: node_of(node_file(path) or {}, path, "ab")),
        (NodeIdentityBroken, NodeIdentityForeign),
        [NODE],
    ),
    # evidence
    Parser("note", of_bytes(lambda data: note.open_note(data, KNOWN)), (NoteRejected,), [HEAD.encode()]),
    Parser("verifier key", of_text(note.Verifier.parse), (KeyMalformed,), [SIGNER.verifier().vkey().encode()]),
    Parser("verifier keys", of_file(load_verifiers), (KeyMalformed,), [SIGNER.verifier().vkey().encode() + b"\n"]),
    Parser(
        "private key",
        of_file(load_private),
        (KeyMalformed,),
        [
            _to_pem(SIGNER.private),
            b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n",
        ],
        secret=PRIVATE,
    ),
    Parser(
        "witness key",
        of_text(cosignature.WitnessKey.parse),
        (KeyMalformed,),
        [cosignature.WitnessKey("w", bytes(32)).vkey().encode()],
    ),
    Parser(
        "envelope",
        of_bytes(lambda data: dsse.open_envelope(data, KNOWN)),
        (EnvelopeRejected,),
        [dsse.seal(STATEMENT, [SIGNER])],
    ),
    Parser(
        "statement",
        of_bytes(lambda data: dsse.open_envelope(dsse.seal(data, [SIGNER]), KNOWN)),
        (EnvelopeRejected,),
        [STATEMENT],
    ),
    Parser("ledger line", of_bytes(lambda data: ledger.read_line(data, 3)), (EvidenceError,), [LINE]),
    Parser("leaf", of_bytes(ledger.read_leaf), (EventMalformed,), [LEAF]),
    Parser("head line", of_bytes(head.read_head), (LineMalformed,), [HEAD_LINE]),
    Parser("head", of_bytes(lambda data: head.open_own_head(data, KNOWN)), (NoteRejected,), [HEAD.encode()]),
    Parser(
        "cosignatures", of_file(lambda path: cosignature.read_cosignatures(path, 3)), (LineMalformed,), [COSIGNED * 2]
    ),
    Parser("policy", of_bytes(policy.parse_policy), (PolicyMalformed,), [POLICY]),
    Parser("proof", of_text(proof.decode_proof), (ProofRejected,), [PROOF.encode()]),
    Parser("consistency", of_text(consistency.decode_consistency), (ConsistencyRejected,), [BETWEEN.encode()]),
    Parser("witness's request", of_text(witness.read_request), (RequestMalformed,), [REQUEST.encode()]),
    Parser(
        "witness's answer", of_text(witness.read_answer), (RequestMalformed,), [b"\xe2\x80\x94 w.example AAAAAAAA\n"]
    ),
    Parser(
        "witness's state",
        of_file(_witness_state),
        (WitnessStateDamaged,),
        [as_json({"log.example": {"note": HEAD, "size": 3}})],
    ),
    Parser(
        "receipt", of_bytes(lambda data: receipts.check_receipt(data, KNOWN)), (EvidenceError,), [RECEIPT], whole=False
    ),
    Parser("frontier", of_bytes(Frontier.decode), (FrontierMalformed,), [Frontier(1, (b"\1" * 32,)).encode()]),
    # pipelines
    Parser(
        "YAML", of_bytes(lambda data: parse_yaml(data, "x.yaml").json()), (DefinitionInvalid,), [*PIPELINES, DEPLOYMENT]
    ),
    Parser(
        "pipeline",
        of_bytes(_definition),
        (DefinitionInvalid, RoleUnknown, AgentUnknown, ActionUnknown),
        [each for seed in PIPELINES for each in (seed, _plain_yaml(seed))],
        swaps=60,
    ),
    Parser("deployment", of_bytes(_deployment), (DefinitionInvalid,), [DEPLOYMENT, _plain_yaml(DEPLOYMENT)], swaps=60),
    Parser("roles", of_bytes(parse_roles), (RoleFileInvalid,), [ROLE_FILE]),
    Parser("gateway policy", of_file(gateway.read_policy), (gateway.GatewayPolicyInvalid,), [GATEWAY]),
    Parser("capability", of_text(lambda text: gateway.open_token(text, b"s" * 32)), (), [CLAIMS.encode()]),
    Parser("threshold", of_text(Threshold.parse), (), [b"< 5", b">= 99.5"], (ValueError,)),
    Parser(
        "report",
        of_text(rows_of),
        (),
        [b"|a|b|\n" * 9 + b'| t | w | s | r | i | a | ok | {"evidence": "leaf:1:ab"} |\n'],
    ),
    # doors
    Parser("body", of_bytes(api.parsed), (Invalid,), [as_json({"prompt": "x", "context": {"a": [1]}})]),
    Parser(
        "id",
        of_text(lambda text: ids.checked(text, "d")),
        (ids.MalformedId,),
        [f"d_{ULID}".encode(), f"a_{ULID}".encode()],
    ),
    Parser("instant", of_text(clock.from_text), (), [b"2026-11-21T08:00:00.000Z"], (ValueError,)),
    Parser(
        "id over MCP",
        of_text(lambda text: mcp_ids.id_of(text, "a")),
        (DraftOutOfReach, NotAnId),
        [f"a_{ULID}".encode()],
    ),
    Parser("file over MCP", of_text(mcp_ids.file_name), (DraftOutOfReach, FileOutside), [b"src/main.py"]),
    Parser("agent over MCP", of_text(mcp_ids.agent_name), (DraftOutOfReach, ArgumentInvalid), [b"claude@x"]),
    Parser("cursor over MCP", of_text(mcp_cursor), (DraftOutOfReach, ArgumentInvalid), [f"a_{ULID}".encode()]),
    Parser(
        "resource over MCP",
        of_text(checked_uri),
        (DraftOutOfReach, NoSuchResource, NotAnId),
        [f"ops://approved/a_{ULID}".encode(), b"ops://plan"],
    ),
    # agents
    *(Parser(agent, of_bytes(_hear(agent)), (), STREAMS) for agent in AGENTS if agent != "command"),
    Parser("supervisor's word", of_bytes(_understood), (), [STARTED, ENDED]),
    Parser("session", of_file(lambda path: session_file(path.parent)), (), [SESSION]),
)


# --- the property -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_whatever_comes_is_read_or_refused_by_name_soon_and_without_a_secret(parser: Parser, tmp_path: Path) -> None:
    path = tmp_path / ("session.json" if parser.name == "session" else "given")

    refused: list[bytes] = []

    def held(data: bytes) -> None:
        if not _held(parser, data, path):
            refused.append(data)

    @effort(80)
    @given(anything(parser.seeds))
    def hold(data: bytes) -> None:
        held(data)

    if parser.whole:
        parser.read(parser.seeds[0], path)
    for seed in parser.seeds:
        for data in (seed, *swapped(seed, parser.swaps * FACTOR)):
            held(data)
    for odd in (*ODD_BYTES, *(each.encode("utf-8", "surrogatepass") for each in ODD_JSON)):
        held(odd)
    hold()
    assert any(parser.secret.encode() in data for data in refused) or not parser.secret, "no secret was ever refused"


def test_what_may_hold_a_secret_is_tried_with_one() -> None:
    assert {parser.name for parser in PARSERS if parser.secret} == {
        *("alert sinks", "alert sinks of any type", "providers", "token of the environment", "token file"),
        *("settings", "settings of the environment", "address", "private key"),
    }


ODD_TOML = (
    "true",
    "-1",
    "0",
    "1.5",
    "nan",
    "-inf",
    "9223372036854775808",
    "9" * 5_000,
    '""',
    '"\\u0000"',
    "'x y'",
    "'\"'",
    "2026-11-21T08:00:00Z",
    "08:00:00",
    "[]",
    "[[]]",
    "[1, 'a']",
    "{}",
    "{a = 1}",
    "[" * 3_000 + "]" * 3_000,
    f"'postgresql://me:{SECRET}@h/db'",
    f"['postgresql://me:{SECRET}@h/db']",
    f"'postgresql://h/db?password={SECRET}'",
    f"{{url = 'postgresql://me:{SECRET}@h/db'}}",
    f'"\'postgresql://me:{SECRET}@h/db"',
)


@pytest.mark.parametrize("odd", ODD_TOML, ids=lambda odd: odd[:20])
def test_any_setting_takes_any_value_or_refuses_it_by_name(odd: str, tmp_path: Path) -> None:
    long = "x" * 6_000
    for section, key in [*SETTINGS_KNOWN, ("database", "urls"), ("database", long), ("nothing", "x"), (long, "x")]:
        (tmp_path / settings_room.FILE_NAME).write_text(f"[{section}]\n{key} = {odd}\n", encoding="utf-8")
        try:
            settings_room.load(tmp_path, {}).approval_options()
        except settings_room.SettingsInvalid as error:
            _check_told(error)


@pytest.mark.parametrize("section", sorted({section for section, _ in SETTINGS_KNOWN}))
def test_an_address_with_a_password_is_shown_by_no_refusal_of_a_variable(section: str) -> None:
    for key in (key for each, key in SETTINGS_KNOWN if each == section):
        for quote in ("", "'"):
            text = f"{quote}postgresql://me:{SECRET}@h/db"
            try:
                settings_room.load(NOWHERE, {f"INTERLOCK_{section}_{key}".upper(): text})
            except settings_room.SettingsInvalid as error:
                _check_told(error)


def _held(parser: Parser, data: bytes, path: Path) -> bool:
    """Hold what comes of some bytes against what has to; returns whether they were read."""
    began = time.thread_time()
    taken = True
    try:
        parser.read(data, path)
    except parser.refusals as error:
        _check_told(error, (parser.secret or SECRET) if parser.told_by in data else "")
        taken = False
    except parser.values:
        pass
    assert time.thread_time() - began < MOST_SECONDS
    return taken


def _check_told(error: InterlockError, secret: str = SECRET) -> None:
    """Hold a refusal against what all must be: by a code of its own, a sentence that can be shown, and no secret."""
    said = f"{error.message}\n{error.hint}"
    assert error.code != InterlockError.code, type(error)
    assert error.message.strip()
    assert not secret or secret not in said, said
    assert len(said) < MOST_SAID, len(said)
    said.encode()
