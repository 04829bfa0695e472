// What the API answers. Rows and bodies come from its OpenAPI document (`make api`); the document leaves open what other
// answers hold, which is written here.

import type { components } from "./schema";

type Schemas = components["schemas"];

/** Bodies of requests, by name. */
export type Body = Schemas;

export type RunRow = Schemas["RunRow"];
export type TroubleRow = Schemas["TroubleRow"];
export type EventFate = Schemas["EventFate"];
export type LogRow = Schemas["LogRow"];
export type Hit = Schemas["Hit"];
export type Count = Schemas["Count"];
export type Point = Schemas["Point"];
export type Outcomes = Schemas["Outcomes"];
export type Bar = Schemas["Bar"];
export type Entry = Schemas["Entry"];
export type View = Schemas["View"];
export type NotificationKind = Schemas["SubscriptionChoice"]["kinds"][number];

export interface OwnNotifications {
  subscription: Schemas["SubscriptionChoice"] | null;
  kinds: NotificationKind[];
  /** Those that the user may choose. */
  targets: string[];
  /** Whether notifications have links to pages. */
  links: boolean;
}

export type JobResult = Schemas["Result"];
export type Asked = Schemas["Asked"];
export type Methods = Schemas["Methods"];
export type Tokens = Schemas["Tokens"];
export type Role = Schemas["Role"];
export type TroubleKind = TroubleRow["kind"];

export interface Page<Row, Cursor = string> {
  rows: Row[];
  next: Cursor | null;
}

export interface StepFacts {
  id: string;
  state: string;
  outcome?: string;
  until_ms?: number;
  operation?: string;
  attempts?: number;
  parked?: string;
  parked_detail?: string;
  children?: string[];
  error?: { attempt: number | null; code: string; message: string; item: number | null; retry_ms: number | null };
  items?: { total: number; done: number; failed: number };
  approval?: { text: string; who: string[]; form: Schema | null; due_ms: number | null };
  decision?: { decision: string; by: string; data: unknown };
}

export interface Run {
  run: string;
  definition: string;
  version: string;
  key: string;
  status: "open" | "parked" | "completed" | "failed" | "cancelled";
  seq: number;
  started_ms: number;
  last_ms: number;
  /** What its last transition says. */
  ended: string;
  /** The open steps, each in a few words. */
  at: Record<string, string>;
  /** What its caller knows it by. */
  correlation_id: string | null;
  /** The trace in which it began. */
  trace_id: string | null;
  steps: StepFacts[];
  output?: unknown;
}

export interface Restarted {
  run: string;
  version: string;
  already: boolean;
  restart_of: string;
}

export interface Transition {
  type: string;
  seq: number;
  at_ms: number;
  cause: string;
  step?: string;
  attempt?: number;
  scope?: string;
  data: Record<string, unknown>;
}

export interface RunState extends Run {
  at_ms: number;
  transition: { type: string; step: string };
  values: { trigger: unknown; steps: Record<string, unknown> };
  first_seq: number;
  last_seq: number;
}

export interface GanttRow {
  step: string;
  start_ms: number;
  end_ms: number | null;
  bars: Bar[];
  left_out: number;
  state?: string;
  outcome?: string;
  operation?: string;
  attempts?: number;
  items?: { total: number; done: number; failed: number };
  error_code?: string;
}

export interface Gantt {
  run: string;
  from_ms: number;
  to_ms: number;
  ended: boolean;
  rows: GanttRow[];
  idle: { from_ms: number; to_ms: number }[];
}

export interface Why {
  step: string;
  state: string | null;
  verdict: "ran" | "did_not_run" | "waits" | "not_yet" | "parked";
  sentence: string;
  needs: { step: string; outcome: string | null; state: string | null; ended: string | null; met: boolean | null }[];
  condition?: string;
  since_ms?: number | null;
  until_ms?: number | null;
  waits_for?: { id: string; event: string; where: string | null; key: string; topics: string[] }[];
  near_misses?: { event: string; event_id: string; source: string; at_ms: number; reason: string; why: string }[];
  who?: string[];
}

export interface CompareSide {
  state: string;
  outcome: string | null;
  attempts: number | null;
  error_code: string | null;
  duration_ms: number | null;
  seq: number;
}

