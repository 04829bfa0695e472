// A time axis on which idle time is folded. Pure.

export interface Span {
  start_ms: number;
  end_ms: number;
}

export interface Fold extends Span {
  /** Where it stands, from 0 to 1. */
  at: number;
}

export interface Axis {
  place: (ms: number) => number;
  folds: Fold[];
}

const FOLDED = 0.035; // of the width, for every fold

/** An axis from `from` to `to`. Gaps in which nothing of `busy` happens are folded if they are longer than a fifth of
 * what is busy: each takes a small fixed part of the width. */
export function axisOf(from: number, to: number, busy: Span[]): Axis {
  const end = Math.max(to, from + 1);
  const merged: Span[] = [];
  for (const span of [...busy].sort((a, b) => a.start_ms - b.start_ms)) {
    const last = merged.at(-1);
    if (last && span.start_ms <= last.end_ms) last.end_ms = Math.max(last.end_ms, span.end_ms);
    else merged.push({ start_ms: Math.max(from, span.start_ms), end_ms: Math.min(end, span.end_ms) });
  }
  const work = merged.reduce((sum, span) => sum + span.end_ms - span.start_ms, 0);
  const gaps: Span[] = [];
  let at = from;
  for (const span of [...merged, { start_ms: end, end_ms: end }]) {
    const gap = span.start_ms - at;
    if (gap > Math.max(work / 5, (end - from) / 50)) gaps.push({ start_ms: at, end_ms: span.start_ms });
    at = Math.max(at, span.end_ms);
  }
  // Without work, or with too many gaps, a plain axis says more.
  const folded = work > 0 && gaps.length * FOLDED < 0.6 ? gaps : [];
  const real = end - from - folded.reduce((sum, gap) => sum + gap.end_ms - gap.start_ms, 0);
  const scale = (1 - folded.length * FOLDED) / Math.max(1, real);
  const place = (ms: number): number => {
    const clamped = Math.min(Math.max(ms, from), end);
    let x = 0;
    let before = from;
    for (const gap of folded) {
      if (clamped <= gap.start_ms) break;
      x += (gap.start_ms - before) * scale;
      if (clamped < gap.end_ms) return x + (FOLDED * (clamped - gap.start_ms)) / (gap.end_ms - gap.start_ms);
      x += FOLDED;
      before = gap.end_ms;
    }
    return x + (clamped - before) * scale;
  };
  return { place, folds: folded.map((gap) => ({ ...gap, at: place(gap.start_ms) })) };
}
