/** Smaller differences are the way of an answer, and a `Date` that knows whole seconds only. */
const NOTICED_MS = 30_000;
let ahead = 0;

/** Learn from an answer's `Date` how far this browser's clock stands from the server's. */
export function hear(date: string | null): void {
  const told = Date.parse(date ?? "");
  if (Number.isNaN(told)) return;
  const off = Date.now() - told;
  ahead = Math.abs(off) < NOTICED_MS ? 0 : off;
}

/** The server's now, in milliseconds: what it dates is compared with this, and never with this browser's clock. */
export function serverNow(): number {
  return Date.now() - ahead;
}
