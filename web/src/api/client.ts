// The only place that speaks HTTP: the session's cookies, problems (RFC 9457), and a session that renews itself.

import { takeEvents } from "./events";

export const API = "/api/v1";

export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
  ) {
    super(detail);
  }
}

const UNREACHABLE = new Problem(0, "unreachable", "The server does not answer. Check that it runs, then try again.");

// A session is in cookies that no script can read. A token that was typed in is kept in memory only.
let token: string | null = null;
const watchers = new Set<() => void>();

export function keepToken(found: string | null): void {
  token = found;
}

export const hasToken = (): boolean => token !== null;

/** Calls `watcher` when the API no longer knows who asks. */
export function onSignedOut(watcher: () => void): () => void {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

let renewing: Promise<boolean> | null = null;

/** Renews the session by the refresh token in its cookie; one attempt at a time, because a refresh token is good once. */
function renew(): Promise<boolean> {
  renewing ??= (async () => {
    try {
      return (await send("/session/refresh", { method: "POST", body: {} })).ok;
    } catch {
      return false;
    } finally {
      renewing = null;
    }
  })();
  return renewing;
}

type Query = Record<string, string | number | boolean | null | undefined>;

export interface Request {
  method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  query?: Query;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

export function address(path: string, query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") search.set(name, String(value));
  }
  const text = search.toString();
  return API + path + (text ? `?${text}` : "");
}

/** Asks the API. Throws Problem, with the code `unreachable` when there is no answer. */
export async function ask<Answer>(path: string, request: Request = {}): Promise<Answer> {
  const isLogIn = path.startsWith("/session") && request.method === "POST";
  let answer = await send(path, request);
  if (answer.status === 401 && !isLogIn) {
    if (token === null && (await renew())) answer = await send(path, request);
    if (answer.status === 401) for (const watcher of watchers) watcher();
  }
  if (!answer.ok) throw await problemOf(answer);
  if (answer.status === 204) return undefined as Answer;
  const type = answer.headers.get("content-type") ?? "";
  return (type.includes("json") ? await answer.json() : await answer.text()) as Answer;
}

async function send(path: string, request: Request): Promise<Response> {
  const headers: Record<string, string> = { accept: "application/json", ...request.headers };
  if (token !== null) headers.authorization = `Bearer ${token}`;
  if (request.method && request.method !== "GET") headers["x-streamflow-csrf"] = "1";
  if (request.body !== undefined) headers["content-type"] = "application/json";
  try {
    return await fetch(address(path, request.query), {
      method: request.method ?? "GET",
      headers,
      body: request.body === undefined ? undefined : JSON.stringify(request.body),
      signal: request.signal,
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw UNREACHABLE;
  }
}

async function problemOf(answer: Response): Promise<Problem> {
  try {
    const found = (await answer.json()) as { code?: string; detail?: string; title?: string };
    return new Problem(answer.status, found.code ?? "unknown", found.detail ?? found.title ?? answer.statusText);
  } catch {
    return new Problem(answer.status, "unknown", `The server answered ${answer.status}. Try again.`);
  }
}

const RETRY_MS = 1_000;

/** Follows a stream of server-sent events whose `id` is a number, until `signal` ends it. It connects again where it
 * was, and while the tab is hidden it does not hold a connection. `onEvents` gets the data of what came, in order. */
export async function follow<Event>(
  path: string,
  after: number,
  onEvents: (events: Event[]) => void,
  onTrouble: (error: Problem | null) => void,
  signal: AbortSignal,
): Promise<void> {
  let last = after;
  while (!signal.aborted) {
    await shown(signal);
    const connection = new AbortController();
    const stop = () => connection.abort();
    const pause = () => document.hidden && stop();
    signal.addEventListener("abort", stop);
    document.addEventListener("visibilitychange", pause);
    try {
      const answer = await stream(path, last, connection.signal);
      onTrouble(null);
      const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
      for (let rest = ""; ;) {
        const { done, value } = await reader.read();
        if (done) break;
        const taken = takeEvents(rest + value);
        rest = taken.rest;
        const fresh = taken.events.filter((one) => one.id > last);
        if (fresh.length === 0) continue;
        last = fresh.at(-1)!.id;
        onEvents(fresh.map((one) => JSON.parse(one.data) as Event));
      }
    } catch (error) {
      if (error instanceof Problem && error.status >= 400 && error.status < 500 && error.status !== 429) {
        onTrouble(error);
        return;
      }
      if (!connection.signal.aborted) onTrouble(error instanceof Problem ? error : UNREACHABLE);
    } finally {
      signal.removeEventListener("abort", stop);
      document.removeEventListener("visibilitychange", pause);
    }
    if (!signal.aborted && !document.hidden) await new Promise((wake) => setTimeout(wake, RETRY_MS));
  }
}

/** Waits until the tab is shown. */
function shown(signal: AbortSignal): Promise<void> {
  if (!document.hidden) return Promise.resolve();
  return new Promise((done) => {
    const look = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      signal.removeEventListener("abort", look);
      done();
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look);
  });
}

async function stream(path: string, after: number, signal: AbortSignal): Promise<Response> {
  const request = { headers: { accept: "text/event-stream", "last-event-id": String(after) }, signal };
  let answer = await send(path, request);
  if (answer.status === 401) {
    if (token === null && (await renew())) answer = await send(path, request);
    if (answer.status === 401) for (const watcher of watchers) watcher();
  }
  if (!answer.ok) throw await problemOf(answer);
  return answer;
}
