import { type RefObject, useCallback, useLayoutEffect, useRef } from "react";
import type { Item } from "../../types";

const FAR = 400;

/** Hold the first row in sight where it is when rows above it come or go; returns what a scroll is told to. */
export function useAnchor(
  scroller: RefObject<HTMLElement | null>,
  at: (index: number) => Item | undefined,
  height: number,
): () => void {
  const latest = useRef(at);
  latest.current = at;
  const held = useRef<{ id: string; index: number }>(undefined);
  const remember = useCallback(() => {
    const index = Math.floor((scroller.current?.scrollTop ?? 0) / height);
    const id = latest.current(index)?.id;
    held.current = id === undefined ? undefined : { id, index };
  }, [scroller, height]);
  useLayoutEffect(() => {
    const box = scroller.current;
    const before = held.current;
    const there = before && at(before.index)?.id;
    if (box && before && box.scrollTop > 0 && there !== undefined && there !== before.id) {
      for (let by = 1; by < FAR; by++) {
        const index = [before.index - by, before.index + by].find((each) => at(each)?.id === before.id);
        if (index === undefined) continue;
        box.scrollTop += (index - before.index) * height;
        held.current = { id: before.id, index };
        return;
      }
    }
    if (before === undefined || there !== before.id) remember();
  });
  return remember;
}
