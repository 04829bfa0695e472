import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { useTheme } from "../shell/theme";

export interface Line {
  title: string;
  color: string;
  values: (number | null)[];
  bars?: boolean;
}

const HEIGHT = 220;

// As uPlot wants it: seconds between marks, the format, and what stands below at the turn of a year, month, day.
const DAY = "\n{YYYY}-{MM}-{DD}";
const HOURS: uPlot.Axis["values"] = [
  [86_400, "{MM}-{DD}", null, null, null, null, null, null, 1],
  [3_600, "{HH}:{mm}", null, null, DAY, null, null, null, 1],
  [60, "{HH}:{mm}", null, null, DAY, null, null, null, 1],
];

// Between the lines across: runs and milliseconds are whole.
const WHOLE = Array.from({ length: 12 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();

/** Lines or bars over time. The figures are also in a table for those who do not see it. */
export default function Chart({
  label,
  at_s,
  lines,
  format,
}: {
  label: string;
  at_s: number[];
  lines: Line[];
  format: (value: number) => string;
}) {
  const place = useRef<HTMLDivElement>(null);
  const [theme] = useTheme();
  useEffect(() => {
    const host = place.current!;
    const css = getComputedStyle(document.documentElement);
    const colour = (name: string) => css.getPropertyValue(name).trim();
    const axis = {
      stroke: colour("--muted"),
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { stroke: colour("--line"), width: 1 },
      font: "11px Inter, system-ui, sans-serif",
    };
    const plot = new uPlot(
      {
        width: Math.max(host.clientWidth, 100),
        height: HEIGHT,
        cursor: { y: false },
        legend: { show: false },
        scales: { y: { range: (_, __, most) => [0, Math.max(most * 1.1, 1)] } },
        axes: [
          { ...axis, space: 76, values: HOURS }, // a date is wider than a time, and two may be neighbours
          { ...axis, size: 64, incrs: WHOLE, values: (_, values) => values.map(format) },
        ],
        series: [
          {},
          ...lines.map((line) => ({
            label: line.title,
            stroke: colour(line.color),
            width: line.bars ? 0 : 2,
            fill: line.bars ? colour(line.color) : undefined,
            paths: line.bars ? uPlot.paths.bars!({ size: [0.7, 40] }) : undefined,
            // A value without neighbours has no line.
            points: { show: !line.bars, size: 5, fill: colour(line.color) },
          })),
        ],
      },
      [at_s, ...lines.map((line) => line.values)],
      host,
    );
    const watcher = new ResizeObserver(() => plot.setSize({ width: Math.max(host.clientWidth, 100), height: HEIGHT }));
    watcher.observe(host);
    return () => {
      watcher.disconnect();
      plot.destroy();
    };
  }, [at_s, lines, format, theme]);
  return (
    <figure>
      <div
        ref={place}
        role="img"
        aria-label={label}
        className="uplot-host min-w-0 overflow-hidden"
        style={{ minHeight: HEIGHT }}
      />
      <figcaption className="mt-1 flex flex-wrap gap-4 text-[12px] text-muted">
        {lines.map((line) => (
          <span key={line.title} className="inline-flex items-center gap-1.5">
            <span aria-hidden className="size-2.5 rounded-[3px]" style={{ background: `var(${line.color})` }} />
            {line.title}
          </span>
        ))}
      </figcaption>
    </figure>
  );
}
