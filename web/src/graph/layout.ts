import dagre from "@dagrejs/dagre";
import type { Graph } from "./outline";

export const WIDTH = 200;
export const HEIGHT = 58;
const LABEL_HEIGHT = 18;
const LETTER = 6.2; // px of a letter of a label

export interface Point {
  x: number;
  y: number;
}

export interface Route {
  /** From the edge of one node to that of the other. */
  points: Point[];
  /** The middle of its label. */
  label: Point;
}

export interface Layout {
  /** The left upper corner of each node. */
  places: Map<string, Point>;
  routes: Map<string, Route>;
  width: number;
  height: number;
}

/** Where each node stands and how each edge runs, from top to bottom; labels have room of their own. */
export function layOut(graph: Graph, labels: Map<string, string>): Layout {
  const laid = new dagre.graphlib.Graph({ multigraph: true });
  laid.setGraph({ rankdir: "TB", nodesep: 40, edgesep: 24, ranksep: 24 });
  for (const node of graph.nodes) laid.setNode(node.id, { width: WIDTH, height: HEIGHT });
  for (const edge of graph.edges) {
    const text = labels.get(edge.id) ?? "";
    const size = text ? { width: text.length * LETTER + 12, height: LABEL_HEIGHT, labelpos: "c" } : {};
    laid.setEdge(edge.from, edge.to, size, edge.id);
  }
  dagre.layout(laid);
  const places = new Map<string, Point>();
  let width = 0;
  let height = 0;
  for (const node of graph.nodes) {
    const at = laid.node(node.id) as Point;
    places.set(node.id, { x: at.x - WIDTH / 2, y: at.y - HEIGHT / 2 });
    width = Math.max(width, at.x + WIDTH / 2);
    height = Math.max(height, at.y + HEIGHT / 2);
  }
  const routes = new Map<string, Route>();
  for (const edge of graph.edges) {
    const found = laid.edge(edge.from, edge.to, edge.id) as { points: Point[]; x?: number; y?: number };
    const middle = found.points[Math.floor(found.points.length / 2)]!;
    width = Math.max(width, ...found.points.map((point) => point.x));
    routes.set(edge.id, { points: found.points, label: { x: found.x ?? middle.x, y: found.y ?? middle.y } });
  }
  return { places, routes, width, height };
}

/** An SVG path through `points`, rounded at each. */
export function curve(points: Point[]): string {
  const [first, ...rest] = points;
  if (!first) return "";
  let path = `M${first.x},${first.y}`;
  rest.forEach((point, index) => {
    const next = rest[index + 1];
    if (!next) path += ` L${point.x},${point.y}`;
    else path += ` Q${point.x},${point.y} ${(point.x + next.x) / 2},${(point.y + next.y) / 2}`;
  });
  return path;
}
