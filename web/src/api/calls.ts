// Every route that the pages use, with its types.

import { ask, keepToken } from "./client";
import type * as t from "./types";

const part = encodeURIComponent;

export interface RunFilter {
  definition?: string;
  version?: string;
  status?: string;
  key?: string;
  key_prefix?: string;
  error?: string;
  parked_step?: string;
  waits_for?: string;
  parent?: string;
  restart_of?: string;
  started_from?: string;
  started_to?: string;
  [attribute: `attr.${string}`]: string | undefined;
}

export const runs = {
  list: (filter: RunFilter, sort: string, cursor?: string, limit = 50) =>
    ask<t.Page<t.RunRow> & { count?: t.Count }>("/runs", { query: { ...filter, sort, cursor, limit, count: !cursor } }),
  get: (run: string) => ask<t.Run>(`/runs/${part(run)}`),
  start: (body: t.Body["StartRequest"], id: string) =>
    ask<t.Asked>("/runs", { method: "POST", body, headers: { "Idempotency-Key": id } }),
  transitions: (run: string, before?: number, limit = 100) =>
    ask<t.Page<t.Transition, number>>(`/runs/${part(run)}/transitions`, {
      query: { before, limit, newest_first: true },
    }),
  state: (run: string, seq: number) => ask<t.RunState>(`/runs/${part(run)}/state`, { query: { seq } }),
  gantt: (run: string) => ask<t.Gantt>(`/runs/${part(run)}/gantt`),
  why: (run: string, step: string) => ask<t.Why>(`/runs/${part(run)}/why`, { query: { step } }),
  origin: (run: string) => ask<t.Origin>(`/runs/${part(run)}/origin`),
  logs: (run: string) => ask<t.Page<t.LogRow, number>>(`/runs/${part(run)}/logs`),
  compare: (run: string, other: string) => ask<t.Comparison>(`/runs/${part(run)}/compare`, { query: { with: other } }),
  act: (run: string, action: "cancel" | "retry" | "skip" | "fail", body: t.Body["Reason"] | t.Body["StepOf"]) =>
    ask<t.Asked>(`/runs/${part(run)}/${action}`, { method: "POST", body }),
  /** Waits until the command is applied; throws Problem with why it was refused. */
  heard: (asked: t.Asked) => ask<t.Run>(`/runs/${part(asked.run)}`, { query: { wait: asked.command, timeout_s: 20 } }),
  restart: (run: string, body: t.Body["Restart"]) =>
    ask<t.Restarted>(`/runs/${part(run)}/restart`, { method: "POST", body }),
  decide: (run: string, step: string, body: Partial<t.Body["Decision"]>) =>
    ask<{ applied: boolean }>(`/runs/${part(run)}/approvals/${part(step)}`, { method: "POST", body }),
};

export type JobAction = t.Body["JobRequest"]["action"];

export const jobs = {
  preview: (action: JobAction, filter: RunFilter) =>
    ask<{ count: t.Count; sample: string[] }>("/jobs", { method: "POST", body: { action, filter, preview: true } }),
  start: (action: JobAction, filter: RunFilter, reason: string) =>
    ask<t.Job>("/jobs", { method: "POST", body: { action, filter, reason, preview: false } }),
  list: () => ask<t.Page<t.Job>>("/jobs"),
  get: (id: string) => ask<t.Job>(`/jobs/${part(id)}`),
  results: (id: string, cursor?: number) =>
    ask<t.Page<t.JobResult, number>>(`/jobs/${part(id)}/results`, { query: { cursor } }),
};

export const definitions = {
  list: () => ask<t.Page<t.DefinitionRow>>("/definitions"),
  get: (name: string) => ask<t.DefinitionHead>(`/definitions/${part(name)}`),
  version: (name: string, version: string) =>
    ask<t.DefinitionVersion>(`/definitions/${part(name)}/versions/${part(version)}`),
  diff: (name: string, from: string, to: string) =>
    ask<t.Difference>(`/definitions/${part(name)}/diff`, { query: { from, to } }),
  traffic: (name: string, version: string) =>
    ask<t.Traffic>(`/definitions/${part(name)}/traffic`, { query: { version } }),
  /** The scenarios that were published with a version, played. */
  scenarios: (name: string, version: string) =>
    ask<t.Coverage>(`/definitions/${part(name)}/scenarios`, { query: { version } }),
  check: (body: Partial<t.Body["Handed"]>, signal?: AbortSignal) =>
    ask<t.Checked>("/definitions/check", { method: "POST", body, signal }),
  simulate: (body: Partial<t.Body["ToPlay"]>) => ask<t.Played>("/definitions/simulate", { method: "POST", body }),
  publish: (body: Partial<t.Body["ToPublish"]>) => ask<t.Published>("/definitions/publish", { method: "POST", body }),
  shadow: (body: Partial<t.Body["ToShadow"]>) => ask<t.Shadow>("/definitions/shadow", { method: "POST", body }),
  approvals: (name: string) => ask<t.Page<t.ApprovalRow>>(`/definitions/${part(name)}/approvals`),
  promote: (name: string, version: string, body: t.Body["Promoting"]) =>
    ask<unknown>(`/definitions/${part(name)}/versions/${part(version)}/promote`, { method: "POST", body }),
  rollback: (name: string, version: string | null) =>
    ask<{ version: string; before: string }>(`/definitions/${part(name)}/rollback`, {
      method: "POST",
      body: { version },
    }),
  retire: (name: string, version: string) =>
    ask<unknown>(`/definitions/${part(name)}/versions/${part(version)}/retire`, { method: "POST", body: {} }),
};

