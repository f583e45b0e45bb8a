import { plain } from "../../parts/words";
import type { DraftInFull, EditDraft } from "../../types";
import { type Fields, LIMIT_NAMES, readContext, workOf } from "./form";

export interface Change {
  name: string;
  before: string;
  after: string;
}

/** Lines around what differs are left out where both texts have them. */
const AROUND = 2;

function trimmed(before: string, after: string): [string, string] {
  const [old, now] = [before.split("\n"), after.split("\n")];
  const most = Math.min(old.length, now.length);
  let head = 0;
  while (head < most && old[head] === now[head]) head += 1;
  let tail = 0;
  while (tail < most - head && old.at(-1 - tail) === now.at(-1 - tail)) tail += 1;
  const cut = (lines: string[]) => {
    const [from, to] = [Math.max(0, head - AROUND), Math.min(lines.length, lines.length - tail + AROUND)];
    return [...(from ? ["…"] : []), ...lines.slice(from, to), ...(to < lines.length ? ["…"] : [])].join("\n");
  };
  return [cut(old), cut(now)];
}

/** The fields that are not the same, each as it is and as it would be. */
export function changesOf(before: Fields, after: Fields): Change[] {
  const flat = ({ limits, network, ...texts }: Fields): Record<string, string> => ({
    ...texts,
    network: network ? "yes" : "no",
    ...Object.fromEntries(LIMIT_NAMES.map((name) => [plain(name), limits[name]])),
  });
  const [old, now] = [flat(before), flat(after)];
  return Object.keys(now)
    .filter((name) => old[name] !== now[name])
    .map((name) => {
      const [was, is] = trimmed(old[name] ?? "", now[name] ?? "");
      return { name, before: was, after: is };
    });
}

const TEXTS = ["prompt", "content", "context"];

/** What an edit sends: what was not touched is not named, and the commit that was shown stays. */
export function editOf(draft: DraftInFull, before: Fields, after: Fields, reason: string): EditDraft {
  const names = changesOf(before, after).map((each) => each.name);
  const work = workOf(after);
  const samePlace = before.repository === after.repository && before.base === after.base;
  return {
    ...(names.includes("prompt") ? { prompt: after.prompt } : {}),
    ...(names.includes("content") ? { content: after.content } : {}),
    ...(names.includes("context") ? { context: readContext(after.context) ?? {} } : {}),
    ...(names.some((name) => !TEXTS.includes(name))
      ? { work: { ...work, ...(samePlace ? { base_commit: draft.work.base_commit } : {}) } }
      : {}),
    reason,
  };
}
