"""Runs: one attempt after another to carry out what was approved, in a worktree of its own, until it ends once.

A run is made from an approved record and from nothing else. It moves together with its item in the queue, in one
transaction (`moves.py`); every write of a worker names the fence of its claim. What happened is told by its steps:
prepare, agent, collect, verify, finish. `repositories/` is the git side, `containment/` holds the agent's processes.
"""