const talk = (id: string) => `/conversations/${part(id)}`;
const seen = (revision: number) => ({ "if-match": `"${revision}"` });

export const conversations = {
  list: (cursor?: number) => ask<t.Page<t.ConversationRow, number>>("/conversations", { query: { cursor } }),
  get: (id: string) => ask<t.Conversation>(talk(id)),
  start: (body: Partial<t.Body["NewConversation"]>) => ask<t.Conversation>("/conversations", { method: "POST", body }),
  rename: (id: string, title: string) => ask<t.Conversation>(talk(id), { method: "PATCH", body: { title } }),
  drop: (id: string) => ask<unknown>(talk(id), { method: "DELETE" }),
  say: (id: string, body: Partial<t.Body["Message"]>) => ask<t.Sent>(`${talk(id)}/messages`, { method: "POST", body }),
  cancel: (id: string) => ask<t.Conversation>(`${talk(id)}/cancel`, { method: "POST", body: {} }),
  /** Says yes to operations, or without a proposal to what was understood. */
  accept: (id: string, revision: number, body: Partial<t.Body["Chosen"]>) =>
    ask<t.Conversation | t.Sent>(`${talk(id)}/accept`, { method: "POST", body, headers: seen(revision) }),
  reject: (id: string, body: Partial<t.Body["Chosen"]>) =>
    ask<t.Conversation>(`${talk(id)}/reject`, { method: "POST", body }),
  write: (id: string, revision: number, text: string) =>
    ask<t.Conversation>(`${talk(id)}/operations`, { method: "POST", body: { text }, headers: seen(revision) }),
  /** Makes another revision the current one. */
  move: (id: string, revision: number, how: "undo" | "redo") =>
    ask<t.Conversation>(`${talk(id)}/${how}`, { method: "POST", headers: seen(revision) }),
  branch: (id: string, revision: number, to: number) =>
    ask<t.Conversation>(`${talk(id)}/branch`, { method: "POST", body: { revision: to }, headers: seen(revision) }),
  share: (id: string, days: number) =>
    ask<{ token: string; days: number }>(`${talk(id)}/share`, { method: "POST", body: { days } }),
  shared: (token: string) => ask<t.SharedDraft>(`/shared/${part(token)}`),
  preview: (id: string) => ask<t.DraftPreview>(`${talk(id)}/preview`),
  scenarios: (id: string) => ask<t.KeptScenarios>(`${talk(id)}/scenarios`),
  propose: (id: string, seed: number) =>
    ask<t.Sampled>(`${talk(id)}/scenarios/proposals`, { method: "POST", query: { seed } }),
  keep: (id: string, scenarios: t.Scenario[]) =>
    ask<t.Conversation>(`${talk(id)}/scenarios`, { method: "PUT", body: { scenarios: { scenarios } } }),
  /** Has scenarios expect what comes of them now. */
  expect: (id: string, names: string[]) =>
    ask<t.Conversation>(`${talk(id)}/scenarios/expect`, { method: "POST", body: { names } }),
  approve: (id: string, body: { revision: number; hash: string; by?: string; note: string; shadow: number }) =>
    ask<t.Approved>(`${talk(id)}/approvals`, { method: "POST", body }),
  comment: (id: string, body: Partial<t.Body["Comment"]>) =>
    ask<t.Conversation>(`${talk(id)}/comments`, { method: "POST", body }),
  revision: (id: string, revision: number) => ask<t.DraftRevision>(`${talk(id)}/revisions/${revision}`),
  diff: (id: string, from: number, to: number) => ask<t.DraftDifference>(`${talk(id)}/diff`, { query: { from, to } }),
  /** The path of what happened in one. */
  log: (id: string) => `${talk(id)}/events`,
};

