import { useQuery } from "@tanstack/react-query";
import { runs } from "../api/calls";
import type { StepFacts } from "../api/types";
import { Badge, Card, Facts, Json, RunLink, Time, toneOf } from "../parts/basics";
import { Loaded } from "../parts/loading";
import { moment, plain } from "../parts/words";

/** One step: how far it is, and why it waits, ran, or did not. */
export default function StepPanel({
  run,
  step,
  facts,
  seq,
}: {
  run: string;
  step: string;
  facts: StepFacts | undefined;
  seq: number;
}) {
  const why = useQuery({ queryKey: ["run", run, "why", step, seq], queryFn: () => runs.why(run, step), retry: false });
  return (
    <Card title={`Step ${step}`} aside={facts && <Badge tone={toneOf(facts.state)}>{plain(facts.state)}</Badge>}>
      <div className="space-y-4">
        <Loaded query={why}>
          {(found) => (
            <div>
              <p className="break-words">{found.sentence}</p>
              {(found.waits_for ?? []).map((each) => (
                <p key={each.id} className="mt-1 text-muted">
                  {each.event} for {each.key}
                  {each.topics.length > 0 && <> in {each.topics.join(", ")}</>}
                  {each.where && (
                    <>
                      {" "}
                      where <code className="font-mono text-[12px] break-all">{each.where}</code>
                    </>
                  )}
                </p>
              ))}
              {found.until_ms && (
                <p className="mt-1 text-muted">
                  until {moment(found.until_ms)} (<Time ms={found.until_ms} />)
                </p>
              )}
              {(found.near_misses?.length ?? 0) > 0 && (
                <div className="mt-3 rounded-[8px] bg-warn-soft p-3">
                  <p className="font-medium text-warn">Came close</p>
                  <ul className="mt-1 space-y-1">
                    {found.near_misses!.map((miss) => (
                      <li key={miss.event_id}>
                        <span className="font-medium">{miss.event}</span> <Time ms={miss.at_ms} />: {miss.why}
                      </li>
                    ))}
                  </ul>
                </div>
              )}
            </div>
          )}
        </Loaded>
        {facts && (
          <Facts
            rows={(
              [
                ["Outcome", facts.outcome],
                ["Operation", facts.operation],
                ["Attempts", facts.attempts],
                ["Parked for", facts.parked_detail ? `${facts.parked} (${facts.parked_detail})` : facts.parked],
                ["For", facts.approval?.who.join(", ")],
                [
                  "Items",
                  facts.items && `${facts.items.done} of ${facts.items.total} done, ${facts.items.failed} failed`,
                ],
                [
                  "Child runs",
                  facts.children && (
                    <span className="flex flex-col">
                      {facts.children.map((child) => (
                        <RunLink key={child} run={child} />
                      ))}
                    </span>
                  ),
                ],
              ] as [string, React.ReactNode][]
            ).filter(([, value]) => value !== undefined && value !== null && value !== "")}
          />
        )}
        {facts?.error && <Json value={facts.error} label="latest error" />}
        {facts?.decision && <Json value={facts.decision} label="decision" />}
      </div>
    </Card>
  );
}
