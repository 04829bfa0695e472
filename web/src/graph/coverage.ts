// What the runs of scenarios reach of a graph. Pure.

import { heatOf, pathOf, stepsOf, type Graph } from "./outline";

/** How much of something is reached. */
export type Reach = "all" | "some" | "none";

export interface Share {
  reached: number;
  all: number;
}

export interface Cover {
  /** The steps that are reached, by id. */
  reached: Set<string>;
  /** How many runs went along each edge by each of its outcomes, by the edge's id. */
  runs: Map<string, Map<string, number>>;
  /** How much of each edge is reached; what undoes a step is no branch, and left out. */
  edges: Map<string, Reach>;
  steps: Share;
  branches: Share;
}

/** What `paths` reach: each is a run, as the ids of its steps with their outcomes. */
export function coverageOf(graph: Graph, paths: string[][]): Cover {
  const walked = paths.map(stepsOf);
  const rows = walked.flat().map((step) => ({ step: step.id, outcome: step.outcome ?? "", n: 1 }));
  const reached = new Set<string>();
  const taken = new Set<string>();
  for (const steps of walked) {
    const path = pathOf(graph, steps);
    for (const [id, look] of path.looks) if (look !== "none" && look !== "skipped") reached.add(id);
    for (const id of path.taken.keys()) taken.add(id);
  }
  const runs = heatOf(graph, rows);
  const edges = new Map<string, Reach>();
  const branches: Share = { reached: 0, all: 0 };
  const undo = new Set(graph.nodes.filter((node) => node.kind === "undo").map((node) => node.id));
  for (const edge of graph.edges) {
    if (undo.has(edge.to)) continue;
    const counts = runs.get(edge.id);
    const each = edge.outcomes.map((outcome) => (counts ? (counts.get(outcome) ?? 0) > 0 : taken.has(edge.id)));
    const n = each.filter(Boolean).length;
    edges.set(edge.id, n === 0 ? "none" : n < each.length ? "some" : "all");
    branches.reached += n;
    branches.all += each.length;
  }
  const steps = graph.nodes.filter((node) => node.kind !== "undo" && node.kind !== "start");
  return {
    reached,
    runs,
    edges,
    steps: { reached: steps.filter((node) => reached.has(node.id)).length, all: steps.length },
    branches,
  };
}
