"""A workspace in which everything has happened once, so that every command has something to answer about."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from interlock.access.local import local_principal
from interlock.access.models import Actor, NewToken, Principal, PrincipalKind, Role
from interlock.app import Interlock
from interlock.approval.models import Work
from interlock.queue import markdown
from interlock.queue.exchange import as_rows
from interlock.queue.models import Executor, ItemKind, NewItem
from tests.cli.door import make_repository

ME = Actor(principal=local_principal(lambda: None, None))


@dataclass(frozen=True)
class Lived:
    """The workspace and what there is in it, by what it is good for."""

    root: Path
    outside: Path
    """A folder beside it: an export, a proof, an entry, a plan, a saved head."""
    ids: dict[str, str] = field(default_factory=dict[str, str])

    def __getitem__(self, name: str) -> str:
        return self.ids[name]

    def line(self, *words: str) -> list[str]:
        """Put ids in the places of `{name}`."""
        return [self[word.strip("{}")] if word.startswith("{") else word for word in words]


def live(root: Path, outside: Path) -> Lived:
    """Do everything once in a fresh workspace."""
    house = Interlock.at(root)
    lived = Lived(root, outside)
    for name in ("open", "to edit", "to approve", "to reject"):
        lived.ids[name] = house.approval.create(ME, f"a draft {name}").id
    repository = str(make_repository(outside / "repository"))
    for name, command in (("done", "echo more >> README.md"), ("failed", "exit 3"), ("failed too", "exit 3")):
        _run(house, lived, name, Work(command=("sh", "-c", command), repository=repository, checks=(("true",),)))
    house.worker(once=True).work()
    for name in ("to cancel", "to cancel by item", "to replan"):
        _run(house, lived, name, Work())
    lived.ids["to revoke"] = house.approval.approve(ME, house.approval.create(ME, "regretted").id).id
    _queue(house, lived)
    _access(house, lived)
    _write_evidence(house, outside)
    house.windows.catch_up(ME)
    house.database.close()
    return lived


def _run(house: Interlock, lived: Lived, name: str, work: Work) -> None:
    draft = house.approval.create(ME, f"a run {name}", work=work)
    approved = house.approval.approve(ME, draft.id)
    run = house.runs.create(ME, approved.id)
    lived.ids.update({name: run.id, f"{name}: approved": approved.id, f"{name}: item": run.item_id})


def _queue(house: Interlock, lived: Lived) -> None:
    with house.queue(ME) as queue:
        for name, priority, key in (("held", "P0", None), ("manual", "P1", None), ("keyed", "P2", "gpu")):
            new = NewItem(
                kind=ItemKind.MANUAL,
                executor=Executor.EXTERNAL,
                priority=priority,
                task=f"an item {name}",
                success_criteria="it is done",
                concurrency_key=key,
            )
            lived.ids[name] = queue.add(new).id
        held = queue.claim(Executor.EXTERNAL, "bob")
        assert held is not None
        assert held.id == lived["held"]
    with house.queue_look() as queue:
        rows = list(as_rows(queue))
    empty = markdown.read(house.layout.markdown_queue)
    (lived.outside / "QUEUE.md").write_bytes(markdown.rendered(empty, rows, banner=False))


def _access(house: Interlock, lived: Lived) -> None:
    for name in ("to rotate", "to take back"):
        new = NewToken(name="ci", principal=Principal(PrincipalKind.SERVICE, "ci"), role=Role.OPERATOR)
        lived.ids[f"token {name}"] = house.access.create(ME, new, role=Role.ADMIN).token.id


def _write_evidence(house: Interlock, outside: Path) -> None:
    (outside / "saved-head").write_text(house.evidence.head().note)
    house.evidence.export(outside / "export")
    (outside / "proof").write_text(house.evidence.prove(0))
    lines = (outside / "export" / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    (outside / "entry").write_bytes(lines[0])
    (outside / "plan.json").write_text(
        '{"id":"p","title":"t","workspace":"w","created":"c","objective":"o",'
        '"tasks":[{"id":"t1","title":"t","scope":"s","description":"d"}]}'
    )
