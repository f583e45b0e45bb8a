import { useEffect, useState } from "react";

const NAMES = ["auto", "dark", "light"] as const;
export type Theme = (typeof NAMES)[number];
const KEPT = "interlock.theme"; // a taste, no secret

function kept(): Theme {
  const found = localStorage.getItem(KEPT);
  return NAMES.find((name) => name === found) ?? "auto";
}

/** The colours: the system's, or those that somebody has chosen here. */
export function useTheme(): [Theme, () => void] {
  const [theme, setTheme] = useState<Theme>(kept);
  useEffect(() => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    localStorage.setItem(KEPT, theme);
  }, [theme]);
  return [theme, () => setTheme(NAMES[(NAMES.indexOf(theme) + 1) % NAMES.length] ?? "auto")];
}
