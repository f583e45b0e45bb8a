import { useSyncExternalStore } from "react";

const NARROW = "(max-width: 48rem)";

function follow(told: () => void): () => void {
  const query = matchMedia(NARROW);
  query.addEventListener("change", told);
  return () => query.removeEventListener("change", told);
}

/** Whether the screen is one of a phone. */
export const useNarrow = () => useSyncExternalStore(follow, () => matchMedia(NARROW).matches);
