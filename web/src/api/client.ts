// The only place that speaks HTTP: the session's cookies, problems (RFC 9457), and a session that renews itself.

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

/** Opens a stream of server-sent events whose `id` is a number, behind the one with the number `after`. Throws
 * Problem. */
export async function stream(
  path: string,
  after: number,
  signal: AbortSignal,
): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
  const request = { headers: { accept: "text/event-stream", "last-event-id": String(after) }, signal };
  let answer = await send(path, request);
  if (answer.status === 401) {
    if (token === null && (await renew())) answer = await send(path, request);
    if (answer.status === 401) for (const watcher of watchers) watcher();
  }
  if (!answer.ok) throw await problemOf(answer);
  return answer.body!;
}