export interface Divergence {
  what: "start" | "begun" | "input" | "outcome" | "output";
  places?: string[];
  left?: unknown;
  right?: unknown;
}

export interface Comparison {
  run: string;
  with: string;
  left: Run;
  right: Run;
  same_version: boolean;
  same: boolean;
  first: { step: string | null; seq: number; differs: Divergence[]; reason: string } | null;
  rows: { step: string; left: CompareSide | null; right: CompareSide | null; same: boolean; differs: Divergence[] }[];
}

export type Job = Schemas["Job"] & { state: "running" | "done"; done: number; failed: number };

export interface Step {
  id: string;
  title?: string | null;
  needs?: string[];
  join?: "all" | "any";
  if?: string | null;
  [kind: string]: unknown;
}

export interface Content {
  name: string;
  version: string;
  title?: string | null;
  description?: string | null;
  on?: { id: string; event: string; where?: string | null }[];
  input?: Schema | null;
  steps: Step[];
}

export interface DefinitionRow {
  definition: string;
  title: string | null;
  version: string;
  versions: number;
  published_ms: number;
  retired: boolean;
}

export interface VersionRow {
  version: string;
  sha: string;
  published_ms: number;
  state: "starts runs" | "serves its runs" | "retired";
}

export interface DefinitionHead extends DefinitionRow {
  current: string | null;
  rows: VersionRow[];
}

export interface DefinitionVersion {
  definition: string;
  version: string;
  sha: string;
  published_ms: number;
  retired: boolean;
  current: boolean;
  content: Content;
  catalog: unknown;
  bindings: Record<string, { topics: string[] } | null>;
  yaml: string;
  english: string[];
}

export interface Difference {
  same: boolean;
  rows: {
    kind: "added" | "removed" | "changed" | "moved";
    at: string;
    text: string;
    before: unknown;
    after: unknown;
  }[];
}

export interface Traffic extends Page<Outcomes> {
  from_ms: number;
  to_ms: number;
}

export interface FoundProblem {
  part: string;
  code: string;
  pointer: string;
  severity: "error" | "warning";
  message: string;
  fix: string | null;
  line: number | null;
  column: number | null;
}

export interface Checked {
  ok: boolean;
  problems: FoundProblem[];
  name?: string;
  version?: string;
  hash?: string;
}

export interface Played {
  ok: boolean;
  scenarios: {
    name: string;
    ok: boolean;
    paths: string[][];
    differences: unknown[];
    faults: { message?: string }[];
    notes: string[];
  }[];
  untaken: unknown[];
}

export interface Coverage {
  definition: string;
  version: string;
  rows: Played["scenarios"];
  /** Steps and outcomes that no scenario reached. */
  untaken: string[];
}

export interface Published {
  already: boolean;
  missing_topics: string[];
  warnings: string[];
  problems: FoundProblem[];
}

export type Schema = {
  type?: string | string[];
  title?: string;
  description?: string;
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  format?: string;
  required?: string[];
  properties?: Record<string, Schema>;
  items?: Schema;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  pattern?: string;
};

export interface Approval {
  run: string;
  step: string;
  definition: string;
  version: string;
  key: string;
  text: string;
  who: string[];
  form: Schema | null;
  asked_ms: number;
  due_ms: number | null;
}

export interface TroubleCount {
  kind: TroubleKind;
  n: number;
  newest_ms: number | null;
  next_action: string;
}

export interface Letter {
  letter: number;
  id: string;
  code: string;
  status: string;
  record: { key: string | null; value: string | null; headers: Record<string, string> };
  [fact: string]: unknown;
}

export interface Statistics extends Page<Point> {
  from_ms: number;
  to_ms: number;
}

export interface LagRow {
  role: string;
  group: string;
  topic: string;
  lane: string | null;
  records: number;
  /** Null: something waits, and its age is not known. */
  seconds: number | null;
  /** Seconds until the group has caught up. Null: that is not known, or never. */
  drain_s: number | null;
  /** More comes than is done. */
  falls_behind: boolean;
  /** What keeps the topic from being read, empty when nothing does. */
  state: "" | "missing" | "unreadable" | "leaderless";
}

export interface Lane {
  lane: string;
  operations: string[];
  workers: number;
  waiting: number;
  oldest_s: number | null;
}

