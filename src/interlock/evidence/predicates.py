"""What statements say: the types of their predicates, and whose keys may sign each of them.

The URI of a type is `urn:interlock:predicate:` and its short name; JSON Schemas of them lie in docs/schemas/. An
attested event fits its statement: its subject or a text of its payload is the name of the statement's first subject; a
text of its payload, or the digest of the whole payload but the attestation, is that subject's digest; the statement's
`principal` and `signed_by` are the event's, and an agent's statement has its key's `role`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PURPOSES: Final[frozenset[str]] = frozenset({"log", "service", "human", "agent"})
"""What a key is for."""
AGENT_ROLES: Final[frozenset[str]] = frozenset({"planner", "operator", "verifier"})

PREFIX: Final = "urn:interlock:predicate:"
APPROVAL: Final = PREFIX + "approval/v1"
AGENT_RUN: Final = PREFIX + "agent-run/v1"
CHECKPOINT: Final = PREFIX + "checkpoint/v1"
DEPLOYMENT_OUTCOME: Final = PREFIX + "deployment-outcome/v1"
SELF_HEAL_REPORT: Final = PREFIX + "self-heal-report/v1"
ROLE_CHANGE: Final = PREFIX + "role-change/v1"
PIPELINE_ACCEPTANCE: Final = PREFIX + "pipeline-acceptance/v1"
KEY_CHANGE: Final = PREFIX + "key-change/v1"

_ACTING: Final[frozenset[str]] = frozenset({"agent", "service", "human"})
ALLOWED: Final[Mapping[str, frozenset[str]]] = {
    APPROVAL: frozenset({"human", "service"}),
    AGENT_RUN: frozenset({"service"}),
    CHECKPOINT: frozenset({"agent"}),
    DEPLOYMENT_OUTCOME: _ACTING,
    SELF_HEAL_REPORT: _ACTING,
    ROLE_CHANGE: frozenset({"human", "service"}),
    PIPELINE_ACCEPTANCE: frozenset({"human", "service"}),
    KEY_CHANGE: PURPOSES,
}
"""The purposes of keys that may sign a type. A checkpoint's key has the checkpoint's role besides (`attestations`), and
a change of keys has rules of its own (`directory`)."""

DEMANDED: Final[Mapping[str, str]] = {
    "draft.approved": APPROVAL,
    "pipeline.definition_accepted": PIPELINE_ACCEPTANCE,
    "pipeline.state.checkpoint_passed": CHECKPOINT,
    "role.changed": ROLE_CHANGE,
    "deployment_outcome.recorded": DEPLOYMENT_OUTCOME,
}
"""Kinds of entries that are worth nothing without a statement of this type, once the log knows of keys."""
