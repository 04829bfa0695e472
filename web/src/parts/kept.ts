import { useCallback, useState } from "react";

const PREFIX = "kept/";

function read<Value>(name: string): Value | null {
  try {
    const text = sessionStorage.getItem(PREFIX + name);
    return text === null ? null : (JSON.parse(text) as Value);
  } catch {
    return null;
  }
}

function write(name: string, value: unknown): void {
  try {
    if (value === null) sessionStorage.removeItem(PREFIX + name);
    else sessionStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // It does not fit: then it is kept as long as the page is.
  }
}

/** What was begun and not sent, so that another view, a refresh or a new session in this tab loses nothing; null:
 * nothing was begun. `name` stays the same. */
export function useKept<Value>(name: string): [Value | null, (value: Value | null) => void] {
  const [value, setValue] = useState(() => read<Value>(name));
  const keep = useCallback(
    (next: Value | null) => {
      setValue(next);
      write(name, next);
    },
    [name],
  );
  return [value, keep];
}

/** What was begun is done: it is not found again after a refresh. Whoever shows it goes on showing it. */
export function forgetOne(name: string): void {
  write(name, null);
}

/** Forgets all of it: another person may use the tab. */
export function forgetKept(): void {
  for (const name of Object.keys(sessionStorage)) if (name.startsWith(PREFIX)) sessionStorage.removeItem(name);
}