export interface WorkerRow {
  worker: string;
  role: string;
  host: string;
  pid: number | null;
  since_ms: number | null;
  version: string;
  revisions: string[];
  partitions: number | null;
  present: boolean;
  lanes: string[];
  operations: string[];
  health: "ok" | "draining" | "degraded" | "silent";
  detail: string;
}

export interface CatalogEvent {
  name: string;
  title?: string;
  description?: string;
  topics: string[];
  schema?: Schema;
  used_by: string[];
}

export interface CatalogOperation {
  name: string;
  title?: string;
  description?: string;
  kind: "built_in" | "plugin";
  lane: string;
  timeout: string;
  input?: Schema;
  output?: Schema;
  errors: { id: string; title?: string; retryable: boolean }[];
  used_by: string[];
}

export interface ServedOperation {
  name: string;
  source: string;
  lane: string;
  health: { ok: boolean; detail: string; asked: boolean } | null;
  served_by: { lane: string; instance: string; host: string; present: boolean; ok: boolean; detail: string }[];
}

export interface ApiKey {
  id: string;
  prefix: string;
  user: string;
  name: string;
  created_ms: number;
  expires_ms?: number;
  revoked_ms?: number;
  replaces?: string;
  used_ms: number | null;
  /** In the answer that makes it, and never again. */
  key?: string;
}

export interface Grant {
  id: string;
  role: Role;
  user: string | null;
  group: string | null;
  definitions: string[];
  created_ms: number;
}

export interface User {
  id: string;
  name: string;
  kind: "person" | "service";
  password: boolean;
  issuer?: string;
  groups?: string[];
  disabled: boolean;
  created_ms: number;
  grants: Grant[];
}

export interface Me {
  name: string;
  id: string | null;
  groups: string[];
  via: string;
  session: string | null;
  rights: string[];
  permissions: { rights: string[]; definitions: string[] }[];
  leave: string | null;
  rate: { per_minute: number | null; left: number | null; shared: boolean };
}

export interface HistoryState {
  records: number;
  seconds: number;
  silent_s: number | null;
}

export type Mode = Schemas["Message"]["mode"];

export interface Statement {
  number: number;
  origin: "said" | "assumed" | "missing";
  text: string;
  addresses: string[];
}

export interface Question {
  text: string;
  addresses: string[];
  phrase: string | null;
  choices: { text: string; operations: unknown[]; sentence: string | null }[];
}

export interface Understood {
  turn: string;
  statements: Statement[];
  questions: Question[];
}

export interface DraftOperation {
  op: string;
  [field: string]: unknown;
}

export interface DraftProblem {
  code: string;
  pointer: string;
  severity: "error" | "warning";
  message: string;
  fix: string | null;
}

export interface Proposal {
  proposal: string;
  turn: string;
  base: number;
  operations: DraftOperation[];
  sentences: string[];
  problems: DraftProblem[];
  /** Which operations still wait, counted from 0. */
  open: number[];
}

export interface RevisionRow {
  revision: number;
  parent: number | null;
  sha: string;
  authors: string[];
  at_ms: number;
  sentences: string[];
}

export interface DraftRevision extends RevisionRow {
  text: string;
  content: Content;
  statements: Statement[];
  problems: DraftProblem[];
}

export interface ConversationRow {
  conversation: string;
  title: string;
  created_by: string;
  created_ms: number;
  updated_ms: number;
  revision: number;
}

/** What happened in a conversation: an entry of its log. */
export type TalkEntry = { seq: number; at_ms: number; by: string } & (
  | { type: "message_sent"; text: string; question: number | null; choice: number | null }
  | { type: "turn_started"; turn: string; mode: Mode; model: string }
  | { type: "turn_held"; turn: string }
  | { type: "text"; turn: string; text: string }
  | ({ type: "understood" } & Understood)
  | { type: "tool_called"; turn: string; tool: string; failed: boolean; result: string }
  | ({ type: "operations_proposed" } & Omit<Proposal, "open">)
  | { type: "operations_rejected"; proposal: string; operations: number[] }
  | { type: "revision"; parent: number; authors: string[]; sentences: string[]; problems?: DraftProblem[] }
  | { type: "moved"; how: "undone" | "redone" | "branched"; revision: number }
  | { type: "comment"; revision: number; text: string; address: string | null }
  | { type: "scenarios_kept" }
  | ({ type: "scenarios_played" } & ScenariosPlayed)
  | ({ type: "spent"; turn: string; model: string; estimated: boolean; money: string | null } & TokenCounts)
  | { type: "turn_ended"; turn: string; cause: string; code: string; message: string }
  | { type: "conversation_started" | "confirmed" | "gaps_settled" | "shared" | "unshared" | "renamed" }
);

