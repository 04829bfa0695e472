import { useSyncExternalStore } from "react";

export type Theme = "light" | "dark";

const watchers = new Set<() => void>();
const root = () => document.documentElement.classList;

function paint(dark: boolean): void {
  root().toggle("dark", dark);
  for (const watcher of watchers) watcher();
}

// The system's colours, as long as nobody chose others here.
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (system) => {
  if (localStorage.getItem("theme") === null) paint(system.matches);
});

export function useTheme(): [Theme, () => void] {
  const theme = useSyncExternalStore(
    (watcher) => {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
    (): Theme => (root().contains("dark") ? "dark" : "light"),
  );
  const toggle = () => {
    const next = theme === "dark" ? "light" : "dark";
    localStorage.setItem("theme", next);
    paint(next === "dark");
  };
  return [theme, toggle];
}
