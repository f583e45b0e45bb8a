/** What this page remembers until it is left: the key that the reader trusts, and the newest head that was seen. */
import { useSyncExternalStore } from "react";
import { client } from "../../api/client";
import { readHead, readNote } from "./note";
import { readTrusted, type Step, verifyConsistency } from "./verifying";

let pasted = "";
let seen: string | undefined;
const listeners = new Set<() => void>();

function listen(listener: () => void) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** The verifier key that the reader pasted, or none. In memory only: no storage, no address, no server. */
export function useTrusted(): string {
  return useSyncExternalStore(listen, () => pasted);
}

/** Trust a key once it is read; throws a `Refusal` for what is none. An empty text trusts the server's word again. */
export async function trust(vkey: string): Promise<void> {
  const text = vkey.trim();
  if (text) await readTrusted([text]);
  pasted = text;
  for (const listener of listeners) listener();
}

export function forgetAll(): void {
  pasted = "";
  seen = undefined;
}

const sizeOf = (note: string) => readHead(readNote(note).text).size;

/** Hold a head against the one seen before in this page; it is remembered once it holds. */
export async function grown(note: string, vkeys: readonly string[]): Promise<Step> {
  const before = seen ?? note;
  const sizes = [sizeOf(before), sizeOf(note)];
  const [first = 0, second = 0] = sizes;
  let proof: string | undefined;
  if (first < second) {
    const { data, error } = await client.GET("/ops/evidence/consistency", { params: { query: { first, second } } });
    if (!data) return { name: "Growth", state: "fails", said: error.detail };
    proof = data.proof;
  }
  const step = await verifyConsistency(before, note, proof, vkeys);
  if (step.state === "holds") {
    const first = seen === undefined;
    seen = note;
    if (first)
      return {
        ...step,
        said: `It is the first head that this page sees; from now on ${second} entries are remembered.`,
      };
  }
  return step;
}
