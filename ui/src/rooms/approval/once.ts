import { onceKey } from "../../parts/onceKey";

/** One key for what is asked for: asked again, clicked twice or with the answer lost, it is made once. */
let last: { said: string; key: string } | undefined;

export function keyFor(body: unknown): string {
  const said = JSON.stringify(body);
  if (last?.said !== said) last = { said, key: onceKey() };
  return last.key;
}

/** It was answered: the same words would mean another one. */
export function answered(): void {
  last = undefined;
}
