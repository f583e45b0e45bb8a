import { useEffect, useRef, useState } from "react";
import { client } from "../../api/client";

const WAIT_MS = 250;
const MOST = 10_000;
const STRETCH = 100_000; // the server looks through so many lines at once

export interface Hits {
  text: string;
  lines: readonly number[];
  /** The last line that was looked at. */
  searched: number;
  failure: unknown;
}
const NONE: Hits = { text: "", lines: [], searched: 0, failure: undefined };

export interface Search extends Hits {
  busy: boolean;
  full: boolean;
}

/** Look for a text on the server, stretch by stretch, and in what comes while one looks. */
export function useLogSearch(runId: string, wanted: string, total: number): Search {
  const [hits, setHits] = useState(NONE);
  const now = hits.text === wanted ? hits : { ...NONE, text: wanted };
  const full = now.lines.length >= MOST;
  const busy = wanted !== "" && now.searched < total && !full && now.failure === undefined;
  const after = now.searched;
  const end = useRef(total); // a log that grows while it is searched must not begin the search anew
  useEffect(() => {
    end.current = total;
  }, [total]);
  useEffect(() => {
    if (!busy) return;
    const stop = new AbortController();
    const timer = setTimeout(
      async () => {
        try {
          const { data, error } = await client.GET("/ops/runs/{run_id}/log/search", {
            params: { path: { run_id: runId }, query: { text: wanted, after } },
            signal: stop.signal,
          });
          setHits((before) => {
            const old = before.text === wanted ? before : { ...NONE, text: wanted };
            if (error) return { ...old, failure: error };
            const searched = data.status === "complete" ? Math.max(data.searched_to, end.current) : data.searched_to;
            return { ...old, lines: [...old.lines, ...data.lines], searched };
          });
        } catch (unreached) {
          if (!stop.signal.aborted) setHits({ ...NONE, text: wanted, failure: unreached });
        }
      },
      after > 0 && end.current - after > STRETCH ? 0 : WAIT_MS,
    );
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [runId, wanted, busy, after]);
  return { ...now, busy, full };
}

/** Return the hit behind a line, or before it; round at the ends. */
export function hitFrom(lines: readonly number[], line: number, back: boolean): number | undefined {
  if (back) return lines.findLast((each) => each < line) ?? lines.at(-1);
  return lines.find((each) => each > line) ?? lines[0];
}
