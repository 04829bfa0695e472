import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useRef } from "react";
import { conversations } from "../api/calls";
import type { Conversation, TalkEntry } from "../api/types";
import { useLog } from "../api/useLog";
import { grown, type Item } from "./talk";

const QUIET = new Set(["text", "turn_held", "tool_called", "spent"]); // change nothing but what is said
const AGAIN_MS = 2_000; // between two readings of a conversation that more is known of than was read

/** A conversation with what happened in it, followed as long as it is shown. */
export function useConversation(id: string) {
  const client = useQueryClient();
  const key = useMemo(() => ["conversation", id], [id]);
  const { entries, way, ended } = useLog<TalkEntry>(conversations.log(id), "conversations");
  const loud = entries.findLast((one) => !QUIET.has(one.type))?.seq ?? 0;
  const query = useQuery({
    queryKey: key,
    queryFn: () => conversations.get(id),
    // A reading that failed is repeated: without it nothing could be done on the page any more.
    refetchInterval: ({ state }) => (ended === null && state.data && state.data.seq < loud ? AGAIN_MS : false),
  });
  /** More has happened than the conversation that is shown knows of: what it offers may be gone. */
  const isBehind = query.data !== undefined && query.data.seq < loud;
  useEffect(() => {
    if (isBehind && ended === null) void client.invalidateQueries({ queryKey: key, exact: true });
  }, [client, key, isBehind, ended, loud]);
  const items = useItems(entries);
  /** Takes what a change answered, unless more is known already. */
  const take = useCallback(
    (found: unknown) => {
      if (typeof found !== "object" || found === null || !("draft" in found)) return;
      const now = found as Conversation;
      client.setQueryData<Conversation>(key, (before) => (before && before.seq > now.seq ? before : now));
    },
    [client, key],
  );
  return { query, items, isBehind, way, ended, take };
}

/** What happened as people read it. Only what is new is looked at: the rest stays what it was. */
function useItems(entries: TalkEntry[]): Item[] {
  const known = useRef<{ entries: TalkEntry[]; items: Item[] }>({ entries: [], items: [] });
  return useMemo(() => {
    const { entries: old, items } = known.current;
    const goesOn = old.at(-1) === entries[old.length - 1]; // not after another beginning
    known.current = {
      entries,
      items: goesOn ? grown(items, entries.slice(old.length)) : grown([], entries),
    };
    return known.current.items;
  }, [entries]);
}

/** One change of a conversation at a time. After a conflict the conversation is asked for again. */
export function useChange(id: string, take: (found: unknown) => void) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (change: () => Promise<unknown>) => change(),
    onSuccess: take,
    onError: () => client.invalidateQueries({ queryKey: ["conversation", id], exact: true }),
  });
}

export type Change = ReturnType<typeof useChange>;
