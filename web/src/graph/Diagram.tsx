import {
  Box,
  Clock,
  CornerDownLeft,
  GitBranch,
  Hourglass,
  Maximize,
  Play,
  Printer,
  Send,
  ShieldCheck,
  Undo2,
  UserCheck,
  Variable,
  Workflow,
  X,
  ZoomIn,
  ZoomOut,
  type LucideIcon,
} from "lucide-react";
import { memo, useEffect, useMemo, useRef, useState } from "react";
import { cx } from "../parts/basics";
import { number, plain } from "../parts/words";
import { curve, HEIGHT, layOut, WIDTH } from "./layout";
import type { Colour } from "../api/types";
import type { Cover, Reach } from "./coverage";
import type { Graph, GraphEdge, GraphNode, Kind, Look, Path } from "./outline";

const ICONS: Record<Kind, LucideIcon> = {
  start: Play,
  wait: Hourglass,
  choose: GitBranch,
  set: Variable,
  emit: Send,
  delay: Clock,
  print: Printer,
  call: Box,
  run: Workflow,
  approval: UserCheck,
  require: ShieldCheck,
  fail: X,
  undo: Undo2,
  other: CornerDownLeft,
};

const LOOKS: Record<Look, string> = {
  none: "border-line bg-card",
  done: "border-[var(--fill-good)] bg-good-soft",
  waiting: "border-[var(--fill-accent)] bg-accent-soft",
  parked: "border-[var(--fill-warn)] bg-warn-soft",
  failed: "border-[var(--fill-bad)] bg-bad-soft",
  skipped: "border-dashed border-line bg-raised",
};

const REACHES: Record<Reach, string> = {
  all: "var(--fill-good)",
  some: "var(--fill-warn)",
  none: "var(--fill-bad)",
};

const COLOURS: Record<Colour, string> = {
  added: "border-[var(--fill-good)] bg-good-soft",
  changed: "border-[var(--fill-warn)] bg-warn-soft",
  moved: "border-[var(--fill-accent)] bg-accent-soft",
  removed: "border-dashed border-[var(--fill-bad)] bg-bad-soft",
};

const StepBox = memo(function StepBox({
  node,
  look,
  x,
  y,
  isRun,
  isChosen,
  isLit,
  colour,
  isReached,
  onChoose,
  onPoint,
}: {
  node: GraphNode;
  look: Look;
  x: number;
  y: number;
  isRun: boolean;
  isChosen: boolean;
  isLit: boolean;
  colour: Colour | undefined;
  isReached: boolean | undefined;
  onChoose: ((step: string) => void) | undefined;
  onPoint: ((step: string | null) => void) | undefined;
}) {
  const Icon = look === "waiting" && node.kind !== "wait" ? Hourglass : ICONS[node.kind];
  const detail = node.detail || plain(node.kind);
  return (
    <button
      type="button"
      data-step={node.id}
      aria-pressed={isChosen}
      data-lit={isLit || undefined}
      onClick={() => onChoose?.(node.id)}
      onPointerEnter={() => onPoint?.(node.id)}
      onPointerLeave={() => onPoint?.(null)}
      onFocus={() => onPoint?.(node.id)}
      onBlur={() => onPoint?.(null)}
      style={{ left: x, top: y, width: WIDTH, height: HEIGHT }}
      className={cx(
        "absolute flex items-center gap-2.5 rounded-[8px] border-[1.5px] px-3 text-left text-ink shadow-xs",
        colour ? COLOURS[colour] : isReached === undefined ? LOOKS[look] : isReached ? LOOKS.done : COLOURS.removed,
        (isChosen || isLit) && "ring-2 ring-[var(--fill-accent)] ring-offset-1 ring-offset-[var(--card)]",
      )}
    >
      <Icon size={16} aria-hidden className="shrink-0 text-muted" />
      <span className="min-w-0">
        <span className="block truncate text-[13px] font-medium" title={node.title}>
          {node.title}
        </span>
        <span className="block truncate text-[11px] text-muted" title={detail}>
          {detail}
        </span>
        {isRun && look !== "none" && <span className="sr-only">{look}</span>}
        {colour && <span className="sr-only">{colour}</span>}
        {isReached !== undefined && <span className="sr-only">{isReached ? "reached" : "not reached"}</span>}
      </span>
    </button>
  );
});

