"""Every verb, called on a workspace of this machine and on the same one from afar: the same answer, the same code."""

from __future__ import annotations

import json
import shlex

import pytest

from interlock.kernel.ids import with_prefix
from interlock.remote.house import REFUSED, ROOMS
from tests.cli.door import Said
from tests.cli.lived import Lived
from tests.cli.test_answers import CALLS
from tests.remote.conftest import Pair
from tests.remote.far import alike, alike_json

BOTH = [words for words in CALLS if words[0] in ROOMS and words not in REFUSED]
_LOOKS = {
    "truth",
    "show",
    "list",
    "log",
    "diff",
    "wait",
    "status",
    "workers",
    "explain",
    "consistency-check",
    "check",
    "prove",
}
READING = [words for words in BOTH if words[-1] in _LOOKS]
CHANGING = [words for words in BOTH if words[-1] not in _LOOKS]


def _asked(pair: Pair, words: tuple[str, ...], *more: str) -> tuple[Said, Said]:
    lines = [
        [*more, *words, *CALLS[words](lived), *(("--repo", str(lived.root / "clone")) if "apply" in words else ())]
        for lived in (pair.here_lived, pair.far_lived)
    ]
    return pair.here(*lines[0]), pair.far(*lines[1])


def _same(pair: Pair, words: tuple[str, ...]) -> None:
    here, there = _asked(pair, words)
    assert (here.code, there.code) == (0, 0), (here, there)
    assert alike(there.out) == alike(here.out)
    assert alike(there.err) == alike(here.err)


def _same_document(pair: Pair, words: tuple[str, ...]) -> None:
    here, there = _asked(pair, words, "--json")
    assert (here.code, there.code) == (0, 0), (here, there)
    assert alike_json(json.loads(there.out)) == alike_json(json.loads(here.out))


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_what_is_read_is_the_same_from_afar(steady: Pair, words: tuple[str, ...]) -> None:
    _same(steady, words)
    _same_document(steady, words)


@pytest.mark.parametrize("words", CHANGING, ids=" ".join)
def test_a_change_answers_people_the_same_from_afar(pair: Pair, words: tuple[str, ...]) -> None:
    _same(pair, words)


@pytest.mark.parametrize("words", CHANGING, ids=" ".join)
def test_a_change_answers_programs_the_same_from_afar(pair: Pair, words: tuple[str, ...]) -> None:
    _same_document(pair, words)


OPTIONS = [
    """draft create --prompt 'sweep the floor' --context '{"b": [1, null], "a": "é"}' --repo {clone} --base main
       --command "sh -c 'echo x'" --check true --check 'test -f README.md' --env HOME --env TZ --no-network""",
    "draft create --prompt p --limit wall_clock_seconds=60 --limit disk_bytes=1000",
    "draft create --prompt p --repo {clone}",
    "draft create --prompt p --agent codex --agent-model m --need gpu --limit tokens=5",
    'draft generate --prompt p --context \'{"system": "be brief"}\'',
    "draft list --status approved --limit 2",
    "draft list --status rejected",
    "draft show {d:to revoke}",
    "draft edit {to edit} --content 'in small steps' --context '{\"a\": 1}' --version 1",
    "draft edit {to edit} --repo {clone} --command true --check true --network --limit check_seconds=9",
    "draft edit {to edit} --without check --without need --without allow --without agent-model --without rung",
    "draft edit {to edit} --agent claude_code --allow Read --allow 'Bash(git:*)' --rung checked",
    "draft approve {to approve} --expires-after 60",
    "draft reject {to reject} --reason 'not now' --version 1",
    "approved list --limit 2",
    "approved show {done: approved}",
    "approved revoke {to revoke} --reason 'second thoughts'",
    "run create {done: approved} --priority P0",
    "run list --status done --limit 1",
    "run list --status running",
    "run show {failed}",
    "run log {done} --after 1",
    "run log {done} --follow",
    "run diff {to cancel}",
    "run cancel {to cancel} --reason 'no need'",
    "run ci {to cancel} --commit aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa --status failure --url https://ci.example.org/1",
    "run wait {failed}",
    "run wait {to cancel} --seconds 0",
    "queue add --task t --success-criteria s --priority P0 --due '2026-12-01 17:00' --notes 'see a|b' --max-attempts 7",
    "queue add --task t --success-criteria s --idempotency-key k --concurrency-key gpu",
    "queue add --task t --success-criteria s --not-before 2099-01-01T00:00:00Z",
    "queue list --status PENDING --priority P1 --text ITEM --limit 1",
    "queue list --owner bob",
    "queue list --older-than 1d",
    "queue claim --owner-session ada --lease-seconds 77",
    "queue complete {held} --fence 1 --notes 'it is done'",
    "queue fail {held} --owner-session bob --class transient --reason r --notes n",
    "queue fail {held} --owner-session bob",
    "queue release {held} --owner-session bob --notes later",
    "queue cancel {manual} --reason enough",
    "queue replan {held} --notes anew",
    "queue retry {failed: item} --reason again",
    "queue reprioritise {manual} --to P2 --reason calm",
    "queue reprioritise {manual} --to P1",
    "queue snooze {manual} --until 2099-01-01T00:00:00Z --reason winter",
    "queue pause --reason winter --until 2099-01-01T00:00:00Z",
    "queue limit gpu --most 2",
    "queue limit gpu",
    "queue limit cpu",
    "queue cancel --status PENDING",
    "queue cancel --status PENDING --yes",
    "token create --name ci --role admin --kind human --principal ada --expires-in 30d",
    "token rotate {token to rotate} --grace 1h",
    "token revoke {token to take back} --reason lost",
    "panic on --reason r --stop-runs",
    "provider set --name here --model other-model",
    "provider set --name keyed --type anthropic --model m --api-key-env MY_KEY --active keyed",
    "provider check",
    "evidence list --after 3 --limit 2",
    "evidence list --subject {done}",
    "evidence list --after 9999",
    "evidence prove 3",
]


def _line(lived: Lived, text: str) -> list[str]:
    """Split a line; `{name}` is the id of that name, `{d:name}` the draft that an approved record came from."""
    named = {**lived.ids, "clone": str(lived.root / "clone")}
    named |= {f"d:{name}": with_prefix(known, "d") for name, known in lived.ids.items() if known.startswith("a_")}
    for name, known in named.items():
        text = text.replace(f"{{{name}}}", known)
    return shlex.split(text)


@pytest.mark.parametrize("text", OPTIONS)
def test_an_option_means_the_same_from_afar(pair: Pair, text: str) -> None:
    here = pair.here("--json", *_line(pair.here_lived, text))
    there = pair.far("--json", *_line(pair.far_lived, text))
    assert there.code == here.code, (here, there)
    assert alike(there.err) == alike(here.err)
    assert alike_json(json.loads(there.out)) == alike_json(json.loads(here.out))
