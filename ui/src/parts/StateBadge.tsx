const TONES: Readonly<Record<string, string>> = {
  draft: "waits",
  pending: "waits",
  "not accepted": "waits",
  changed: "waits",
  running: "goes",
  in_progress: "goes",
  blocked: "waits",
  expired: "waits",
  approved: "good",
  valid: "good",
  passed: "good",
  done: "good",
  success: "good",
  accepted: "good",
  rejected: "bad",
  revoked: "bad",
  error: "bad",
  failed: "bad",
  invalid: "bad",
  healthy: "good",
  degraded: "waits",
  critical: "bad",
  unreadable: "bad",
  "not reconciled": "waits",
  ambiguous: "waits",
  confirmed: "good",
  "failed command": "bad",
  open: "bad",
  acknowledged: "goes",
  warning: "waits",
  delivered: "good",
  "rolled back": "bad",
  promoted: "good",
};

/** A state in a word; the colour only repeats it. */
export function StateBadge({ state }: { state: string }) {
  return (
    <span className="badge" data-tone={TONES[state.toLowerCase()] ?? "still"}>
      {state}
    </span>
  );
}
