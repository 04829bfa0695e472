// Transitions from pages and from messages, as one list. Pure.

import type { Transition } from "../api/types";

/** All of both, each `seq` once, newest first. */
export function mergeTransitions(left: Transition[], right: Transition[]): Transition[] {
  const found = new Map<number, Transition>();
  for (const one of left) found.set(one.seq, one);
  for (const one of right) found.set(one.seq, one);
  return [...found.values()].sort((a, b) => b.seq - a.seq);
}

/** What is known after `more` came, newest first: both, or `more` alone if there may be some between the two. */
export function goOn(known: Transition[], more: Transition[]): Transition[] {
  const [newest, oldest] = [known[0]?.seq, more.at(-1)?.seq];
  if (newest === undefined) return more;
  if (oldest === undefined) return known;
  const isWhole = oldest <= newest + 1 && known.at(-1)!.seq <= more[0]!.seq + 1;
  return isWhole ? mergeTransitions(known, more) : more;
}

const ENDS = new Set(["RunCompleted", "RunFailed", "RunCancelled"]);

/** A run has ended when its newest transition says so: no clock decides it. */
export function hasEnded(newestFirst: Transition[]): boolean {
  return newestFirst.length > 0 && ENDS.has(newestFirst[0]!.type);
}

/** What a transition says, in a few words. */
export function gist(one: Transition): string {
  const data = one.data;
  const first = (...names: string[]) =>
    names.map((name) => data[name]).find((value) => value !== undefined && value !== null);
  switch (one.type) {
    case "RunStarted":
      return `by ${(data.event as { name?: string } | undefined)?.name || data.trigger || "a request"}`;
    case "WaitStarted":
      return ((data.events as string[] | undefined) ?? []).join(", ");
    case "AttemptFailed":
      return `${String(data.code)}: ${String(data.message ?? "")}`;
    case "StepsSkipped":
      return ((data.steps as string[] | undefined) ?? []).join(", ");
    case "ValuesSet":
      return Object.keys((data.values as object | undefined) ?? {}).join(", ");
    case "ItemsListed":
      return `${((data.items as unknown[] | undefined) ?? []).length} items`;
    case "ItemsEnded":
      return `${String(data.total)} items, ${String(data.failed)} failed`;
    case "ApprovalGiven":
      return `${String(data.decision)} by ${String(data.by)}`;
    default: {
      const text = first("outcome", "operation", "branch", "event", "code", "reason", "text", "child");
      return typeof text === "string" ? text : "";
    }
  }
}
