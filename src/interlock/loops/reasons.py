"""Every word that is said of a loop, explained in a sentence, with what to do about it: command line and HTTP alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Said(NamedTuple):
    """What a word means."""

    title: str
    """For a line of a list."""
    means: str
    do: str
    """Empty where nothing is to be done."""


REASONS: Final[Mapping[str, Said]] = {
    "divergence_detected": Said(
        "its records contradict each other",
        "What the runtime noted and what it did do not fit together, so its state is not to be trusted.",
        "Look at the flags, mend the runtime's files or let it go on, then reconcile; after a lost log from its start.",
    ),
    "control_ambiguous": Said(
        "the last intent may or may not have taken effect",
        "The last intent was carried out, but its effect was not seen.",
        "Do not repeat it blindly: reconcile, look at the runtime, then acknowledge.",
    ),
    "control_failed_command": Said(
        "the last intent failed",
        "The runtime refused the last intent, or its program could not be run.",
        "Read its output, mend the cause, and repeat it only if the loop still needs it; else acknowledge.",
    ),
    "ingest_stale": Said(
        "no event for too long",
        "The loop is said to run, and its log has had no event for longer than its profile allows.",
        "See whether the agent hangs: look at its last event and its heartbeat, and cancel it if it does.",
    ),
    "runtime_heartbeat_stale": Said(
        "no heartbeat for too long",
        "The runtime has not said that it lives for longer than its profile allows.",
        "See whether its process is there; if it hangs, cancel the loop and start it anew.",
    ),
    "missing_heartbeat_timestamp": Said(
        "a heartbeat without a time",
        "The runtime's heartbeat does not say when it was, so its age is not known.",
        "Mend what writes `heartbeat.v1.json`.",
    ),
    "invalid_heartbeat_timestamp": Said(
        "a heartbeat with a time that is none",
        "The time in the runtime's heartbeat can not be read, so its age is not known.",
        "Mend what writes `heartbeat.v1.json`: its time is RFC 3339.",
    ),
    "runtime_process_dead": Said(
        "its process is gone",
        "The runtime noted that the loop runs, and the process that it noted is not there any more.",
        "Start the loop anew; what it did last stands in its log.",
    ),
    "transport_unreachable": Said(
        "its files can not be had",
        "The runtime's files, or the service that hands them out, could not be read.",
        "Check the path, the rights and the service, then reconcile.",
    ),
    "invalid_transport_payload": Said(
        "the service answers with something else",
        "The service answered, but not with what it should have sent.",
        "Check its address and its version, then reconcile.",
    ),
    "ordering_drift_detected": Said(
        "events came out of order, or are missing",
        "The log does not hold what it once held, or its events are not in their order.",
        "Find out who cut or replaced the log, then reconcile from the start.",
    ),
    "artifact_corrupt": Said(
        "a file is broken",
        "A file of the runtime's or of ours is no JSON that can be read; it was done without.",
        "Look at the file that is named; mend or remove it, then reconcile.",
    ),
    "artifact_unsupported": Said(
        "a file of an unknown version",
        "The runtime has written a file of a version that is not known here.",
        "Bring the runtime or Interlock up to date.",
    ),
    "cursor_corrupt": Said(
        "the cursor is broken",
        "The file that says which events were read can not be read.",
        "Remove the cursor, and reconcile from the start.",
    ),
    "events_invalid": Said(
        "lines that are no events",
        "Some lines of the loop's log are no events; they were passed over.",
        "Look at what else writes into the log.",
    ),
    "projection_failed": Said(
        "its state could not be worked out",
        "What was read of the loop could not be made into a state.",
        "Reconcile again; if it stays, look at the files that the runtime wrote.",
    ),
    "reconcile_failed": Said(
        "it could not be looked at",
        "The last look at the loop failed.",
        "Reconcile again; the failure's code says more.",
    ),
    "profile_drift_detected": Said(
        "another threshold profile would suit it",
        "For some time its telemetry has recommended another threshold profile than the one that is applied.",
        "Compare the profiles with `interlock loop threshold`, and choose; nothing is switched by itself.",
    ),
    "file_corrupt": Said(
        "our own record is broken",
        "A file in which its state is kept can not be read.",
        "Put the file aside, and reconcile: it is written anew.",
    ),
    "file_unreadable": Said(
        "our own record can not be read",
        "A file in which its state is kept can not be opened.",
        "Check the rights of `.superloop/ops-manager`, then reconcile.",
    ),
}

VIOLATIONS: Final[Mapping[str, Said]] = {
    "snapshot_sequence_missing": Said(
        "the snapshot has no number", "The snapshot does not say how far the log is.", ""
    ),
    "snapshot_sequence_regression": Said(
        "the log is shorter than it was", "The log ends before where it once ended: events are lost.", ""
    ),
    "event_sequence_missing": Said("an event has no number", "An event came without its place in the log.", ""),
    "event_sequence_non_monotonic": Said(
        "events out of order", "Within one batch an event came before one that stands behind it.", ""
    ),
    "event_sequence_regression": Said(
        "events that were read are gone", "The log does not reach as far as what had been read of it.", ""
    ),
}

FLAGS: Final[Mapping[str, Said]] = {
    "activeMismatch": Said(
        "works, but is not active", "The last event is one of a loop at work, and the runtime says that none is.", ""
    ),
    "approvalCompletionConflict": Said(
        "complete, and still asks", "The loop is complete, and an approval of it is pending all the same.", ""
    ),
    "cursorRegression": Said(
        "the log lost events", "The log lost what it once held; that stands until it is reconciled from the start.", ""
    ),
}

STATES: Final[Mapping[str, Said]] = {
    "awaiting_approval": Said("waits for an approval", "It goes on when a person approves or rejects.", ""),
    "complete": Said("complete", "Its last run reached what it was to reach.", ""),
    "running": Said("running", "The runtime says that it is at work.", ""),
    "stopped": Said("stopped", "It stopped, or was stopped, before it was complete.", ""),
    "failed": Said("failed", "Its last event is a failure, or its process is gone.", ""),
    "idle": Said("idle", "It has run, and nothing is under way.", ""),
    "unknown": Said("unknown", "The runtime's files do not say what it does.", ""),
}

OUTCOMES: Final[Mapping[str, Said]] = {
    "confirmed": Said("confirmed", "It was carried out, and its effect was seen.", ""),
    "executed_unconfirmed": Said(
        "carried out, not looked for",
        "It was carried out; nobody looked for its effect.",
        "Reconcile to see whether it took effect.",
    ),
    "ambiguous": Said(
        "nobody knows whether it took effect",
        "It was carried out, but its effect was not seen in time: it may have happened, or not.",
        "Do not repeat it. Reconcile, look at the runtime, then acknowledge; machines may not steer it until then.",
    ),
    "failed_command": Said(
        "not carried out",
        "The runtime refused it, or could not be reached.",
        "Read the output, mend the cause, and repeat it only if the loop still needs it.",
    ),
    "executed": Said("carried out", "It was carried out, and its outcome was not told.", "Reconcile to see."),
    "acknowledged": Said("looked after", "A person has looked after the intent before it.", ""),
}

DRIFT: Final[Mapping[str, Said]] = {
    "no_recommendation": Said("no recommendation", "Its telemetry recommends no profile yet.", ""),
    "aligned": Said("aligned", "The profile that is applied is the one that its telemetry recommends.", ""),
    "insufficient_confidence": Said(
        "too little is known",
        "Another profile might suit it, but its telemetry says so with too little confidence.",
        "",
    ),
    "mismatch_pending": Said(
        "another profile might suit it", "Another profile is recommended, but not for long enough to count.", ""
    ),
    "drift_active": REASONS["profile_drift_detected"],
}


def said(table: Mapping[str, Said], word: str) -> Said:
    """Explain a word; of one that is not known, say that."""
    unknown = Said(word.replace("_", " "), f"`{word}` was reported; nothing more is known of it here.", "")
    return table.get(word, unknown)
