import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import { jobs, type JobAction, type RunFilter } from "../api/calls";
import { useLive } from "../api/useLive";
import { Button, buttonLook, Input, inputLook, RunLink } from "../parts/basics";
import { Loaded, Trouble } from "../parts/loading";
import { Dialog } from "../parts/overlays";
import { number } from "../parts/words";
import { titleOf } from "./filter";

const JOB_MS = 1_000;

/** One action on every run of the filter, as a job that goes on when the page is closed. */
export default function BulkDialog({ filter, onClose }: { filter: RunFilter; onClose: () => void }) {
  const [action, setAction] = useState<JobAction>("retry");
  const [reason, setReason] = useState("");
  const preview = useQuery({
    queryKey: ["jobs", "preview", action, filter],
    queryFn: () => jobs.preview(action, filter),
  });
  const start = useMutation({ mutationFn: () => jobs.start(action, filter, reason) });
  const id = start.data?.id;
  const pause = useLive("jobs", ["jobs", id], { enabled: id !== undefined, oftenMs: JOB_MS });
  const job = useQuery({
    queryKey: ["jobs", id],
    queryFn: () => jobs.get(id!),
    enabled: id !== undefined,
    refetchInterval: (query) => (query.state.data?.state === "done" ? false : pause && JOB_MS),
  });
  const conditions =
    Object.entries(filter)
      .map(([name, value]) => `${titleOf(name)} ${value}`)
      .join(", ") || "every run";
  return (
    <Dialog open onClose={onClose} title="Act on all runs of this list">
      <p className="mb-3 text-muted">{conditions}</p>
      {job.data ? (
        <div role="status">
          <progress aria-label="Runs done" className="w-full" value={job.data.done} max={Math.max(1, job.data.total)} />
          <p>
            {number(job.data.done)} of {number(job.data.total)} done, {number(job.data.failed)} refused.
          </p>
          <div className="mt-4 flex justify-end gap-2">
            <Link to={`/jobs?job=${encodeURIComponent(job.data.id)}`} className={buttonLook()}>
              Result of each run
            </Link>
            <Button onClick={onClose}>Close</Button>
          </div>
        </div>
      ) : (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            start.mutate();
          }}
          className="space-y-3"
        >
          <label className="block">
            Action
            <select
              className={`${inputLook} mt-1 w-full`}
              value={action}
              onChange={(event) => setAction(event.target.value as JobAction)}
            >
              <option value="retry">Retry the parked step</option>
              <option value="skip">Skip the parked step</option>
              <option value="fail">Fail the parked runs</option>
              <option value="cancel">Cancel</option>
            </select>
          </label>
          <label className="block">
            Reason
            <Input
              className="mt-1 w-full"
              required
              value={reason}
              onChange={(event) => setReason(event.target.value)}
            />
          </label>
          <div className="rounded-[8px] bg-raised p-3">
            <Loaded query={preview}>
              {(found) => (
                <>
                  <p className="font-medium">
                    {number(found.count.n)}
                    {found.count.capped ? "+" : ""} runs
                  </p>
                  <ul className="mt-1">
                    {found.sample.slice(0, 3).map((run) => (
                      <li key={run}>
                        <RunLink run={run} />
                      </li>
                    ))}
                  </ul>
                </>
              )}
            </Loaded>
          </div>
          {start.isError && <Trouble error={start.error} />}
          <div className="flex justify-end gap-2">
            <Button onClick={onClose}>Cancel</Button>
            <Button type="submit" look="primary" disabled={start.isPending || !preview.data?.count.n}>
              Start
            </Button>
          </div>
        </form>
      )}
    </Dialog>
  );
}
