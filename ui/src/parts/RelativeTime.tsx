import { useEffect, useState } from "react";
import { serverNow } from "../api/clock";

const WORDS = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

function ago(then: number, now: number): string {
  const seconds = Math.round((then - now) / 1_000);
  for (const [unit, size] of STEPS) {
    if (Math.abs(seconds) >= size) return WORDS.format(Math.round(seconds / size), unit);
  }
  return Math.abs(seconds) < 10 ? "just now" : WORDS.format(seconds, "second");
}

/** How long ago; the exact time stands in the hover text. */
export function RelativeTime({ at }: { at: string | null | undefined }) {
  const [now, setNow] = useState(() => serverNow());
  useEffect(() => {
    const timer = setInterval(() => setNow(serverNow()), 10_000);
    return () => clearInterval(timer);
  }, []);
  if (!at) return <span>—</span>;
  return (
    <time dateTime={at} title={at}>
      {ago(Date.parse(at), now)}
    </time>
  );
}
