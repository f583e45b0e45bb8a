"""Pipelines: role agents carry the delivery pipeline, and signed checkpoints say how far it may go.

What this room is: roles and their agents, pipeline definitions in both documented forms, the digest under which a human
accepts one, the carrying out of its jobs, the checkpoints between them, deployments with health probes, self-heal.

What it is not: a second queue (agents' work is runs), a second approval (a checkpoint gates progress *inside* an
accepted definition), a second log (every change is an event of the one log, and the files of seed 3 follow it).

Invariants:
- A pipeline runs only at the digest that a human accepted. It covers every command, script, probe and binary named.
- A pipeline is what its events say: state is changed by folding an event, in the transaction that writes it; so the
  same fold rebuilds it from the ledger alone.
- A job starts only behind valid checkpoints of *this* run: the right role's own key over the artefact as it is now.
- Whoever carries a pipeline out holds a fence; every write of an earlier holder is refused.
- Failing is immediate: the first failed job, missing artefact or refused checkpoint ends the run as Failed.
- Jobs see the workspace without its state folder and its keys, and have no network unless their definition says so.

    definitions, materials, roles   what may run, and what it names
    fold                            events → pipelines and deployments
    service                         the verbs
    checkpoints, receipts, budget   what is held against a run while it goes
    running, jobs, agents           carrying it out
    deployments, strategies, probes declared steps, health, roll back
    gateway, checks, repairs, self_heal, optimization   looking after the workspace
"""
