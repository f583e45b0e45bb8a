import { countHidden, foreignLetters, nameOf } from "../../parts/hidden";
import { asText } from "../../parts/words";
import type { DraftInFull } from "../../types";
import { useDifference } from "../../useOpsService";

function texts(draft: DraftInFull): [name: string, text: string][] {
  const work = draft.terms;
  return [
    ["prompt", draft.prompt],
    ["content", draft.content ?? ""],
    ["context", asText(draft.context)],
    ["command", (work.command ?? []).join(" ")],
    ["checks", work.checks.flat().join(" ")],
    ["repository", `${work.repository ?? ""}${draft.work.base_ref ?? ""}`],
    ["environment", work.environment.join(" ")],
  ];
}

function named(letters: readonly string[]): string {
  return letters
    .slice(0, 10)
    .map((letter) => `${letter} (${nameOf(letter)})`)
    .join(", ");
}

function warnings(draft: DraftInFull, changed: readonly string[]): string[] {
  const found: string[] = [];
  if (draft.terms.network) found.push("The agent may reach the network.");
  if (changed.includes("command")) found.push("The command is not the one that was last approved for this repository.");
  if (changed.includes("checks")) found.push("The checks are not those that were last approved for this repository.");
  if (changed.includes("agent")) found.push("The agent is not the one that was last approved for this repository.");
  if (draft.terms.rung === "self_reported") found.push("Its word is enough to be done: nothing has to prove it.");
  if (draft.terms.checks.length === 0) found.push("No check judges the result.");
  for (const [name, text] of texts(draft)) {
    const hidden = countHidden(text);
    const are = hidden === 1 ? "character that is" : "characters that are";
    const holds = name === "checks" ? "The checks hold" : `The ${name} holds`;
    if (hidden) found.push(`${holds} ${hidden} ${are} not seen; each is named where it stands.`);
    const foreign = name === "command" || name === "checks" ? foreignLetters(text) : [];
    if (foreign.length) found.push(`${holds} letters that are not ASCII and may look like others: ${named(foreign)}`);
  }
  return found;
}

/** What a reviewer should not overlook. */
export function Warnings({ draft }: { draft: DraftInFull }) {
  const { data } = useDifference(draft.id, "approved");
  const fields = data?.version === draft.version ? data.fields : [];
  const found = warnings(
    draft,
    fields.map((field) => field.name),
  );
  if (draft.status !== "draft" || found.length === 0) return null;
  return (
    <ul className="review-warnings" aria-label="Do not overlook">
      {found.map((each) => (
        <li key={each}>{each}</li>
      ))}
    </ul>
  );
}
