import { useVirtualizer } from "@tanstack/react-virtual";
import { type RefObject, useLayoutEffect, useRef, useState } from "react";

export const ROW = 17;
/** Browsers end an element somewhere (Firefox at 17.8 million pixels): of a longer log a stretch is shown at a time. */
export const MOST = 1_040_000;
const AHEAD = 100_000;

/** What of a log is in view, and whether the view stays at its end. */
export function useLogView(box: RefObject<HTMLElement | null>, total: number) {
  const [following, setFollowing] = useState(true);
  const [base, setBase] = useState(0);
  const aim = useRef<number>(undefined);
  const count = Math.min(total - base, MOST);
  const rows = useVirtualizer({
    count: Math.max(0, count),
    getScrollElement: () => box.current,
    estimateSize: () => ROW,
    overscan: 25,
  });
  if (following && total - base > MOST) setBase(total - MOST + AHEAD);

  useLayoutEffect(() => {
    if (following && count > 0) rows.scrollToIndex(count - 1, { align: "end" });
  }, [following, count, rows]);
  useLayoutEffect(() => {
    if (aim.current === undefined) return;
    rows.scrollToIndex(aim.current - base - 1, { align: "center" });
    aim.current = undefined;
  }, [base, rows]);

  function goTo(line: number) {
    const to = Math.min(Math.max(1, line), total);
    setFollowing(false);
    if (to > base && to <= base + MOST) return rows.scrollToIndex(to - base - 1, { align: "center" });
    aim.current = to;
    setBase(Math.min(Math.max(0, to - MOST / 2), Math.max(0, total - MOST)));
  }
  /** Who scrolls away from the end stays there; who comes back to it follows again. */
  function scrolled() {
    const element = box.current;
    if (!element || aim.current !== undefined) return;
    const left = element.scrollHeight - element.clientHeight - element.scrollTop;
    setFollowing(left < 2 * ROW && base + count >= total);
  }
  return { rows, base, following, follow: () => setFollowing(true), goTo, scrolled };
}
