import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { ChevronLeft, ChevronRight } from "lucide-react";
import { useEffect, useState } from "react";
import { runs } from "../api/calls";
import { Badge, Button, Card, Json, toneOf } from "../parts/basics";
import { Loaded } from "../parts/loading";
import { moment, plain } from "../parts/words";

/** The run as it was after any of its transitions. */
export default function ValuesCard({
  run,
  last,
  seq,
  onSeq,
}: {
  run: string;
  last: number;
  seq: number;
  onSeq: (seq: number) => void;
}) {
  const [asked, setAsked] = useState(seq);
  useEffect(() => {
    const timer = setTimeout(() => setAsked(seq), 120);
    return () => clearTimeout(timer);
  }, [seq]);
  const state = useQuery({
    queryKey: ["run", run, "state", asked],
    queryFn: () => runs.state(run, asked),
    placeholderData: keepPreviousData,
    staleTime: Infinity,
  });
  return (
    <Card title="Values">
      <div className="mb-4 flex items-center gap-2">
        <Button aria-label="One transition back" disabled={seq <= 1} onClick={() => onSeq(seq - 1)}>
          <ChevronLeft size={16} />
        </Button>
        <input
          type="range"
          aria-label="Transition"
          min={1}
          max={last}
          value={seq}
          onChange={(event) => onSeq(Number(event.target.value))}
          className="min-w-0 grow accent-[var(--fill-accent)]"
        />
        <Button aria-label="One transition on" disabled={seq >= last} onClick={() => onSeq(seq + 1)}>
          <ChevronRight size={16} />
        </Button>
      </div>
      <Loaded query={state}>
        {(found) => (
          <div className="space-y-4">
            <p role="status" className="text-muted">
              After transition {found.seq} of {last}, {moment(found.at_ms, true)}
            </p>
            <div className="flex flex-wrap gap-2">
              {found.steps.map((step) => (
                <Badge key={step.id} tone={toneOf(step.state)}>
                  {step.id}: {plain(step.state)}
                  {step.outcome ? ` (${step.outcome})` : ""}
                </Badge>
              ))}
            </div>
            <div>
              <h3 className="mb-1 font-medium">trigger</h3>
              <Json value={found.values.trigger} label="trigger" />
            </div>
            {Object.entries(found.values.steps).map(([step, value]) => (
              <div key={step}>
                <h3 className="mb-1 font-medium">steps.{step}</h3>
                <Json value={value} label={`steps.${step}`} />
              </div>
            ))}
          </div>
        )}
      </Loaded>
    </Card>
  );
}
