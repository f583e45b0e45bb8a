import { plain } from "../../parts/words";
import type { AlertInFull } from "../../types";

/** Where the subject of an alert is looked at, if the console has a screen for it. */
export function subjectHref(subject: AlertInFull["subject"]): string | undefined {
  const id = encodeURIComponent(subject.id);
  switch (subject.kind) {
    case "loop":
      return `/loops/${id}${subject.repo ? `?repo=${encodeURIComponent(subject.repo)}` : ""}`;
    case "run":
      return `/runs/${id}`;
    case "draft":
      return `/review/${id}`;
    case "pipeline":
      return `/pipelines/runs/${id}`;
    case "deployment":
      return `/deployments/${id}`;
    case "panic":
      return "/maintenance";
    default:
      return undefined;
  }
}

/** The line that tells of an alert, its category in words. */
export function titleOf(alert: { summary: string; category: string }): string {
  return alert.summary.replace(alert.category, plain(alert.category)) || plain(alert.category);
}

const KINDS: Readonly<Record<string, string>> = {
  "alert.opened": "opened",
  "alert.changed": "told again",
  "alert.acknowledged": "acknowledged",
  "alert.resolved": "resolved",
  "alert.delivered": "delivered",
  "alert.replayed": "sent again",
};

export function happened(kind: string): string {
  return KINDS[kind] ?? kind;
}

/** For how long a silence may hold, as the command line spells it. */
export const SPANS: readonly (readonly [word: string, seconds: number, name: string])[] = [
  ["30m", 1_800, "30 minutes"],
  ["2h", 7_200, "2 hours"],
  ["12h", 43_200, "12 hours"],
  ["1d", 86_400, "1 day"],
  ["7d", 604_800, "7 days"],
];
