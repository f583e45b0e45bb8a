"""loops: supervises agent loops. It says from their artefacts what is really true of them, and steers them.

The runtime owns what lies under `.superloop/` beside `state.json`; this room owns `.superloop/ops-manager/<loop>/` and
writes nothing else. A reconcile is a list of steps, each a pure function of what was read; the files change together or
not at all: what is to be written is noted first (`journal.py`), and who comes next completes it.

Files and shapes are those of seed 2, which other tools read; `schema/` in a workspace holds their JSON Schemas.
Not here: sending alerts (an escalation is one line in a file; `alerts` reads it), and carrying runs out (`runs`).
"""
