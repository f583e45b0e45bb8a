/**
 * What the queue's screen asks of the server. Where agents work, events come by the hundred: no single one of them asks
 * for anything again. All together do, at once where it was quiet, and else every two seconds; and what is under way is
 * never broken off for that.
 */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useRef } from "react";
import { client } from "../../api/client";
import { serverNow } from "../../api/clock";
import type { Which } from "./address";

const QUEUE = "queue";
export const FIRST_PAGE = 100;
const RENEW_MS = 2_000;

async function answered<T>(answer: Promise<{ data?: T; error?: unknown }>): Promise<T> {
  const { data, error } = await answer;
  if (data === undefined) throw error;
  return data;
}

function useAsked<T>(
  name: string,
  words: unknown,
  ask: (signal: AbortSignal) => Promise<{ data?: T; error?: unknown }>,
) {
  return useQuery({ queryKey: [QUEUE, name, words], queryFn: ({ signal }) => answered(ask(signal)) });
}

export const useQueueStatus = () => useAsked("status", null, (signal) => client.GET("/ops/queue/status", { signal }));
export const useLimits = () => useAsked("limits", null, (signal) => client.GET("/ops/queue/limits", { signal }));
export const useWorkers = () => useAsked("workers", null, (signal) => client.GET("/ops/queue/workers", { signal }));
export const useBulks = () => useAsked("bulks", null, (signal) => client.GET("/ops/queue/bulk", { signal }));
export const useBulk = (id: string) =>
  useAsked("bulk", id, (signal) =>
    client.GET("/ops/queue/bulk/{bulk_id}", { params: { path: { bulk_id: id } }, signal }),
  );
export const useItem = (id: string) =>
  useAsked("item", id, (signal) =>
    client.GET("/ops/queue/items/{item_id}", { params: { path: { item_id: id } }, signal }),
  );
export const useExplanation = (id: string) =>
  useAsked("explain", id, (signal) =>
    client.GET("/ops/queue/items/{item_id}/explain", { params: { path: { item_id: id } }, signal }),
  );
export const useHistory = (hours: number) =>
  useAsked("history", hours, (signal) => {
    const query = { from_ms: serverNow() - hours * 3_600_000, points: 120 };
    return client.GET("/ops/queue/history", { params: { query }, signal });
  });

/** How many items match. A search through every text is not made twice where the first page holds all that there is. */
export function useCount(which: Which) {
  const queries = useQueryClient();
  return useQuery({
    queryKey: [QUEUE, "count", which],
    queryFn: async ({ signal }) => {
      if (which.text) {
        const page = await queries.fetchQuery(pageOf(which, undefined, undefined, FIRST_PAGE));
        if (page.isAll) return page.items.length;
      }
      const query = { params: { query: which }, signal };
      return (await answered(client.GET("/ops/queue/count", query))).items;
    },
  });
}

/** One stretch of the queue's order: behind a place, up to another, or as many as a page holds. */
export function pageOf(which: Which, after: string | undefined, until: string | undefined, size: number) {
  return {
    queryKey: [QUEUE, "items", which, after ?? ""],
    gcTime: 60_000,
    queryFn: async ({ signal }: { signal: AbortSignal }) => {
      const query = { ...which, limit: size, ...(after && { after }), ...(until && { until }) };
      const { data, error, response } = await client.GET("/ops/queue/items", { params: { query }, signal });
      if (data === undefined) throw error;
      const next = /[?&]after=([\d.]+)/.exec(response.headers.get("link") ?? "")?.[1];
      return { items: data, next, isAll: !after && !until && next === undefined };
    },
  };
}

/** Ask anew for everything of the queue that is on the screen. */
export function useRenew(): () => void {
  const queries = useQueryClient();
  return useCallback(() => void queries.invalidateQueries({ queryKey: [QUEUE] }, { cancelRefetch: false }), [queries]);
}

/** Renew what is on the screen after the queue has changed: an event of it makes only this one look at the clock. */
export function usePulse(): void {
  const renew = useRenew();
  const told = useQuery({ queryKey: ["told", "/ops/queue"], queryFn: () => Date.now() }).dataUpdatedAt;
  const seen = useRef(0);
  const renewed = useRef(0);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => {
    if (told === 0 || told === seen.current) return;
    const isFirst = seen.current === 0;
    seen.current = told;
    if (isFirst || timer.current !== undefined) return;
    timer.current = setTimeout(
      () => {
        timer.current = undefined;
        renewed.current = Date.now();
        renew();
      },
      Math.max(0, renewed.current + RENEW_MS - Date.now()),
    );
  }, [told, renew]);
  useEffect(
    () => () => {
      clearTimeout(timer.current);
      timer.current = undefined;
    },
    [],
  );
}
