import { useEffect, useRef } from "react";

const TYPING = "input, textarea, select, [contenteditable]";

/** Listen for single keys on the whole page, but not while somebody types or holds a modifier. */
export function useKeys(keys: Readonly<Record<string, () => void>>): void {
  const latest = useRef(keys);
  useEffect(() => {
    latest.current = keys;
  });
  useEffect(() => {
    function pressed(event: KeyboardEvent) {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (event.target instanceof Element && event.target.closest(TYPING)) return;
      const verb = latest.current[event.key];
      if (verb === undefined) return;
      event.preventDefault();
      verb();
    }
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, []);
}
