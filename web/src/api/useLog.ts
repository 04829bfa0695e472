import { useEffect, useState } from "react";
import { ask, Problem, stream } from "./client";
import { Follow, type Numbered, type Source, type Way } from "./follow";
import { watchList, type ListChannel } from "./useLive";

const REFUSED = new Set([401, 403, 404]); // by who asks, or by what there is: the same again would be refused again

function sourceOf<Entry>(path: string): Source<Entry> {
  return {
    open: (after, signal) => stream(path, after, signal),
    page: async (after, limit, signal) =>
      (await ask<{ rows: Entry[] }>(path, { query: { after, limit }, signal })).rows,
    isFinal: (error) => error instanceof Problem && REFUSED.has(error.status),
    random: Math.random,
  };
}

/** The entries of a log with their numbers, as long as the page is shown: how they become known, and why no more will.
 * Where there is no stream, a change of `list` has them asked for at once. */
export function useLog<Entry extends Numbered>(path: string, list: ListChannel) {
  const [entries, setEntries] = useState<Entry[]>([]);
  const [way, setWay] = useState<Way>(null);
  const [ended, setEnded] = useState<unknown>(null);
  useEffect(() => {
    const follow = new Follow<Entry>(sourceOf(path), {
      onEntries: (found) => setEntries((before) => [...before, ...found]),
      onWay: setWay,
      onEnd: setEnded,
    });
    const look = () => (document.hidden ? follow.pause() : follow.resume());
    const wake = () => follow.wake();
    look();
    document.addEventListener("visibilitychange", look);
    addEventListener("online", wake);
    const leave = watchList(list, wake);
    return () => {
      document.removeEventListener("visibilitychange", look);
      removeEventListener("online", wake);
      leave();
      follow.end();
      setEntries([]);
      setEnded(null);
    };
  }, [path, list]);
  return { entries, way, ended };
}
