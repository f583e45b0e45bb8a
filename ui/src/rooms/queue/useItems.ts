import { useQueries } from "@tanstack/react-query";
import { useCallback, useEffect, useState } from "react";
import type { Item } from "../../types";
import type { Which } from "./address";
import { FIRST_PAGE, pageOf } from "./asked";

const PAGE = 500;
const MOST_IN_A_PAGE = 1_000;

/** One stretch of the list; it ends where the next one begins, whatever comes into it or leaves it. */
interface Stretch {
  after: string | undefined;
  /** How many items it held when it was seen last; undefined before. */
  size: number | undefined;
  /** Where it ended, if there was more. */
  next: string | undefined;
}
export interface Items {
  /** How many rows are known so far. */
  known: number;
  more: boolean;
  isPending: boolean;
  failure: unknown;
  again: () => void;
  at: (index: number) => Item | undefined;
  load: () => void;
}

/** Which stretches the rows from `first` to `last` belong to; one that was never seen is always among them. */
function inSight(stretches: readonly Stretch[], first: number, last: number): number[] {
  const found: number[] = [];
  let start = 0;
  stretches.forEach((each, place) => {
    const end = start + (each.size ?? 0);
    if (each.size === undefined || (start <= last && end > first) || (place === 0 && last <= 0)) found.push(place);
    start = end;
  });
  return found;
}

function learned(
  stretches: readonly Stretch[],
  found: ReadonlyMap<number, { items: Item[]; next: string | undefined }>,
) {
  let changed = false;
  const made = stretches.flatMap((each, place) => {
    const page = found.get(place);
    if (!page || (page.items.length === each.size && page.next === each.next)) return [each];
    changed = true;
    const grown = { ...each, size: page.items.length, next: page.next };
    // so much came into it that it no longer reaches its end: it is cut in two
    const isCut = place < stretches.length - 1 && page.next !== undefined;
    return isCut ? [grown, { after: page.next, size: undefined, next: undefined }] : [grown];
  });
  return changed ? made : stretches;
}

/** The items of a filter, page by page as they are looked at; only what is in sight is held and renewed. */
export function useItems(which: Which, first: number, last: number): Items {
  const [stretches, setStretches] = useState<readonly Stretch[]>([
    { after: undefined, size: undefined, next: undefined },
  ]);
  const places = inSight(stretches, first, last);
  const results = useQueries({
    queries: places.map((place) => {
      const until = stretches[place + 1]?.after;
      return pageOf(
        which,
        stretches[place]?.after,
        until,
        until !== undefined ? MOST_IN_A_PAGE : place === 0 ? FIRST_PAGE : PAGE,
      );
    }),
  });
  const found = new Map<number, { items: Item[]; next: string | undefined }>();
  places.forEach((place, index) => {
    const page = results[index]?.data;
    if (page) found.set(place, page);
  });
  const sizes = stretches.map((each, place) => found.get(place)?.items.length ?? each.size ?? 0);
  const end = stretches[stretches.length - 1];
  useEffect(() => setStretches((before) => learned(before, found)));

  const load = useCallback(() => {
    setStretches((before) => {
      const tail = before[before.length - 1];
      return tail?.next === undefined ? before : [...before, { after: tail.next, size: undefined, next: undefined }];
    });
  }, []);
  const at = (index: number) => {
    let start = 0;
    for (const [place, size] of sizes.entries()) {
      if (index < start + size) return found.get(place)?.items[index - start];
      start += size;
    }
    return undefined;
  };
  return {
    known: sizes.reduce((sum, size) => sum + size, 0),
    more: end?.next !== undefined || end?.size === undefined,
    isPending: found.size === 0 && results.some((each) => each.isPending),
    failure: results.find((each) => each.error)?.error ?? null,
    again: () => results.forEach((each) => void each.refetch()),
    at,
    load,
  };
}
