import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useState } from "react";
import { conversations } from "../api/calls";
import { Problem } from "../api/client";
import type { Conversation, TalkEntry } from "../api/types";
import { itemsOf } from "./talk";

const QUIET = new Set(["text", "turn_held", "tool_called", "spent"]); // change nothing but what is said

/** A conversation with what happened in it, followed as long as it is shown. */
export function useConversation(id: string) {
  const client = useQueryClient();
  const [entries, setEntries] = useState<TalkEntry[]>([]);
  const [trouble, setTrouble] = useState<Problem | null>(null);
  const key = useMemo(() => ["conversation", id], [id]);
  const query = useQuery({ queryKey: key, queryFn: () => conversations.get(id) });
  useEffect(() => {
    const ended = new AbortController();
    setEntries([]);
    const take = (found: TalkEntry[]) => {
      if (ended.signal.aborted) return;
      setEntries((before) => [...before, ...found]);
      if (found.some((one) => !QUIET.has(one.type))) void client.invalidateQueries({ queryKey: key, exact: true });
    };
    void conversations.follow(id, 0, take, setTrouble, ended.signal);
    return () => ended.abort();
  }, [id, key, client]);
  const items = useMemo(() => itemsOf(entries), [entries]);
  const loud = entries.findLast((one) => !QUIET.has(one.type))?.seq ?? 0;
  /** More has happened than the conversation that is shown knows of: what it offers may be gone. */
  const isBehind = query.data !== undefined && query.data.seq < loud;
  /** Takes what a change answered, unless more is known already. */
  const take = useCallback(
    (found: unknown) => {
      if (typeof found !== "object" || found === null || !("draft" in found)) return;
      const now = found as Conversation;
      client.setQueryData<Conversation>(key, (before) => (before && before.seq > now.seq ? before : now));
    },
    [client, key],
  );
  return { query, items, isBehind, trouble, take };
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
