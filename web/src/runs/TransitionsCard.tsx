import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "react";
import { runs } from "../api/calls";
import type { Transition } from "../api/types";
import { Badge, Button, Card, Empty, inputLook, Json, type Tone } from "../parts/basics";
import { Trouble } from "../parts/loading";
import { Dialog } from "../parts/overlays";
import { moment, plain, short } from "../parts/words";
import { gist, goOn } from "./merge";

const ROW = 40;

const toneOf = (type: string): Tone =>
  /Failed|Cancelled/.test(type)
    ? "bad"
    : /Parked|TimedOut|Expired|Stopping/.test(type)
      ? "warn"
      : /Completed|Succeeded|Satisfied|Given|Met/.test(type)
        ? "good"
        : "idle";

/** The transitions of a run, newest first; older ones are read as one scrolls. */
export default function TransitionsCard({
  run,
  newest,
  onSeq,
}: {
  run: string;
  newest: Transition[];
  onSeq: (seq: number) => void;
}) {
  const [older, setOlder] = useState<Transition[]>([]);
  const [error, setError] = useState<unknown>(null);
  const [kind, setKind] = useState("");
  const [shown, setShown] = useState<Transition | null>(null);
  const reading = useRef(false);
  const place = useRef<HTMLDivElement>(null);
  const all = useMemo(() => goOn(older, newest), [older, newest]);
  const rows = useMemo(
    () => all.filter((one) => !kind || (kind === "failed" ? /Failed|Parked/.test(one.type) : one.step === kind)),
    [all, kind],
  );
  const steps = useMemo(() => [...new Set(all.map((one) => one.step).filter(Boolean))] as string[], [all]);
  const oldest = all.at(-1)?.seq ?? 1;
  const hasMore = oldest > 1;
  const list = useVirtualizer({
    count: rows.length,
    getScrollElement: () => place.current,
    estimateSize: () => ROW,
    overscan: 12,
  });
  const items = list.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;
  useEffect(() => {
    if (!hasMore || reading.current || error !== null || last < rows.length - 20) return;
    reading.current = true;
    runs.transitions(run, oldest).then(
      (page) => {
        setOlder((before) => goOn(goOn(before, newest), page.rows));
        reading.current = false;
      },
      (found: unknown) => {
        setError(found);
        reading.current = false;
      },
    );
  }, [run, hasMore, error, last, rows.length, oldest, newest]);
  return (
    <Card
      title="Transitions"
      pad={false}
      aside={
        <select aria-label="Show" className={inputLook} value={kind} onChange={(event) => setKind(event.target.value)}>
          <option value="">all</option>
          <option value="failed">failures</option>
          {steps.map((step) => (
            <option key={step} value={step}>
              step {step}
            </option>
          ))}
        </select>
      }
    >
      {error !== null && <Trouble error={error} again={() => setError(null)} />}
      {rows.length === 0 && <Empty title="There is none of this kind." />}
      <div
        ref={place}
        tabIndex={0}
        role="region"
        aria-label="Transitions, newest first"
        className="max-h-[560px] overflow-y-auto"
      >
        <ul style={{ height: list.getTotalSize() }} className="relative">
          {items.map((item) => {
            const one = rows[item.index]!;
            return (
              <li
                key={one.seq}
                style={{ transform: `translateY(${item.start}px)`, height: ROW }}
                className="absolute inset-x-0 top-0 border-b border-line"
              >
                <button
                  type="button"
                  onClick={() => setShown(one)}
                  className="flex size-full items-center gap-3 px-4 text-left hover:bg-raised"
                >
                  <span className="w-9 shrink-0 text-right text-[12px] text-muted tabular-nums">{one.seq}</span>
                  <span className="hidden shrink-0 text-[12px] text-muted tabular-nums sm:block">
                    {moment(one.at_ms, true).slice(11)}
                  </span>
                  <Badge tone={toneOf(one.type)}>{plain(one.type)}</Badge>
                  <span className="min-w-0 grow truncate">
                    {one.step && (
                      <span className="font-medium">
                        {one.step}
                        {one.attempt ? ` #${one.attempt}` : ""}{" "}
                      </span>
                    )}
                    <span className="text-muted">{short(gist(one), 160)}</span>
                  </span>
                </button>
              </li>
            );
          })}
        </ul>
      </div>
      {shown && (
        <Dialog
          open
          onClose={() => setShown(null)}
          title={`${shown.seq}. ${plain(shown.type)}${shown.step ? ` of ${shown.step}` : ""}`}
          wide
        >
          <p className="mb-2 text-muted">
            {moment(shown.at_ms, true)}, because of{" "}
            <span className="font-mono text-[12px] break-all">{shown.cause}</span>
          </p>
          <Json value={shown.data} label="fact" />
          <div className="mt-4 flex justify-end gap-2">
            <Button
              onClick={() => {
                onSeq(shown.seq);
                setShown(null);
              }}
            >
              Values at this moment
            </Button>
            <Button look="primary" onClick={() => setShown(null)}>
              Close
            </Button>
          </div>
        </Dialog>
      )}
    </Card>
  );
}
