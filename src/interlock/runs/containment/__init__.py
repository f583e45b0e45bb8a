"""Containment: one agent command, alive only as long as its worker wants it, seeing only what it may.

    worker ── control pipe, status pipe, two output pipes ── supervisor ── keeper ── agent ── whatever it starts

`launch(Spec(...))` starts the tree and returns a `Contained`: wait for its start, read its output, stop it, wait for
its end. There are two modes, and every run says which one it had:

- `namespaces`: own user, mount, process and IPC namespaces (Linux, no root needed). The keeper is process 1 of the
  namespace, so its death is the death of all below it, and the agent sees a read-only world with holes cut for it.
- `best_effort`: where namespaces are forbidden. Supervisor and keeper are both subreapers: what the agent starts stays
  their descendant however often it forks, and is swept by descent and by run marker. Paths are not enforced. On macOS
  only the process group is killed.

Invariants:

- The end of the worker, the supervisor, the keeper or the agent is the end of the whole tree.
- The agent gets exactly the environment, working folder, standard streams and limits of its `Spec`, no capability, and
  no other file descriptor.
- Nothing is claimed that was not done: what a mode could not hold is named in `Started.notes`.

Two sides. The worker's: `spec`, `launch`, `output`, `errors`, and `wire` (the shapes between both). The supervisor's:
`supervisor` (the way in), `watch`, `birth`, `line`, `keeper`, `household`, `agent`, `view`, `linux`; they import
nothing that costs, because every start of a run waits for them. `processes` belongs to both.

This package does not know runs, leases, worktrees or the database, and does not interpret the output.
"""
