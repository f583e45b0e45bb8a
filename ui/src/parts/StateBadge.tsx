const TONES: Readonly<Record<string, string>> = {
  draft: "waits",
  pending: "waits",
  "not accepted": "waits",
  changed: "waits",
  running: "goes",
  approved: "good",
  done: "good",
  success: "good",
  accepted: "good",
  rejected: "bad",
  error: "bad",
  failed: "bad",
  invalid: "bad",
};

/** A state in a word; the colour only repeats it. */
export function StateBadge({ state }: { state: string }) {
  return (
    <span className="badge" data-tone={TONES[state.toLowerCase()] ?? "still"}>
      {state}
    </span>
  );
}
