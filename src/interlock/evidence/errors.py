"""What can be wrong with evidence, one class and one exit code per kind.

    exit  code                 class                 what it means
    10    malformed_line       LineMalformed         a line is not what the room writes
    11    torn_tail            TailTorn              the last line has no end
    12    index_mismatch       IndexMismatch         lines were dropped, added or swapped
    13    leaf_mismatch        LeafMismatch          an event was edited
    14    projection_mismatch  ProjectionMismatch    a line's copies differ from its event
    15    head_signature       HeadSignatureInvalid   a head is not signed by a trusted key
    16    root_mismatch        RootMismatch          history before a head was rewritten
    17    truncated            LedgerTruncated       a head covers more than there is
    18    head_order           HeadOrderBroken       the heads contradict each other
    19    saved_head_mismatch  SavedHeadMismatch     an auditor's head is not on this log
    20    log_mismatch         LogMismatch           the export is not the database's log
    21    unsigned             LedgerUnsigned        there is no head at all
    22    missing_file         FileMissing           a file to verify is not there
    23    proof_rejected       ProofRejected         a proof does not hold
    24    envelope_rejected    EnvelopeRejected      an attestation does not hold
    25    key_not_allowed      KeyNotAllowed         a key signed what its purpose or role does not allow
    26    key_revoked          KeyNoLongerValid      a key signed outside its window: too early, retired or revoked
    27    attestation_mismatch AttestationMismatch   a statement is about something else: replayed
    28    quorum_unmet         QuorumUnmet           too few witnesses cosigned the last head
    29    consistency_rejected ConsistencyRejected   one head is not the beginning of another
    30    mirror_drift         MirrorDrift           a log's two copies differ
    31    report_mismatch      ReportMismatch        a report says what the log does not
    32    state_mismatch       StateMismatch         the state is not what the log comes to
    33    signature_policy     SignaturePolicyUnmet  the service signed where the principal had to
    34    run_receipt_rejected RunReceiptRejected    a receipt's parts do not belong together

The room itself tells no MirrorDrift, ReportMismatch and StateMismatch: these the replay of pipelines finds, above it.
A note that is refused outside `verify_export` is a `NoteRejected` (exit 15, with a finer code). What concerns a caller
and not the evidence (a missing key, a head that may not be signed) belongs to the kernel's families and exit codes.
"""

from __future__ import annotations

from typing import ClassVar

from interlock.kernel.errors import Conflict, Failed, Invalid, NotFound, Refused


class EvidenceError(Failed):
    """The evidence does not hold."""

    code = "evidence_error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "", *, hint: str = "", index: int | None = None, line: int | None = None) -> None:
        """Take the sentence and the place: `index` counts entries from 0, `line` counts a file's lines from 1."""
        super().__init__(message, hint=hint)
        self.index = index
        self.line = line
        if index is not None:
            self.message = f"entry {index} (line {line}): {self.message}"
        elif line is not None:
            self.message = f"head on line {line}: {self.message}"
        self.args = (self.message,)


class LineMalformed(EvidenceError):
    """The line is not what the export writes."""

    code = "malformed_line"
    exit_code = 10


class TailTorn(EvidenceError):
    """The last line has no end: its writing was interrupted, or it was cut."""

    code = "torn_tail"
    exit_code = 11
    default_hint = "export again"


class IndexMismatch(EvidenceError):
    """The line stands at another place than its index says: lines were dropped, added or swapped."""

    code = "index_mismatch"
    exit_code = 12


class LeafMismatch(EvidenceError):
    """The event was edited: its hash is not the line's leaf_hash."""

    code = "leaf_mismatch"
    exit_code = 13


class ProjectionMismatch(EvidenceError):
    """The line's copies of the event's fields differ from the event."""

    code = "projection_mismatch"
    exit_code = 14


class HeadSignatureInvalid(EvidenceError):
    """The head is not signed by a trusted key."""

    code = "head_signature"
    exit_code = 15


class RootMismatch(EvidenceError):
    """History before a signed head was rewritten."""

    code = "root_mismatch"
    exit_code = 16


class LedgerTruncated(EvidenceError):
    """A signed head covers more entries than the ledger has."""

    code = "truncated"
    exit_code = 17


class HeadOrderBroken(EvidenceError):
    """The signed heads contradict each other."""

    code = "head_order"
    exit_code = 18


class SavedHeadMismatch(EvidenceError):
    """A head that an auditor saved is not on this log."""

    code = "saved_head_mismatch"
    exit_code = 19


class LogMismatch(EvidenceError):
    """The export is not the database's log."""

    code = "log_mismatch"
    exit_code = 20
    default_hint = "export again; if it still differs, the ledger or the database was changed by hand"


class LedgerUnsigned(EvidenceError):
    """No signed head vouches for this ledger."""

    code = "unsigned"
    exit_code = 21
    default_hint = "sign the log's present state (`interlock evidence head`, where its key lies), then export again"


class FileMissing(EvidenceError):
    """A file that verification needs is not there."""

    code = "missing_file"
    exit_code = 22


class ProofRejected(EvidenceError):
    """The proof does not hold."""

    code = "proof_rejected"
    exit_code = 23


