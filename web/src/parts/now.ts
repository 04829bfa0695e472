import { useSyncExternalStore } from "react";

// One clock for all times on a page.
let now = Date.now();
const watchers = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

function watch(watcher: () => void): () => void {
  watchers.add(watcher);
  if (timer === undefined) now = Date.now(); // nobody has looked at it for a while
  timer ??= setInterval(() => {
    now = Date.now();
    for (const each of watchers) each();
  }, 1_000);
  return () => {
    watchers.delete(watcher);
    if (watchers.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}

/** The time in epoch milliseconds, to the second. */
export function useNow(): number {
  return useSyncExternalStore(watch, () => now);
}
