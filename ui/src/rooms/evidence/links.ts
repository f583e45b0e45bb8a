/** What is looked for in the log, as it stands in an address: each filter can be sent to somebody. */
import type { LogFilter } from "../../types";

const TEXTS = ["kind", "subject", "principal", "text"] as const;
const WHOLE = /^\d{1,15}$/;

export function asked(search: string): LogFilter {
  const words = new URLSearchParams(search);
  const outcome = words.get("outcome");
  const before = words.get("before") ?? "";
  const found: LogFilter = {};
  for (const name of TEXTS) {
    const word = words.get(name);
    if (word) found[name] = word;
  }
  if (outcome === "allowed" || outcome === "denied") found.outcome = outcome;
  if (WHOLE.test(before)) found.before = Number(before);
  return found;
}

/** Return an address with some filters changed; one that is undefined is left out, and so is the page. */
export function link(base: string, now: LogFilter, change: LogFilter = {}): string {
  const { before, ...kept } = { ...now, before: undefined, ...change };
  const words = new URLSearchParams();
  for (const [name, word] of Object.entries({ ...kept, before })) {
    if (word !== undefined && word !== "") words.set(name, String(word));
  }
  return words.size ? `${base}?${words}` : base;
}

export function isFiltered({ kind, subject, principal, text, outcome }: LogFilter): boolean {
  return Boolean(kind || subject || principal || text || outcome);
}
