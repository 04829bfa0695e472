// The filter of the runs list as it stands in the address of the page. Pure.

import type { RunFilter } from "../api/calls";

export const FIELDS = [
  "definition",
  "version",
  "status",
  "key",
  "key_prefix",
  "error",
  "parked_step",
  "waits_for",
  "parent",
  "restart_of",
  "started_from",
  "started_to",
] as const;
export type Field = (typeof FIELDS)[number];

export const TITLES: Record<Field, string> = {
  definition: "definition",
  version: "version",
  status: "status",
  key: "key",
  key_prefix: "key begins with",
  error: "error",
  parked_step: "parked step",
  waits_for: "waits for",
  parent: "parent run",
  restart_of: "started again from",
  started_from: "started after",
  started_to: "started before",
};

export function filterOf(search: URLSearchParams): RunFilter {
  const found: Record<string, string> = {};
  for (const field of FIELDS) {
    const value = search.get(field);
    if (value) found[field] = value;
  }
  for (const [name, value] of search) if (/^attr\.[a-z][a-z0-9_]{0,39}$/.test(name) && value) found[name] = value;
  return found as RunFilter;
}

/** `search` with one field set, or taken out; the page of the list begins at its beginning again. */
export function withField(search: URLSearchParams, name: string, value: string): URLSearchParams {
  const next = new URLSearchParams(search);
  next.delete("cursor");
  if (value) next.set(name, value);
  else next.delete(name);
  return next;
}

/** Whether a text typed into the box for any condition is `name=value`; without a name it is the start of a key. */
export function conditionOf(text: string): { name: string; value: string } | null {
  const [, name, value] = /^\s*([a-z_.0-9 ]+?)\s*[=:]\s*(.+?)\s*$/.exec(text) ?? [];
  if (name && value) {
    const field = FIELDS.find((each) => each === name || TITLES[each] === name);
    if (field) return { name: field, value };
    const attribute = name.startsWith("attr.") ? name : `attr.${name}`;
    if (/^attr\.[a-z][a-z0-9_]{0,39}$/.test(attribute)) return { name: attribute, value };
  }
  const key = text.trim();
  return key ? { name: "key_prefix", value: key } : null;
}

export function titleOf(name: string): string {
  return TITLES[name as Field] ?? name.replace(/^attr\./, "");
}
