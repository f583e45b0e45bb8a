"""What MCP refuses, before any room is asked."""

from __future__ import annotations

from typing import ClassVar

from interlock.kernel.errors import Invalid, NotFound, Refused

_APPROVE = "a human approves it with `interlock draft approve`; then use the a_… id that this answers with"


class DraftOutOfReach(Invalid):
    """This is a draft, and no draft is reachable over MCP: not to be read, not to be dispatched, not to be run."""

    code = "draft_out_of_reach"
    default_hint = _APPROVE


class NotAnId(Invalid):
    """This is not the id that is asked for here."""

    code = "mcp_not_an_id"


class ArgumentInvalid(Invalid):
    """The arguments are not what was asked for."""

    code = "mcp_argument_invalid"


class FileOutside(Invalid):
    """The file is not one inside of the repository."""

    code = "mcp_file_outside"
    default_hint = "name it as the repository does: relative to its top, with / between the parts, and without .."


class NoSuchResource(NotFound):
    """There is no such resource."""

    code = "mcp_no_such_resource"
    default_hint = "there are ops://plan, ops://approved, ops://approved/{id}, ops://runs/{id} and ops://context"


class NoSuchPrompt(NotFound):
    """There is no such prompt."""

    code = "mcp_no_such_prompt"
    default_hint = "there are orch_dispatch, sub_dispatch and editp_dispatch"


class NoSuchTool(NotFound):
    """There is no such tool."""

    code = "mcp_no_such_tool"
    default_hint = "there are create_run and get_run_status; nothing here reads drafts or approves them"


class BearerNeeded(Refused):
    """MCP is called with a token, and not with a browser's session."""

    code = "bearer_needed"
    status: ClassVar[int] = 401
    default_hint = "send Authorization: Bearer TOKEN with one that `interlock token create` printed"


class ForeignHost(Refused):
    """The server is not called by this name."""

    code = "foreign_host"
    status: ClassVar[int] = 421
    default_hint = 'add the name under which clients reach it: `names = ["…"]` in section [server] of interlock.toml'


class ForeignPage(Refused):
    """A page of another site may not call MCP here."""

    code = "foreign_page"
