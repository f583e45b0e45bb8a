import { type QueryClient, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { KINDS } from "./kinds";

const GATHER_MS = 80;
const AGAIN_MS = 3_000;
/** So many renewals at once, and one more a second: a fleet that never rests must not use up its reader's rate. */
const AT_ONCE = 20;
const ONE_MORE_MS = 1_000;

/** Ask again for everything whose path begins so; queries are named [method, path, …]. */
function renew(queries: QueryClient, prefixes: ReadonlySet<string>): void {
  void queries.invalidateQueries({
    predicate: ({ queryKey }) => [...prefixes].some((prefix) => String(queryKey[1]).startsWith(prefix)),
  });
}

/**
 * Follow the log and ask anew for what an event has changed; returns whether it is followed now.
 *
 * The browser connects again by itself and names the last event that it had. Where the server has refused, it gives
 * up: then we ask who we are, which leads to the log-in, and try again.
 */
export function useLive(enabled: boolean): boolean {
  const queries = useQueryClient();
  const [live, setLive] = useState(true);

  useEffect(() => {
    if (!enabled) return;
    const changed = new Set<string>();
    let gather: ReturnType<typeof setTimeout> | undefined;
    let again: ReturnType<typeof setTimeout> | undefined;
    let source: EventSource | undefined;
    let missed = false;
    let full = 0; // the moment at which all of them may be used again

    const told = (prefix: string) => {
      changed.add(prefix);
      const used = full - Date.now() - (AT_ONCE - 1) * ONE_MORE_MS;
      gather ??= setTimeout(
        () => {
          gather = undefined;
          full = Math.max(full, Date.now()) + ONE_MORE_MS;
          renew(queries, changed);
          changed.clear();
        },
        Math.max(GATHER_MS, used),
      );
    };
    const connect = () => {
      source = new EventSource("/ops/events");
      source.onopen = () => {
        setLive(true);
        if (missed) void queries.invalidateQueries();
        missed = false;
      };
      source.onerror = () => {
        setLive(false);
        missed = true;
        if (source?.readyState !== EventSource.CLOSED) return;
        renew(queries, new Set(["/ops/me"]));
        again = setTimeout(connect, AGAIN_MS);
      };
      for (const [prefix, kinds] of Object.entries(KINDS)) {
        for (const kind of kinds) source.addEventListener(kind, () => told(prefix));
      }
    };
    connect();
    return () => {
      clearTimeout(gather);
      clearTimeout(again);
      source?.close();
    };
  }, [enabled, queries]);

  return live;
}
