import type { Loop } from "../../types";

export const FILTERS = ["all", "in trouble", "critical", "degraded", "healthy", "frozen", "not reconciled"] as const;
export type Filter = (typeof FILTERS)[number];

const TROUBLE = ["critical", "unreadable", "degraded", "not_reconciled", "unknown", "healthy"];

function trouble(loop: Loop): number {
  const place = TROUBLE.indexOf(loop.status);
  return (place < 0 ? TROUBLE.length : place) - (loop.frozen.length ? 0.5 : 0);
}

/** The worst first, then by name. */
export function byTrouble(one: Loop, other: Loop): number {
  return trouble(one) - trouble(other) || one.id.localeCompare(other.id) || one.repo.localeCompare(other.repo);
}

export function fits(loop: Loop, filter: Filter, text: string): boolean {
  const sought = text.trim().toLowerCase();
  if (sought && !`${loop.id} ${loop.repo}`.toLowerCase().includes(sought)) return false;
  if (filter === "all") return true;
  if (filter === "frozen") return loop.frozen.length > 0;
  if (filter === "in trouble") return loop.status !== "healthy" || loop.frozen.length > 0;
  return loop.status === filter.replace(" ", "_");
}

/** A run of ours is known by its id alone; a watched loop by its repository as well. */
export function addressOf(loop: Loop): string {
  const where = loop.watch === null ? "" : `?repo=${encodeURIComponent(loop.repo)}`;
  return `/loops/${encodeURIComponent(loop.id)}${where}`;
}

const PROFILES: Readonly<Record<string, string>> = {
  aligned: "fits",
  mismatch_pending: "may not fit",
  drift_active: "does not fit",
};

export function profile(drift: string | null): string {
  return PROFILES[drift ?? ""] ?? "—";
}

/** How long something lasts: `45 s`, `5 min`, `1 h 44 min`. */
export function lasting(seconds: number | null): string {
  if (seconds === null) return "an unknown time";
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return seconds % 60 && minutes < 10 ? `${minutes} min ${seconds % 60} s` : `${minutes} min`;
  return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
}

/** Whom the command line means: the loop, and its repository. */
export function named(loop: Loop): string[] {
  return [loop.id, "--repo", loop.repo];
}
