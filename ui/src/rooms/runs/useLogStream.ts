import { useEffect, useRef, useState } from "react";
import type { Line, RunInFull } from "../../types";

const ENDED: readonly RunInFull["status"][] = ["done", "error", "cancelled"];

const AGAIN_MS = 3_000;

function isHidden(): boolean {
  return document.visibilityState === "hidden";
}

/**
 * Hear a run's new lines as they are written, gathered by frame; a run that has ended has none.
 *
 * A page that nobody sees gives its connection back: a browser has six to a server, for all its tabs.
 */
export function useLogStream(run: RunInFull, total: number, take: (lines: readonly Line[], end: number) => void): void {
  const [over, setOver] = useState(ENDED.includes(run.status));
  const [hidden, setHidden] = useState(isHidden);
  const [tries, setTries] = useState(0);
  if (over && !ENDED.includes(run.status)) setOver(false); // it is done anew
  const seen = useRef(total);
  useEffect(() => {
    seen.current = Math.max(seen.current, total);
  }, [total]);
  useEffect(() => {
    const look = () => setHidden(isHidden());
    document.addEventListener("visibilitychange", look);
    return () => document.removeEventListener("visibilitychange", look);
  }, []);

  useEffect(() => {
    if (over || hidden) return;
    let gathered: Line[] = [];
    let frame = 0;
    let again: ReturnType<typeof setTimeout> | undefined;
    const flush = () => {
      frame = 0;
      take(gathered, gathered.at(-1)?.line ?? 0);
      gathered = [];
    };
    const source = new EventSource(`/ops/runs/${encodeURIComponent(run.id)}/log/stream?after=${seen.current}`);
    source.onerror = () => {
      // A lost connection the browser makes again by itself; a refusal (a session that ended, say) it does not.
      if (source.readyState === EventSource.CLOSED) again = setTimeout(() => setTries(tries + 1), AGAIN_MS);
    };
    source.addEventListener("line", (event: MessageEvent<string>) => {
      gathered.push(JSON.parse(event.data) as Line);
      frame ||= requestAnimationFrame(flush);
    });
    source.addEventListener("end", () => {
      source.close();
      setOver(true);
    });
    return () => {
      source.close();
      clearTimeout(again);
      cancelAnimationFrame(frame);
      if (gathered.length) flush();
    };
  }, [over, hidden, tries, run.id, take]);
}
