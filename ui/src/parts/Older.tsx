/** The way to the next page of a list that is walked by j and k. */
export function Older({ more, busy, onMore }: { more: boolean; busy: boolean; onMore: () => void }) {
  if (!more) return null;
  return (
    <button type="button" disabled={busy} onClick={onMore}>
      {busy ? "…" : "Older"}
    </button>
  );
}
