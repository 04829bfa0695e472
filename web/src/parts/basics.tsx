import type { ButtonHTMLAttributes, InputHTMLAttributes, ReactNode } from "react";
import { Link } from "react-router";
import { useNow } from "./now";
import { ago, moment, span } from "./words";

export function cx(...names: (string | false | null | undefined)[]): string {
  return names.filter(Boolean).join(" ");
}

export function PageHead({ title, sub, children }: { title: ReactNode; sub?: ReactNode; children?: ReactNode }) {
  return (
    <header className="mb-4 flex flex-wrap items-center gap-x-4 gap-y-2">
      <div className="min-w-0 grow">
        <h1 className="text-[18px] break-words">{title}</h1>
        {sub && <div className="mt-0.5 text-muted">{sub}</div>}
      </div>
      {children && <div className="flex flex-wrap items-center gap-2">{children}</div>}
    </header>
  );
}

export function Card({
  title,
  aside,
  children,
  className,
  pad = true,
}: {
  title?: ReactNode;
  aside?: ReactNode;
  children: ReactNode;
  className?: string;
  pad?: boolean;
}) {
  return (
    <section className={cx("rounded-[8px] border border-line bg-card shadow-xs", className)}>
      {title && (
        <div className="flex flex-wrap items-center gap-2 border-b border-line px-4 py-2.5">
          <h2 className="min-w-0 grow break-words">{title}</h2>
          {aside}
        </div>
      )}
      <div className={pad ? "p-4" : ""}>{children}</div>
    </section>
  );
}

const LOOKS = {
  primary: "bg-brand text-white hover:brightness-110 border-transparent",
  plain: "bg-card text-ink hover:bg-raised border-line",
  danger: "bg-card text-bad hover:bg-bad-soft border-line",
  ghost: "bg-transparent text-muted hover:bg-raised hover:text-ink border-transparent",
};

export function buttonLook(look: keyof typeof LOOKS = "plain"): string {
  return cx(
    "inline-flex h-9 items-center justify-center gap-1.5 rounded-[8px] border px-3 font-medium whitespace-nowrap",
    "disabled:opacity-50",
    LOOKS[look],
  );
}

export function Button({
  look = "plain",
  className,
  ...rest
}: ButtonHTMLAttributes<HTMLButtonElement> & { look?: keyof typeof LOOKS }) {
  return <button type="button" {...rest} className={cx(buttonLook(look), className)} />;
}

export const inputLook =
  "h-9 rounded-[8px] border border-line bg-card px-3 text-ink placeholder:text-muted disabled:opacity-60 min-w-0";

export function Input({ className, ...rest }: InputHTMLAttributes<HTMLInputElement>) {
  return <input {...rest} className={cx(inputLook, className)} />;
}

export type Tone = "good" | "bad" | "warn" | "accent" | "idle";

const TONES: Record<Tone, string> = {
  good: "bg-good-soft text-good",
  bad: "bg-bad-soft text-bad",
  warn: "bg-warn-soft text-warn",
  accent: "bg-accent-soft text-accent",
  idle: "bg-idle-soft text-ink",
};

const DOTS: Record<Tone, string> = {
  good: "bg-[var(--fill-good)]",
  bad: "bg-[var(--fill-bad)]",
  warn: "bg-[var(--fill-warn)]",
  accent: "bg-[var(--fill-accent)]",
  idle: "bg-[var(--fill-idle)]",
};

export function Badge({ tone = "idle", children }: { tone?: Tone; children: ReactNode }) {
  return (
    <span
      className={cx(
        "inline-flex items-center gap-1.5 rounded-full px-2 py-0.5 text-[12px] font-medium whitespace-nowrap",
        TONES[tone],
      )}
    >
      <span aria-hidden className={cx("size-1.5 rounded-full", DOTS[tone])} />
      {children}
    </span>
  );
}

const STATUS: Record<string, Tone> = {
  completed: "good",
  done: "good",
  ok: "good",
  failed: "bad",
  silent: "bad",
  parked: "warn",
  degraded: "warn",
  draining: "warn",
  waiting: "accent",
  open: "accent",
  running: "accent",
  calling: "accent",
  retrying: "warn",
  awaiting_approval: "accent",
};

export const toneOf = (status: string): Tone => STATUS[status] ?? "idle";

export function Status({ run }: { run: { status: string; parked_step?: string | null; stopping?: string | null } }) {
  const status = run.status === "open" && run.parked_step ? "parked" : run.status;
  return <Badge tone={toneOf(status)}>{run.stopping ? `stopping (${run.stopping})` : status}</Badge>;
}

export function Time({ ms }: { ms: number | null | undefined }) {
  const now = useNow();
  if (ms === null || ms === undefined) return <span className="text-muted">–</span>;
  return (
    <time dateTime={new Date(ms).toISOString()} title={moment(ms, true)} className="whitespace-nowrap">
      {ago(ms, now)}
    </time>
  );
}

export function Lasted({ run }: { run: { duration_ms: number | null; started_ms: number } }) {
  const now = useNow();
  return (
    <span className="whitespace-nowrap tabular-nums">{span(run.duration_ms ?? Math.max(0, now - run.started_ms))}</span>
  );
}

export function RunLink({ run, children }: { run: string; children?: ReactNode }) {
  return (
    <Link
      to={`/runs/${encodeURIComponent(run)}`}
      className="inline-block font-mono text-[13px] leading-[24px] whitespace-nowrap text-accent underline-offset-2 hover:underline"
    >
      {children ?? run}
    </Link>
  );
}

export function A({ to, children, className }: { to: string; children: ReactNode; className?: string }) {
  return (
    <Link to={to} className={cx("text-accent underline-offset-2 hover:underline", className)}>
      {children}
    </Link>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="px-4 py-10 text-center">
      <p className="font-medium">{title}</p>
      {children && <div className="mt-1 text-muted">{children}</div>}
    </div>
  );
}

export function Facts({ rows }: { rows: [string, ReactNode][] }) {
  return (
    <dl className="grid grid-cols-[max-content_1fr] gap-x-4 gap-y-1.5">
      {rows.map(([name, value]) => (
        <div key={name} className="contents">
          <dt className="text-muted">{name}</dt>
          <dd className="min-w-0 break-words">{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** A value as JSON; a large one is folded. */
export function Json({ value, open = true, label = "value" }: { value: unknown; open?: boolean; label?: string }) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  const pre = (
    <pre
      tabIndex={0}
      aria-label={label}
      className="max-h-80 overflow-auto rounded-[8px] bg-raised p-3 font-mono text-[12px] leading-5 whitespace-pre-wrap break-words"
    >
      {text ?? "nothing"}
    </pre>
  );
  if (open && (text?.length ?? 0) < 4_000) return pre;
  return (
    <details>
      <summary className="cursor-pointer text-muted">{text?.length ?? 0} characters</summary>
      {pre}
    </details>
  );
}
