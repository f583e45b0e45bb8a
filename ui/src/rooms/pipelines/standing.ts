import type { Deployment } from "../../types";

const WORDS: Readonly<Record<string, string>> = { Success: "promoted", RolledBack: "rolled back" };

/** How a deployment stands, for people: `Running` is up and can be promoted, `Success` stays. */
export function standing(deployment: Deployment): string {
  return WORDS[deployment.status] ?? deployment.status.toLowerCase();
}
