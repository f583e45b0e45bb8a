/** What the address of the queue says: a screen that can be sent to somebody. */
import type { ItemStatus } from "../../types";

export const STATUSES = [
  "PENDING",
  "IN_PROGRESS",
  "BLOCKED",
  "FAILED",
  "DONE",
] as const satisfies readonly ItemStatus[];
export const PRIORITIES = ["P0", "P1", "P2"] as const;
export const PARTS = ["items", "workers", "figures", "limits"] as const;
const NARROWING = ["status", "priority", "owner", "text"] as const;

export interface Which {
  status?: ItemStatus;
  priority?: string;
  owner?: string;
  text?: string;
}

/** Read the filter of an address; a word that is not known narrows nothing. */
export function whichOf(search: string): Which {
  const asked = new URLSearchParams(search);
  const status = STATUSES.find((each) => each === asked.get("status"));
  const [priority, owner, text] = (["priority", "owner", "text"] as const).map((name) => asked.get(name) || undefined);
  return { ...(status && { status }), ...(priority && { priority }), ...(owner && { owner }), ...(text && { text }) };
}

export function isNarrow(which: Which): boolean {
  return NARROWING.some((name) => which[name] !== undefined);
}

/** The same address with some of its words changed; `undefined` takes a word away. */
export function addressOf(search: string, changes: Readonly<Record<string, string | undefined>>, id?: string): string {
  const words = new URLSearchParams(search);
  for (const [name, value] of Object.entries(changes)) {
    if (value) words.set(name, value);
    else words.delete(name);
  }
  const text = words.toString();
  return `/queue${id === undefined ? "" : `/${encodeURIComponent(id)}`}${text ? `?${text}` : ""}`;
}

/** The options of the command line that name the same items. */
export function optionsOf(which: Which): string[] {
  return NARROWING.flatMap((name) => (which[name] === undefined ? [] : [`--${name}`, which[name]]));
}
