// The graph of a definition and the path of a run through it. Pure.

import type { Content, Step, StepFacts } from "../api/types";

const KINDS = [
  "wait",
  "choose",
  "set",
  "emit",
  "delay",
  "print",
  "call",
  "run",
  "approval",
  "require",
  "fail",
] as const;
export type Kind = (typeof KINDS)[number] | "start" | "undo" | "other";

export interface GraphNode {
  id: string;
  kind: Kind;
  title: string;
  detail: string;
}

/** All needs of one step that name another. */
export interface GraphEdge {
  id: string;
  from: string;
  to: string;
  /** The outcomes of `from` that count; empty: any but a failure or a timeout. */
  outcomes: string[];
  optional: boolean;
}

export interface Graph {
  nodes: GraphNode[];
  edges: GraphEdge[];
}

export const START = "start:";

export function kindOf(step: Step): Kind {
  return KINDS.find((kind) => step[kind] !== undefined && step[kind] !== null) ?? "other";
}

function detailOf(step: Step, kind: Kind): string {
  const work = step[kind] as Record<string, unknown> | Record<string, unknown>[] | undefined;
  if (!work) return "";
  if (Array.isArray(work)) return work.map((one) => String(one.id ?? one.name ?? "")).join(", ");
  switch (kind) {
    case "wait":
      return ((work.events as { event: string }[] | undefined) ?? []).map((one) => one.event).join(" or ");
    case "emit":
      return String(work.event ?? "");
    case "call":
      return String(work.operation ?? "");
    case "run":
      return `${String(work.definition ?? "")}@${String(work.version ?? "")}`;
    case "approval":
      return ((work.who as string[] | undefined) ?? []).join(", ");
    case "delay":
      return String(work.for ?? work.until ?? "");
    case "require":
      return String(work.that ?? "");
    case "fail":
      return String(work.reason ?? "");
    default:
      return "";
  }
}

function edgeOf(from: string, to: string, outcomes: string[], optional: boolean): GraphEdge {
  return { id: `${from}>${to}`, from, to, outcomes, optional };
}

/** The steps with what they need; a need of a step that is not there is left out. */
export function graphOf(content: Content): Graph {
  const known = new Set(content.steps.map((step) => step.id));
  const nodes: GraphNode[] = (content.on ?? []).map((on) => ({
    id: START + on.id,
    kind: "start",
    title: on.event,
    detail: on.where ?? "",
  }));
  if (content.input) nodes.push({ id: `${START}request`, kind: "start", title: "Started by a request", detail: "" });
  const starts = nodes.map((node) => node.id);
  const edges: GraphEdge[] = [];
  for (const step of content.steps) {
    const kind = kindOf(step);
    const each = step.each ? "each: " : "";
    nodes.push({ id: step.id, kind, title: step.title ?? step.id, detail: each + detailOf(step, kind) });
    const needs = [...new Set(step.needs ?? [])].filter((need) => known.has(need.split(".")[0]!));
    const optional = step.join === "any" && needs.length > 1;
    if (needs.length === 0) for (const from of starts) edges.push(edgeOf(from, step.id, [""], false));
    const outcomes = new Map<string, string[]>();
    for (const need of needs) {
      const [from, outcome = ""] = need.split(".") as [string, string?];
      outcomes.set(from, [...(outcomes.get(from) ?? []), outcome]);
    }
    for (const [from, named] of outcomes) edges.push(edgeOf(from, step.id, named, optional));
    if (step.undo) {
      nodes.push({
        id: `${step.id}.undo`,
        kind: "undo",
        title: `Undo: ${step.title ?? step.id}`,
        detail: String((step.undo as { operation?: string }).operation ?? ""),
      });
      edges.push(edgeOf(step.id, `${step.id}.undo`, ["undo"], true));
    }
  }
  return { nodes, edges };
}

export type Look = "none" | "done" | "waiting" | "parked" | "failed" | "skipped";

const FAILED = new Set(["failure", "timeout"]);

export function lookOf(step: StepFacts | undefined): Look {
  if (!step) return "none";
  if (step.state === "skipped" || step.state === "parked") return step.state;
  if (step.state === "done") return step.error && FAILED.has(step.outcome ?? "") ? "failed" : "done";
  return step.state === "failed" ? "failed" : "waiting";
}

export interface Path {
  looks: Map<string, Look>;
  /** The edges that the run took, by id, each with the outcome that led along it. */
  taken: Map<string, string>;
}

const counts = (named: string, outcome: string): boolean => (named ? named === outcome : !FAILED.has(outcome));

/** What a run did: the look of every step, and the edges along which it went on. */
export function pathOf(graph: Graph, steps: StepFacts[]): Path {
  const facts = new Map(steps.map((step) => [step.id, step]));
  const looks = new Map<string, Look>(
    graph.nodes.map((node) => [node.id, node.kind === "start" ? "done" : lookOf(facts.get(node.id))]),
  );
  const taken = new Map<string, string>();
  for (const edge of graph.edges) {
    if (["none", "skipped"].includes(looks.get(edge.to) ?? "none")) continue;
    const before = facts.get(edge.from);
    if (edge.from.startsWith(START)) taken.set(edge.id, "");
    else if (before?.state === "done") {
      const named = edge.outcomes.find((each) => each === "undo" || counts(each, before.outcome ?? ""));
      if (named !== undefined) taken.set(edge.id, named);
    }
  }
  return { looks, taken };
}

/** The steps of a run that has ended, from its path: their ids, each with its outcome behind a dot. */
export function stepsOf(path: string[]): StepFacts[] {
  return path.map((one) => {
    const dot = one.lastIndexOf(".");
    if (dot < 0) return { id: one, state: "done" };
    return { id: one.slice(0, dot), state: "done", outcome: one.slice(dot + 1) };
  });
}

/** The runs that went along each edge by each of its outcomes, from the counts of the steps' outcomes. */
export function heatOf(
  graph: Graph,
  traffic: { step: string; outcome: string; n: number }[],
): Map<string, Map<string, number>> {
  const heat = new Map<string, Map<string, number>>();
  for (const edge of graph.edges) {
    const rows = traffic.filter((row) => row.step === edge.from);
    if (rows.length === 0) continue;
    const sum = (named: string) =>
      rows.filter((row) => counts(named, row.outcome)).reduce((total, row) => total + row.n, 0);
    heat.set(edge.id, new Map(edge.outcomes.map((named) => [named, sum(named)])));
  }
  return heat;
}