/** The outcomes of an edge: all of them, or on the path of a run the one that came; with the runs of each. */
function labelOf(edge: GraphEdge, path: Path | undefined, heat: Map<string, number> | undefined): string {
  const came = path?.taken.get(edge.id);
  const shown = came === undefined ? edge.outcomes : [came];
  const words = shown.map((outcome) => {
    const name = outcome || (shown.length > 1 ? "done" : "");
    const n = heat?.get(outcome);
    return n === undefined ? name : [name, number(n)].filter(Boolean).join(" · ");
  });
  return words.filter(Boolean).join(" or ");
}

const TALLEST = 760;
const LOWEST = 160;
const MARGIN = 20;
const SMALLEST = 0.35;
const STEP = 1.25;

/** The graph of a definition, with the path of a run or with the traffic on every branch. It is a picture of buttons:
 * what a pointer can do, the keyboard can. */
export default function Diagram({
  graph,
  path,
  heat,
  chosen,
  onChoose,
  lit,
  colours,
  cover,
  onPoint,
}: {
  graph: Graph;
  path?: Path;
  heat?: Map<string, Map<string, number>>;
  chosen?: string | null;
  onChoose?: (step: string) => void;
  /** Steps that are lit up, and what is called when the pointer or the focus comes to one or leaves it. */
  lit?: ReadonlySet<string>;
  onPoint?: (step: string | null) => void;
  /** How steps have changed. */
  colours?: Record<string, Colour>;
  /** What scenarios reach. */
  cover?: Cover;
}) {
  const place = useRef<HTMLDivElement>(null);
  const [room, setRoom] = useState(0);
  const [zoom, setZoom] = useState<number | null>(null);
  const counts = heat ?? cover?.runs;
  // Laid out for the longest labels, so that nothing moves when a run goes on.
  const laid = useMemo(
    () => layOut(graph, new Map(graph.edges.map((edge) => [edge.id, labelOf(edge, undefined, counts?.get(edge.id))]))),
    [graph, counts],
  );
  useEffect(() => {
    const watched = new ResizeObserver(([entry]) => setRoom(entry!.contentRect.width));
    watched.observe(place.current!);
    return () => watched.disconnect();
  }, []);
  const width = laid.width + 2 * MARGIN;
  const height = laid.height + 2 * MARGIN;
  const fit = room > 0 ? Math.max(SMALLEST, Math.min(1, room / width)) : 1;
  const scale = zoom ?? fit;
  const total = (id: string) => [...(heat?.get(id)?.values() ?? [])].reduce((sum, n) => sum + n, 0);
  const most = Math.max(1, ...graph.edges.map((edge) => total(edge.id)));
  const drawn = graph.edges.map((edge) => {
    const isTaken = path?.taken.has(edge.id) ?? false;
    const reach = cover?.edges.get(edge.id);
    const share = Math.sqrt(total(edge.id) / most);
    const warm = `color-mix(in srgb, var(--fill-bad) ${Math.round(share * 100)}%, var(--fill-accent))`;
    return {
      edge,
      isTaken,
      share,
      color: isTaken ? "var(--fill-good)" : reach ? REACHES[reach] : share > 0 ? warm : "var(--fill-idle)",
      reach,
      route: laid.routes.get(edge.id)!,
      label: labelOf(edge, path, counts?.get(edge.id)),
    };
  });
  return (
    <div className="relative">
      <div
        ref={place}
        tabIndex={0}
        role="region"
        aria-label="Diagram of the steps"
        style={{ maxHeight: TALLEST, minHeight: LOWEST }}
        className="overflow-auto rounded-b-[8px]"
      >
        <div
          style={{ width: width * scale, height: height * scale, marginLeft: Math.max(0, (room - width * scale) / 2) }}
          className="relative overflow-hidden"
        >
          <div
            style={{ transform: `scale(${scale})`, width, height }}
            className="absolute top-0 left-0 origin-top-left"
          >
            <svg aria-hidden width={width} height={height} className="absolute inset-0">
              <g transform={`translate(${MARGIN} ${MARGIN})`}>
                {drawn.map(({ edge, route, color, isTaken, share, reach }) => (
                  <g key={edge.id} opacity={path && !isTaken ? 0.55 : 1}>
                    <path
                      d={curve(route.points)}
                      fill="none"
                      stroke={color}
                      strokeWidth={isTaken ? 2.5 : 1.25 + share * 6}
                      strokeDasharray={
                        reach === "none" || (!reach && edge.optional && !isTaken && share === 0) ? "5 4" : undefined
                      }
                    />
                    <path d={arrowAt(route.points)} fill={color} />
                  </g>
                ))}
              </g>
            </svg>
            <div style={{ left: MARGIN, top: MARGIN }} className="absolute">
              {drawn.map(
                ({ edge, route, label, isTaken }) =>
                  label && (
                    <span
                      key={edge.id}
                      style={{ left: route.label.x, top: route.label.y }}
                      className={cx(
                        "absolute -translate-x-1/2 -translate-y-1/2 rounded bg-card px-1 text-[11px] leading-4 whitespace-nowrap",
                        isTaken ? "font-semibold text-good" : "text-muted",
                      )}
                    >
                      {label}
                    </span>
                  ),
              )}
              {graph.nodes.map((node) => {
                const at = laid.places.get(node.id)!;
                return (
                  <StepBox
                    key={node.id}
                    node={node}
                    x={at.x}
                    y={at.y}
                    look={path?.looks.get(node.id) ?? "none"}
                    isRun={path !== undefined}
                    isChosen={chosen === node.id}
                    isLit={lit?.has(node.id) ?? false}
                    colour={colours?.[node.id]}
                    isReached={cover && node.kind !== "undo" ? cover.reached.has(node.id) : undefined}
                    onChoose={onChoose}
                    onPoint={onPoint}
                  />
                );
              })}
            </div>
          </div>
        </div>
      </div>
      <div className="absolute right-3 bottom-3 flex rounded-[8px] border border-line bg-card shadow-xs">
        <Zoom label="Larger" icon={ZoomIn} onClick={() => setZoom(Math.min(2, scale * STEP))} />
        <Zoom label="Smaller" icon={ZoomOut} onClick={() => setZoom(Math.max(0.2, scale / STEP))} />
        <Zoom label="As wide as the card" icon={Maximize} onClick={() => setZoom(null)} />
      </div>
    </div>
  );
}

function Zoom({ label, icon: Icon, onClick }: { label: string; icon: LucideIcon; onClick: () => void }) {
  return (
    <button
      type="button"
      aria-label={label}
      title={label}
      onClick={onClick}
      className="grid size-8 place-items-center text-muted hover:text-ink"
    >
      <Icon size={15} />
    </button>
  );
}

const ARROW = 7;

/** The head of an edge, at its last point. */
function arrowAt(points: { x: number; y: number }[]): string {
  const end = points.at(-1);
  const before = points.at(-2);
  if (!end || !before) return "";
  const length = Math.hypot(end.x - before.x, end.y - before.y) || 1;
  const [dx, dy] = [(end.x - before.x) / length, (end.y - before.y) / length];
  const [bx, by] = [end.x - dx * ARROW, end.y - dy * ARROW];
  return `M${end.x},${end.y} L${bx - dy * ARROW * 0.5},${by + dx * ARROW * 0.5} L${bx + dy * ARROW * 0.5},${by - dx * ARROW * 0.5} Z`;
}
