"""The HTTP door of the inbox: `/ops/inbox`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Protocol

from fastapi import Query
from pydantic import Field

from interlock.access.models import PrincipalKind
from interlock.doors.api import Door, Here, Shown, house, needs
from interlock.inbox.models import Looker
from interlock.inbox.service import MOST, Inbox
from interlock.inbox.shown import show_inbox

door = Door("/ops/inbox", "inbox")

Kinds = Literal[
    "panic",
    "ambiguous_control",
    "critical_alert",
    "stuck_run",
    "loop_in_trouble",
    "checkpoint_failed",
    "approval_expiring",
    "draft_waiting",
    "run_failed",
    "pipeline_failed",
    "run_waiting",
    "alert_open",
]


class _House(Protocol):
    @property
    def inbox(self) -> Inbox: ...


class NextVerbShown(Shown):
    """The verb that ends the wait."""

    verb: str
    command: str = Field(description="The same verb on the command line.")
    console: bool = Field(description="Whether the console has it as well; else it is typed where the workspace is.")


class WaitingShown(Shown):
    """One thing that waits for a person."""

    kind: Kinds
    id: str = Field(description="Of what waits: `d_…`, `r_…`, a loop's name, `panic`.")
    title: str = Field(description="The kind, in words.")
    sentence: str
    cost: str = Field(description="What waiting costs.")
    since: str
    deadline: str | None = Field(description="When it is too late, where there is such a time.")
    href: str = Field(description="Where it stands in the console.")
    next: NextVerbShown | None = Field(description="Null where the caller may not do it.")
    who_can: str = Field(description="Who may do it.")
    ids: dict[str, str]
    alerts: list[str] = Field(description="Open alerts about the same matter; they are not listed again.")


class WaitingKindShown(Shown):
    """A kind of which there is something, in its order."""

    kind: Kinds
    title: str
    why: str = Field(description="Why it stands before the next.")
    cost: str
    listed: int
    more: bool = Field(description="Whether there are more than are listed.")


class InboxShown(Shown):
    """Everything that waits for a person, the dearest wait first."""

    id: Literal["inbox"]
    status: Literal["waiting", "empty"]
    now: str = Field(description="The server's time; deadlines are held against it.")
    items: list[WaitingShown]
    kinds: list[WaitingKindShown]
    more: bool


@door.get("", response_model=InboxShown)
@needs("actions")
def list_inbox(
    call: Here, most: Annotated[int, Query(ge=1, le=100, description="At most so many of a kind.")] = MOST
) -> dict[str, Any]:
    """List everything that waits for a person, ranked by what waiting costs; verbs only where they are the caller's."""
    looker = Looker(call.level, call.actor.principal.kind is PrincipalKind.HUMAN)
    return show_inbox(house(call, _House).inbox.list(most=most), looker)
