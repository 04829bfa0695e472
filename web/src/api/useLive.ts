import { useQueryClient, type QueryKey } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { address, ask, hasToken, Problem } from "./client";
import { Live, type Message, type Socket } from "./live";
import { Pulse } from "./pulse";

/** Milliseconds between questions about what a list shows, while changes are not told. */
export const LIST_MS = 5_000;

const OFTEN_MS = 2_000; // between two readings of a list that changes all the time
const FLUSH_MS = 100; // transitions that come within this time are shown together
const HIDDEN_MS = 30_000; // a tab that is hidden for longer lets go of its connection

/** The channels of `/live` that tell of a list. */
export type ListChannel =
  "runs" | "dashboard" | "logs" | "trouble" | "approvals" | "jobs" | "conversations" | "workers" | "history";

const live = new Live({
  // A browser sends cookies with a WebSocket and no token: with a token, the pages ask.
  connect: () =>
    hasToken() ? null : (new WebSocket(new URL(address("/live"), location.href.replace(/^http/, "ws"))) as Socket),
  isKnown: async () => {
    try {
      await ask("/me");
    } catch (error) {
      return !(error instanceof Problem && error.status === 401);
    }
    return true;
  },
  random: Math.random,
});

let hiding: ReturnType<typeof setTimeout> | undefined;
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiding);
  if (document.hidden) hiding = setTimeout(() => live.pause(), HIDDEN_MS);
  else live.resume();
});
addEventListener("online", () => live.resume());

/** Has `key` asked for again when a list changed; null: another one does. What is returned is for `refetchInterval`: no
 * asking while changes are told, and otherwise every `LIST_MS`. */
export function useLive(
  channel: ListChannel,
  key: QueryKey | null,
  { enabled = true, oftenMs = OFTEN_MS }: { enabled?: boolean; oftenMs?: number } = {},
): number | false {
  const client = useQueryClient();
  const [isOpen, setOpen] = useState(false);
  const text = JSON.stringify(key);
  useEffect(() => {
    if (!enabled) return;
    const queryKey = JSON.parse(text) as QueryKey | null;
    const pulse = new Pulse(() => (queryKey ? client.invalidateQueries({ queryKey }) : Promise.resolve()), oftenMs);
    const leave = live.watch(channel, null, { onMessage: () => pulse.mark(), onOpen: setOpen });
    return () => {
      leave();
      pulse.end();
      setOpen(false);
    };
  }, [client, channel, text, enabled, oftenMs]);
  return isOpen ? false : LIST_MS;
}

/** Calls `onChange` when a list changed, until what is returned is called. */
export function watchList(channel: ListChannel, onChange: () => void): () => void {
  return live.watch(channel, null, { onMessage: onChange, onOpen: () => undefined });
}

/** Watches a run from the transition after `from` on; null: not at all. Whether its transitions are told. */
export function useLiveRun(run: string, from: number | null, onMessages: (messages: Message[]) => void): boolean {
  const [isOpen, setOpen] = useState(false);
  useEffect(() => {
    if (from === null) return;
    let waiting: Message[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const flush = () => {
      timer = undefined;
      const taken = waiting;
      waiting = [];
      onMessages(taken);
    };
    const onMessage = (message: Message) => {
      waiting.push(message);
      timer ??= setTimeout(flush, FLUSH_MS);
    };
    const leave = live.watch(`run/${run}`, from, { onMessage, onOpen: setOpen });
    return () => {
      leave();
      clearTimeout(timer);
      setOpen(false);
    };
  }, [run, from, onMessages]);
  return isOpen;
}
