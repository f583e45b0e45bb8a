import { useQueries, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { client } from "../../api/client";
import type { Line, RunInFull } from "../../types";
import { useLogStream } from "./useLogStream";

export const PAGE = 200; // as many as come with the run: the page at the end never has to be asked for
const NEWEST = 2_000;
const KEPT_PAGES = 40;
const SETTLED_MS = 70;

export interface Lines {
  total: number;
  line: (number: number) => Line | undefined;
  failure: unknown;
  again: () => void;
}

async function fetchPage(runId: string, page: number, signal: AbortSignal): Promise<Line[]> {
  const { data, error } = await client.GET("/ops/runs/{run_id}/log", {
    params: { path: { run_id: runId }, query: { after: page * PAGE, limit: PAGE } },
    signal,
  });
  if (error) throw error;
  return data;
}

/** Return a value once it has stayed for a moment; who drags the scroll bar asks for nothing on the way. */
function useSettled(value: string): string {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), SETTLED_MS);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}

/** The newest lines, as they came with the run and by the stream. Lines never change, so the first telling stands. */
function useNewest(run: RunInFull) {
  const newest = useRef(new Map<number, Line>());
  const [total, setTotal] = useState(0);
  const take = useCallback((lines: readonly Line[], end: number) => {
    const held = newest.current;
    for (const line of lines) held.set(line.line, line);
    setTotal((before) => Math.max(before, end));
    for (const number of held.keys()) {
      if (held.size <= NEWEST) break;
      held.delete(number);
    }
  }, []);
  useEffect(() => take(run.log, run.log_lines), [run, take]);
  return { newest: newest.current, total: Math.max(total, run.log_lines), take };
}

/** A run's lines by their numbers: only the pages that are looked at are asked for, and only so many kept. */
export function useLines(run: RunInFull, first: number, last: number): Lines {
  const queries = useQueryClient();
  const { newest, total, take } = useNewest(run);
  useLogStream(run, total, take);
  const told = useMemo(() => new Map(run.log.map((line) => [line.line, line])), [run.log]);
  const known = (number: number) => newest.get(number) ?? told.get(number);
  const wanted = new Set<number>();
  for (let number = Math.max(1, first); number <= Math.min(last, total); number += 1) {
    if (!known(number)) wanted.add(Math.floor((number - 1) / PAGE));
  }
  const settled = useSettled([...wanted].join(" "));
  const pages = settled ? settled.split(" ").map(Number) : [];
  const found = useQueries({
    queries: pages.map((page) => ({
      queryKey: ["run log", run.id, page],
      queryFn: ({ signal }: { signal: AbortSignal }) => fetchPage(run.id, page, signal),
      staleTime: Number.POSITIVE_INFINITY,
    })),
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: other pages are in sight, so earlier ones may be let go
  useEffect(() => {
    const held = queries.getQueryCache().findAll({ queryKey: ["run log"], type: "inactive" });
    const old = held.sort((a, b) => a.state.dataUpdatedAt - b.state.dataUpdatedAt);
    for (const { queryKey } of old.slice(0, Math.max(0, old.length - KEPT_PAGES))) queries.removeQueries({ queryKey });
  }, [queries, settled]);
  const failed = found.find((each) => each.error && !each.data);
  return {
    total,
    line: (number) => {
      const page = Math.floor((number - 1) / PAGE);
      return known(number) ?? queries.getQueryData<Line[]>(["run log", run.id, page])?.[number - 1 - page * PAGE];
    },
    failure: failed?.error,
    again: () => void failed?.refetch(),
  };
}
