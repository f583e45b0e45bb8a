"""What a server shows is read back as what it was: shown, read and shown again it is the same."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.access.api import _shown_panic as show_panic  # pyright: ignore[reportPrivateUsage] - the writer
from interlock.access.api import _shown_token as show_token  # pyright: ignore[reportPrivateUsage] - what it shows is asked for
from interlock.access.models import Panic, Principal, Token
from interlock.access.service import Access
from interlock.approval.models import Approved, Draft, DraftStatus, Limits, Work
from interlock.approval.service import Approval
from interlock.approval.shown import show_approved, show_draft
from interlock.evidence.answers import show_signed as show_head  # pyright: ignore[reportPrivateUsage] - the same
from interlock.evidence.content import Text
from interlock.evidence.ledger import read_leaf
from interlock.evidence.models import SignedHead
from interlock.evidence.service import Evidence
from interlock.kernel.canonical import canonical
from interlock.kernel.events import Event, to_leaf
from interlock.providers.models import Health, ProviderConfig, ProviderEntry
from interlock.providers.service import Providers
from interlock.queue.models import Item, Pause
from interlock.queue.service import Queue
from interlock.queue.shown import show_item, show_pause
from interlock.remote.access import RemoteAccess, read_panic, read_token
from interlock.remote.approval import RemoteApproval, read_approved, read_draft
from interlock.remote.evidence import RemoteEvidence, read_head, read_leaf_of
from interlock.remote.providers import RemoteProviders, read_config, read_health
from interlock.remote.queue import RemoteQueue, read_item, read_pause
from interlock.remote.results import RemoteResults
from interlock.remote.runs import RemoteRuns, read_line, read_run, read_step
from interlock.runs.models import LogLine, Run, Step, StepName
from interlock.runs.results import Results
from interlock.runs.service import Runs
from interlock.runs.shown import show_line, show_run, show_steps

relaxed = settings(max_examples=60, deadline=None)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
MS = st.integers(0, 253_402_300_799_999)
WHOLE = st.integers(0, 2**53 - 1)
NAME = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._@:+-]{0,20}", fullmatch=True)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | WHOLE | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), inner),
    max_leaves=8,
)
OBJECT = st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), JSON, max_size=4)
REF = st.from_regex(r"salted-sha256:[0-9a-f]{64}", fullmatch=True)
TEXTS = st.builds(Text, ref=REF, body=st.none() | TEXT)
CONTEXTS = st.builds(Text, ref=REF, body=st.none() | OBJECT.map(lambda found: canonical(found).decode()))
LIMITS = st.builds(Limits, wall_clock_seconds=st.integers(1, 10**6), output_bytes=st.integers(1, 2**53 - 1))
WORKS = st.builds(
    Work,
    command=st.none() | st.lists(TEXT).map(tuple),
    repository=st.none() | TEXT,
    base_ref=st.none() | TEXT,
    base_commit=st.none() | st.from_regex(r"[0-9a-f]{40}", fullmatch=True),
    checks=st.lists(st.lists(TEXT).map(tuple)).map(tuple),
    environment=st.lists(st.from_regex(r"[A-H][A-Z_]{0,9}", fullmatch=True)).map(tuple),
    limits=LIMITS,
)
DRAFTS = st.builds(
    Draft,
    id=TEXT,
    status=st.sampled_from(DraftStatus),
    provider=st.none() | TEXT,
    error=st.none() | TEXT,
    author=TEXT,
    decided_by=st.none() | TEXT,
    decision_reason=st.none() | TEXT,
    version=WHOLE,
    prompt=TEXTS,
    content=st.none() | TEXTS,
    context=CONTEXTS,
    work=WORKS,
    created_ms=MS,
    updated_ms=MS,
    generated=st.none() | OBJECT,
)


@st.composite
def approved_records(draw: st.DrawFn) -> Approved:
    prompt, content, context = draw(TEXTS), draw(st.none() | TEXTS), draw(CONTEXTS)
    terms = {
        **draw(WORKS).to_json(),
        "prompt": prompt.ref,
        "content": content.ref if content else None,
        "context": context.ref,
    }
    instants = st.none() | MS
    made = st.builds(
        Approved,
        id=TEXT,
        draft_id=TEXT,
        digest=TEXT,
        provider=st.none() | TEXT,
        approved_by=TEXT,
        revoked_by=st.none() | TEXT,
        revoke_reason=st.none() | TEXT,
        terms=st.just(terms),
        prompt=st.just(prompt),
        content=st.just(content),
        context=st.just(context),
        approved_ms=MS,
        expires_ms=instants,
        revoked_ms=instants,
        attestation=st.none() | OBJECT,
    )
    return draw(made)


def wired(shown: Any) -> Any:  # noqa: ANN401 - JSON of any shape
    """Return what comes out of the wire at the other end."""
    return json.loads(json.dumps(shown))


@relaxed
@given(DRAFTS)
def test_a_draft(draft: Draft) -> None:
    read = read_draft(wired(show_draft(draft)))
    assert show_draft(read) == show_draft(draft)
    assert (read.prompt.body is None) >= (draft.prompt.body is None)


@relaxed
@given(approved_records())
def test_an_approved_record(approved: Approved) -> None:
    read = read_approved(wired(show_approved(approved)))
    assert show_approved(read) == show_approved(approved)
    for mine, theirs in ((read.prompt, approved.prompt), (read.content, approved.content)):
        assert (mine.ref if mine else None) == (theirs.ref if theirs else None)
    assert read.standing(0) == approved.standing(0)


@relaxed
@given(
    st.builds(
        Run,
        created_ms=MS,
        started_ms=st.none() | MS,
        ended_ms=st.none() | MS,
        archived_ms=st.none() | MS,
        result=st.none() | OBJECT,
    )
)
def test_a_run(run: Run) -> None:
    assert show_run(read_run(wired(show_run(run)))) == show_run(run)


STEPS = st.builds(
    Step,
    name=st.sampled_from(StepName),
    fence=WHOLE,
    started_ms=MS,
    ended_ms=st.none() | MS,
    output=st.none() | OBJECT,
)


@relaxed
@given(st.lists(STEPS))
def test_the_steps_of_a_run(steps: list[Step]) -> None:
    assert [read_step(each) for each in wired(show_steps(steps))] == steps


@relaxed
@given(st.builds(LogLine, ts_ms=MS))
def test_a_line_of_a_log(line: LogLine) -> None:
    assert read_line(wired(show_line(line, "c"))) == line


@relaxed
@given(
    st.builds(
        Item,
        created_ms=MS,
        started_ms=st.none() | MS,
        not_before_ms=st.none() | MS,
        lease_until_ms=st.none() | MS,
    )
)
def test_an_item(item: Item) -> None:
    assert show_item(read_item(wired(show_item(item)))) == show_item(item)


@relaxed
@given(st.none() | st.builds(Pause, since_ms=MS, until_ms=st.none() | MS))
def test_a_pause(pause: Pause | None) -> None:
    assert read_pause(wired(show_pause(pause))) == pause


@relaxed
@given(
    st.builds(
        Token,
        principal=st.builds(Principal, name=NAME),
        created_ms=MS,
        expires_ms=st.none() | MS,
        rotated_ms=st.none() | MS,
        previous_until_ms=st.none() | MS,
        revoked_ms=st.none() | MS,
        last_used_ms=st.none() | MS,
    ),
    MS,
)
def test_a_token(token: Token, now: int) -> None:
    read = read_token(wired(show_token(token, now)))
    assert show_token(read, now) == show_token(token, now)
    assert read.digest == ""


@relaxed
@given(st.none() | st.builds(Panic, since_ms=MS))
def test_panic(panic: Panic | None) -> None:
    assert read_panic(wired(show_panic(panic))) == panic


@relaxed
@given(
    st.builds(
        ProviderConfig,
        providers=st.dictionaries(
            NAME, st.builds(ProviderEntry, api_key=st.none() | TEXT | st.just("${A_KEY}"), base_url=st.none() | TEXT)
        ),
    )
)
def test_providers_without_their_keys(config: ProviderConfig) -> None:
    read = read_config(wired(config.shown()))
    assert read.shown() == config.shown()
    assert read.version() == config.version()


@relaxed
@given(st.builds(Health))
def test_the_health_of_a_provider(health: Health) -> None:
    assert read_health(wired(health.shown())) == health


@relaxed
@given(st.builds(SignedHead, size=WHOLE, root=st.binary(min_size=32, max_size=32), at=MS))
def test_a_signed_head(head: SignedHead) -> None:
    assert read_head(wired(show_head(head))) == head


class _Happened(Event):
    kind = "thing.happened"

    def __init__(self, subject: str, told: dict[str, Any]) -> None:
        super().__init__(subject=subject)
        object.__setattr__(self, "told", told)


@relaxed
@given(TEXT, OBJECT, st.none() | NAME, MS)
def test_a_leaf_of_the_log_to_the_byte(subject: str, told: dict[str, Any], correlation: str | None, ms: int) -> None:
    leaf = to_leaf(_Happened(subject, told), principal="human:ada", correlation_id=correlation, time_ms=ms)
    shown = wired({"index": 7, **read_leaf(leaf.data)})
    assert read_leaf_of(shown) == leaf.data


@pytest.mark.parametrize(
    ("far", "near"),
    [
        (RemoteApproval, Approval),
        (RemoteRuns, Runs),
        (RemoteResults, Results),
        (RemoteQueue, Queue),
        (RemoteAccess, Access),
        (RemoteProviders, Providers),
        (RemoteEvidence, Evidence),
    ],
)
def test_a_room_from_afar_takes_what_the_room_takes(far: type, near: type) -> None:
    only_far = {"thawed", "stop_runs", "is_human"}
    for name, verb in inspect.getmembers(far, inspect.isfunction):
        if name.startswith("_") or name in only_far:
            continue
        room = getattr(near, name)
        if not inspect.isfunction(room):  # a port that was plugged in
            continue
        ours, theirs = inspect.signature(verb).parameters, inspect.signature(room).parameters
        assert set(ours) <= set(theirs), name
        left = [each for each in theirs.values() if each.name not in ours]
        assert all(each.default is not inspect.Parameter.empty for each in left), name
        for each in ours.values():
            assert (each.kind, each.default) == (theirs[each.name].kind, theirs[each.name].default), (name, each.name)