export const approvals = { list: () => ask<t.Approval[]>("/approvals") };

export const trouble = {
  counts: () => ask<t.Page<t.TroubleCount>>("/trouble"),
  rows: (kind?: string, cursor?: string) => ask<t.Page<t.TroubleRow>>("/trouble/rows", { query: { kind, cursor } }),
  fate: (id: string) => ask<t.Page<t.EventFate>>(`/events/${part(id)}`),
  letter: (id: string) => ask<t.Letter>(`/dead-letters/${part(id)}`),
  replay: (id: string, body: Partial<t.Body["Replay"]>) =>
    ask<unknown>(`/dead-letters/${part(id)}/replay`, { method: "POST", body }),
  drop: (id: string, body: t.Body["Drop"]) => ask<unknown>(`/dead-letters/${part(id)}/drop`, { method: "POST", body }),
};

export const figures = {
  statistics: (from_ms: number, to_ms: number, definition?: string) =>
    ask<t.Statistics>("/statistics", { query: { from_ms, to_ms, definition } }),
  lag: () => ask<t.Page<t.LagRow>>("/lag"),
  history: () => ask<t.HistoryState>("/history"),
  lanes: () => ask<t.Page<t.Lane>>("/lanes"),
  workers: () => ask<t.Page<t.WorkerRow>>("/workers"),
};

export const catalog = {
  events: () => ask<t.Page<t.CatalogEvent>>("/catalog/events"),
  operations: () => ask<t.Page<t.CatalogOperation>>("/catalog/operations"),
  /** The operations with who does them and how they are. */
  served: () => ask<t.ServedOperation[]>("/operations"),
};

export const access = {
  me: () => ask<t.Me>("/me"),
  /** Begins a session in cookies. What is no API key is taken for the sidecar's token, and kept in memory. */
  signIn: async (body: { user: string; password: string } | { key: string }) => {
    if ("key" in body && !body.key.startsWith("sfk_")) {
      keepToken(body.key);
      try {
        await ask<t.Me>("/me");
      } catch (error) {
        keepToken(null);
        throw error;
      }
      return;
    }
    keepToken(null);
    await ask<t.Tokens>("/session", { method: "POST", body: { ...body, cookie: true } });
  },
  signOut: async () => {
    keepToken(null);
    await ask<unknown>("/session", { method: "DELETE" });
  },
  methods: () => ask<t.Methods>("/session/methods"),
  keys: (everybody: boolean) => ask<t.ApiKey[]>("/keys", { query: { everybody: everybody || undefined } }),
  createKey: (body: Partial<t.Body["NewKey"]>) => ask<t.ApiKey>("/keys", { method: "POST", body }),
  rotateKey: (id: string) => ask<t.ApiKey>(`/keys/${part(id)}/rotate`, { method: "POST", body: {} }),
  dropKey: (id: string) => ask<unknown>(`/keys/${part(id)}`, { method: "DELETE" }),
  users: () => ask<t.User[]>("/users"),
  createUser: (body: Partial<t.Body["NewUser"]>) => ask<t.User>("/users", { method: "POST", body }),
  changeUser: (name: string, body: t.Body["UserChange"]) =>
    ask<t.User>(`/users/${part(name)}`, { method: "PATCH", body }),
  grants: () => ask<t.Grant[]>("/grants"),
  createGrant: (body: Partial<t.Body["NewGrant"]>) => ask<t.Grant>("/grants", { method: "POST", body }),
  dropGrant: (id: string) => ask<unknown>(`/grants/${part(id)}`, { method: "DELETE" }),
  audit: (filter: { who?: string; action?: string; target?: string }, cursor?: string) =>
    ask<t.Page<t.Entry, number>>("/audit", { query: { ...filter, cursor } }),
  notifications: () => ask<t.OwnNotifications>("/me/notifications"),
  subscribe: (body: t.Body["SubscriptionChoice"]) => ask<unknown>("/me/notifications", { method: "PUT", body }),
  unsubscribe: () => ask<unknown>("/me/notifications", { method: "DELETE" }),
  views: () => ask<t.View[]>("/views"),
  saveView: ({ id, ...body }: t.View) => ask<t.View>(`/views/${part(id)}`, { method: "PUT", body }),
  dropView: (id: string) => ask<unknown>(`/views/${part(id)}`, { method: "DELETE" }),
};

export const lookup = (q: string, signal?: AbortSignal) => ask<t.Page<t.Hit>>("/lookup", { query: { q }, signal });