class RunReceiptRejected(EvidenceError):
    """It is not a run's receipt."""

    code = "run_receipt_rejected"
    exit_code = 34


class EnvelopeRejected(EvidenceError):
    """The attestation's envelope does not hold."""

    code = "envelope_rejected"
    exit_code = 24


class KeyNotAllowed(EvidenceError):
    """The key's purpose or role does not allow what it signed."""

    code = "key_not_allowed"
    exit_code = 25


class KeyNoLongerValid(EvidenceError):
    """The key signed outside its window: before it was added, after it was retired, or after it was revoked."""

    code = "key_revoked"
    exit_code = 26


class AttestationMismatch(EvidenceError):
    """The signed statement is about something else than its entry."""

    code = "attestation_mismatch"
    exit_code = 27


class QuorumUnmet(EvidenceError):
    """Too few witnesses cosigned the last head."""

    code = "quorum_unmet"
    exit_code = 28
    default_hint = "ask the witnesses (`interlock evidence witness request`) and add what they answer"


class ConsistencyRejected(EvidenceError):
    """One head is not the beginning of another."""

    code = "consistency_rejected"
    exit_code = 29


class MirrorDrift(EvidenceError):
    """The two copies of a log differ."""

    code = "mirror_drift"
    exit_code = 30


class ReportMismatch(EvidenceError):
    """The report says what the log does not."""

    code = "report_mismatch"
    exit_code = 31


class StateMismatch(EvidenceError):
    """The state is not what the log comes to."""

    code = "state_mismatch"
    exit_code = 32


class SignaturePolicyUnmet(EvidenceError):
    """The service signed on behalf of a principal whose own signature is demanded."""

    code = "signature_policy"
    exit_code = 33


class NoteRejected(EvidenceError):
    """The signed note does not hold."""

    code = "note_rejected"
    exit_code = 15


class NoteMalformed(NoteRejected):
    """This is not a signed note."""

    code = "note_malformed"


class SignatureInvalid(NoteRejected):
    """A trusted key's signature does not fit the note's text."""

    code = "signature_invalid"


class NoteUntrusted(NoteRejected):
    """No trusted key signed this note."""

    code = "note_untrusted"


class HeadMalformed(NoteRejected):
    """The note's text is not a tree head."""

    code = "head_malformed"


class FrontierMalformed(EvidenceError):
    """The stored bytes are not a tree's frontier."""

    code = "frontier_malformed"


class EventMalformed(Invalid):
    """This leaf is not the canonical JSON of an event."""

    code = "event_malformed"


class KeyMalformed(Invalid):
    """This is not an Ed25519 key in the expected form."""

    code = "key_malformed"


class KeyMissing(NotFound):
    """There is no such key."""

    code = "key_missing"


class KeyUnknown(NotFound):
    """The log knows no such key."""

    code = "key_unknown"
    default_hint = "`interlock evidence keys list` shows what there is"


class KeyEnded(Conflict):
    """The key has been retired or revoked."""

    code = "key_ended"


class KeyNeeded(Conflict):
    """Without this key nothing could be signed any more."""

    code = "key_needed"
    default_hint = "rotate it first: `interlock evidence keys rotate NAME`"


class KeyNameInvalid(Invalid):
    """This can not be a key's name, purpose or role."""

    code = "key_name_invalid"


class KeyRoleTaken(Conflict):
    """The agent's key is for another role."""

    code = "key_role_taken"
    default_hint = "retire it first (`interlock evidence keys retire`); then the agent gets one for its new role"


class PolicyMalformed(Invalid):
    """This is not a witness policy."""

    code = "policy_malformed"


class CosignatureRejected(Conflict):
    """No line of this answer is a cosignature, by a witness of the policy, over a head of this log."""

    code = "cosignature_rejected"
    default_hint = "look whether the policy names the witness's key, and whether it was asked about this log"


class WitnessStateDamaged(Failed):
    """The witness's state file can not be read, so nothing is cosigned."""

    code = "witness_state_damaged"
    default_hint = "restore it from a backup; a witness that forgets what it has cosigned is none"


class RequestMalformed(Invalid):
    """This is not a request to a witness, or not an answer of one."""

    code = "request_malformed"


class KeyExists(Conflict):
    """There is a key already, and a key is never overwritten."""

    code = "key_exists"


class KeyUnsafe(Refused):
    """Others than the owner can reach this key."""

    code = "key_unsafe"


class HeadRefused(Conflict):
    """The log does not extend its last signed head, so no new head is signed."""

    code = "head_refused"
    default_hint = "the database was restored or edited; verify the last export against it before anything else"


class EntryNotCovered(Conflict):
    """No signed head covers this entry yet."""

    code = "entry_not_covered"
    default_hint = "sign the log's present state first: interlock evidence head"


class EntryUnknown(NotFound):
    """The log has no such entry."""

    code = "entry_not_found"


class StretchTooLong(Invalid):
    """A download of the log is bounded."""

    code = "stretch_too_long"
    default_hint = "name a smaller stretch with `first` and `end`; `interlock evidence export DIR` writes all of it"
