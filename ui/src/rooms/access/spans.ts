/** Spans of time as the command line writes them, and in seconds. */
export type Span = readonly [word: string, name: string, seconds: number];

export const EXPIRIES: readonly Span[] = [
  ["1d", "in a day", 86_400],
  ["30d", "in 30 days", 30 * 86_400],
  ["90d", "in 90 days", 90 * 86_400],
  ["365d", "in a year", 365 * 86_400],
  ["", "never", 0],
];

export const GRACES: readonly Span[] = [
  ["", "at once", 0],
  ["15m", "in 15 minutes", 900],
  ["1h", "in an hour", 3_600],
  ["1d", "in a day", 86_400],
  ["7d", "in 7 days", 7 * 86_400],
];
