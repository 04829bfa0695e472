import { useMutation } from "@tanstack/react-query";
import { Ban, CircleX, GitCompare, RotateCcw, RotateCw, SkipForward } from "lucide-react";
import { useState } from "react";
import { useNavigate } from "react-router";
import { runs } from "../api/calls";
import type { Run } from "../api/types";
import { Button, Input } from "../parts/basics";
import { Trouble } from "../parts/loading";
import { Dialog } from "../parts/overlays";
import { useMay } from "../shell/me";

type Action = "cancel" | "retry" | "skip" | "fail" | "restart";

const TEXTS: Record<Action, { title: string; text: string }> = {
  retry: { title: "Retry the step", text: "The parked step begins again." },
  skip: { title: "Skip the step", text: "The run goes on as if the step had been skipped." },
  fail: { title: "Fail the run", text: "The run ends as failed; what is to be undone is undone first." },
  cancel: { title: "Cancel the run", text: "The run ends; what is to be undone is undone first." },
  restart: { title: "Start it again", text: "Another run starts with the same input, as the newest version." },
};

/** What may be done with a run now. */
export default function RunActions({
  run,
  parked,
  ended,
  onDone,
}: {
  run: Run;
  parked: string | null;
  ended: boolean;
  onDone: () => void;
}) {
  const [action, setAction] = useState<Action | null>(null);
  const [isComparing, setComparing] = useState(false);
  const [text, setText] = useState("");
  const navigate = useNavigate();
  const mayOperate = useMay("runs:operate", run.definition);
  const act = useMutation({
    mutationFn: async (chosen: Action): Promise<string> => {
      if (chosen === "restart") return (await runs.restart(run.run, { reason: text })).run;
      const isOfStep = chosen === "retry" || chosen === "skip";
      await runs.heard(await runs.act(run.run, chosen, isOfStep ? { step: parked! } : { reason: text }));
      return run.run;
    },
    onSuccess: (shown) => {
      setAction(null);
      setText("");
      if (shown !== run.run) void navigate(`/runs/${encodeURIComponent(shown)}`);
      onDone();
    },
  });
  const isParked = !ended && parked !== null;
  const begin = (chosen: Action) => {
    act.reset();
    setAction(chosen);
  };
  return (
    <>
      {mayOperate && isParked && (
        <>
          <Button look="primary" onClick={() => begin("retry")}>
            <RotateCw size={15} aria-hidden /> Retry
          </Button>
          <Button onClick={() => begin("skip")}>
            <SkipForward size={15} aria-hidden /> Skip
          </Button>
          <Button look="danger" onClick={() => begin("fail")}>
            <CircleX size={15} aria-hidden /> Fail
          </Button>
        </>
      )}
      {mayOperate && !ended && (
        <Button look="danger" onClick={() => begin("cancel")}>
          <Ban size={15} aria-hidden /> Cancel run
        </Button>
      )}
      {mayOperate && run.status !== "completed" && (
        <Button onClick={() => begin("restart")}>
          <RotateCcw size={15} aria-hidden /> Start again
        </Button>
      )}
      <Button
        onClick={() => {
          setText("");
          setComparing(true);
        }}
      >
        <GitCompare size={15} aria-hidden /> Compare
      </Button>
      {action && (
        <Dialog open onClose={() => setAction(null)} title={TEXTS[action].title}>
          <p>{TEXTS[action].text}</p>
          <form
            onSubmit={(event) => {
              event.preventDefault();
              act.mutate(action);
            }}
          >
            {action !== "retry" && action !== "skip" && (
              <label className="mt-3 block">
                Reason
                <Input className="mt-1 w-full" value={text} onChange={(event) => setText(event.target.value)} />
              </label>
            )}
            {act.isError && <Trouble error={act.error} />}
            <div className="mt-4 flex justify-end gap-2">
              <Button onClick={() => setAction(null)}>Back</Button>
              <Button type="submit" look="primary" disabled={act.isPending}>
                {TEXTS[action].title}
              </Button>
            </div>
          </form>
        </Dialog>
      )}
      {isComparing && (
        <Dialog open onClose={() => setComparing(false)} title="Compare with another run">
          <form
            onSubmit={(event) => {
              event.preventDefault();
              void navigate(`/runs/${encodeURIComponent(run.run)}/compare/${encodeURIComponent(text.trim())}`);
            }}
          >
            <label className="block">
              Its id
              <Input
                required
                className="mt-1 w-full font-mono"
                value={text}
                onChange={(event) => setText(event.target.value)}
              />
            </label>
            <div className="mt-4 flex justify-end gap-2">
              <Button onClick={() => setComparing(false)}>Back</Button>
              <Button type="submit" look="primary">
                Compare
              </Button>
            </div>
          </form>
        </Dialog>
      )}
    </>
  );
}