export interface TokenCounts {
  input_tokens: number;
  cached_input_tokens: number;
  cache_write_tokens: number;
  output_tokens: number;
}

export interface Conversation extends ConversationRow {
  /** The number of the latest entry. */
  seq: number;
  catalog: string | null;
  draft: RevisionRow & { text: string };
  revisions: RevisionRow[];
  can_undo: boolean;
  can_redo: boolean;
  turn: { turn: string; mode: Mode; by: string } | null;
  understood: Understood | null;
  proposal: Proposal | null;
  comments: TalkEntry[];
  /** The scenarios that are kept, and how they went when they were played last. */
  scenarios: Scenario[];
  played: ScenariosPlayed | null;
  shared_until_ms: number | null;
  damaged: boolean;
  tokens: number;
}

export interface ScenariosPlayed {
  revision: number;
  count: number;
  /** `is_new`: the time before it went as expected. */
  different: { name: string; told: string[]; is_new: boolean }[];
  /** Why they cannot be played on this revision. */
  trouble: string;
}

/** The kept scenarios as they go on a revision. */
export interface KeptScenarios {
  revision: number;
  kept: Scenario[];
  /** What is approved and published with the draft. */
  text: string | null;
  played: Played;
  trouble: string | null;
}

/** The draft as it would be with what is proposed. */
export interface DraftPreview extends Pick<DraftRevision, "content" | "statements" | "problems"> {
  base: number;
  text: string;
  sentences: string[];
  colours: Record<string, Colour>;
  different: { name: string; told: string[] }[];
  trouble: string | null;
}

/** A conversation by its link. */
export interface SharedDraft {
  title: string;
  draft: RevisionRow & { text: string };
  content: Content;
  comments: TalkEntry[];
  updated_ms: number;
  shared_until_ms: number | null;
}

/** From a run, or from a version, back to what people said. */
export interface Origin {
  definition: string;
  version: string;
  sha: string;
  published_ms: number | null;
  approval: Approved["approval"] | null;
  conversation: { conversation: string; title: string; revision: number } | null;
  changes: {
    revision: number;
    by: string;
    at_ms: number;
    authors: string[];
    operations: DraftOperation[];
    sentences: string[];
    model: string | null;
    messages: { by: string; at_ms: number; text: string; question: string | null }[];
  }[];
  /** Why the chain ends before the sentence; null: it does not. */
  ends: string | null;
}

export interface Sent {
  conversation: string;
  turn: string;
}

export interface DraftDifference {
  sentences: string[];
  colours: Record<string, Colour>;
}

export type Colour = "added" | "removed" | "moved" | "changed";

/** One scenario, as scenarios.yaml has it. */
export interface Scenario {
  name: string;
  do: Record<string, unknown>[];
  expect: unknown;
  operations?: Record<string, unknown>;
}

export interface Sampled {
  scenarios: Scenario[];
  untaken: string[];
  reason: string | null;
}

export interface Approved {
  approval: {
    name: string;
    version: string;
    sha256: string;
    by: string;
    authors: string[];
    environment: string;
    at_ms: number;
  };
  report: {
    warnings: string[];
    scenarios: { name: string; ok: boolean }[];
    untaken: string[];
    shadow: ShadowCounts | null;
  };
}

export interface ApprovalRow extends Approved {
  definition: string;
  version: string;
  state: "published" | "open";
}

export interface ShadowCounts {
  against: string;
  runs: number;
  same: number;
  different: number;
  incomparable: number;
}

export interface Shadow extends ShadowCounts {
  definition: string;
  /** Of a range of the topics: how many records came in it. */
  records?: number;
  rows: {
    /** Empty: there was no such run. */
    run: string;
    key: string;
    started_ms: number;
    why: string;
    before: { status: string } | null;
    after: { status: string } | null;
    result: "same" | "different" | "incomparable";
    first: string | null;
  }[];
}
