"""The shapes of what worker and supervisor tell each other: one JSON object on one line each.

The worker writes one `SpecJson` to the supervisor's stdin, and then orders: single bytes, `TERMINATE` or `KILL`, or
`RENEW` with an instant. End of file there means that the worker is gone. The supervisor answers on stdout with
`StartedJson` or `RefusedJson`, and after a start with `EndedJson`. The other shapes travel between supervisor, keeper
and agent. All are for the type checker: the supervisor imports this module only while it is being checked.
"""

from __future__ import annotations

from typing import Literal, TypedDict

GitMode = Literal["overlay", "read_only", "none"]
Mode = Literal["namespaces", "best_effort"]
StopReason = Literal["wall_clock", "stopped", "control_closed"]
EndReason = Literal["exited", "wall_clock", "stopped", "control_closed", "supervisor_lost"]


class OverlayJson(TypedDict):
    """A folder that the agent may write to without changing it: what it writes lands in `upper`."""

    lower: str
    upper: str
    work: str


class SpecJson(TypedDict):
    """What to run and within which limits; the fields are explained in `spec.Spec`."""

    argv: list[str]
    env: dict[str, str]
    cwd: str
    stdin_file: str
    stdout_fd: int
    stderr_fd: int
    run_marker: str
    wall_clock_seconds: float | None
    lease_until: float | None
    grace_seconds: float
    max_file_bytes: int | None
    max_processes: int | None
    hidden_paths: list[str]
    writable_paths: list[str]
    readonly_paths: list[str]
    overlay_paths: list[OverlayJson]
    private_tmp_bytes: int | None
    network: bool
    local_services: bool
    namespaces: Literal["auto", "never", "require"]


class ViewJson(TypedDict):
    """What the agent's view of the file system became."""

    git: GitMode
    notes: list[str]


class BirthJson(TypedDict, total=False):
    """One line on the birth pipe, which ends when the agent's `exec` has happened or has failed."""

    view: ViewJson
    unavailable: str
    pid: int
    start_time: int
    refused: str
    message: str


class LastWordJson(TypedDict):
    """The keeper's report: the agent's wait status, and how many others it had to kill."""

    status: int
    leftovers: int | None


class StartedJson(TypedDict):
    """The agent's program runs."""

    event: Literal["started"]
    pid: int
    start_time: int
    boot_id: str
    supervisor_pid: int
    keeper_pid: int
    keeper_start_time: int
    containment: Mode
    git: GitMode
    notes: list[str]


class RefusedJson(TypedDict):
    """The agent's program was not started, and nothing of it is left."""

    event: Literal["refused"]
    reason: str
    message: str


class EndedJson(TypedDict):
    """The agent has ended, and so has everything that it started."""

    event: Literal["ended"]
    exit_code: int | None
    signal: int | None
    reason: EndReason
    duration_ms: int
    killed_leftovers: int | None
    survivors: int
