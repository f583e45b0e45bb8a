"""Where a run can go: to a node that has what was asked for, and its agent's program."""

from __future__ import annotations

import pytest

from interlock.app import Interlock
from interlock.approval.models import Work
from interlock.fleet.models import Facts
from interlock.queue.models import Because, Item
from tests.conftest import ALICE


def made(house: Interlock, work: Work) -> Item:
    draft = house.approval.create(ALICE, "do it", work=work)
    run = house.runs.create(ALICE, house.approval.approve(ALICE, draft.id).id)
    with house.queue_look() as queue:
        return queue.get(run.item_id)


def reasons(house: Interlock, item: Item) -> dict[str, str]:
    with house.queue_look() as queue:
        found: list[Because] = list(queue.explain(item.id))
    return {each.code: each.text for each in found}


def join(house: Interlock, name: str, *has: str) -> None:
    facts = Facts(
        id=f"n_{house.new_ulid()}",
        name=name,
        host=name,
        boot_id="b",
        version="1",
        capabilities=tuple(sorted(has)),
        labels=(),
        concurrency=2,
    )
    house.fleet.join(ALICE, facts)


@pytest.mark.parametrize(
    ("work", "needs"),
    [
        (Work(command=("codex", "exec", "-"), agent="codex"), ("agent=codex",)),
        (Work(command=("codex", "exec", "-"), agent="codex", needs=("gpu", "agent=codex")), ("agent=codex", "gpu")),
        (Work(command=("/opt/codex", "exec", "-"), agent="codex"), ()),
        (Work(command=("codex", "exec", "-")), ()),
        (Work(command=("true",), needs=("gpu",)), ("gpu",)),
    ],
    ids=["by its name", "asked for as well", "by its path", "as any command", "a label"],
)
def test_a_run_asks_for_its_agent_where_its_program_is_found_by_its_name(
    house: Interlock, work: Work, needs: tuple[str, ...]
) -> None:
    assert made(house, work).needs == needs


def test_it_is_said_how_many_nodes_could_take_a_run(house: Interlock) -> None:
    join(house, "one", "agent=command")
    item = made(house, Work(command=("codex", "exec", "-"), agent="codex"))
    assert "needs_unmet" in reasons(house, item)
    join(house, "two", "agent=command", "agent=codex")
    told = reasons(house, item)
    assert "needs_unmet" not in told
    assert told["needs"].endswith("live nodes that do: 1")
