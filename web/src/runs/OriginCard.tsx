import { useQuery } from "@tanstack/react-query";
import { runs } from "../api/calls";
import type { Origin } from "../api/types";
import { A, Badge, Card, Empty, Facts, Json, Time } from "../parts/basics";
import { Loaded } from "../parts/loading";

function Change({ found, change }: { found: Origin; change: Origin["changes"][number] }) {
  const conversation = found.conversation!;
  return (
    <li className="border-t border-line px-4 py-3 first:border-t-0">
      {change.messages.map((one) => (
        <blockquote key={one.at_ms} className="mb-2 rounded-[8px] bg-accent-soft p-2 break-words whitespace-pre-wrap">
          {one.question && <span className="block text-muted">{one.question.replaceAll("`", "")}</span>}
          {one.text} <span className="text-[12px] text-muted">– {one.by}</span>
        </blockquote>
      ))}
      <p className="text-muted">
        <A to={`/authoring/${conversation.conversation}`}>revision {change.revision}</A> by {change.by},{" "}
        <Time ms={change.at_ms} /> {change.model && <Badge tone="accent">{change.model}</Badge>}
      </p>
      {change.sentences.map((one, index) => (
        <p key={index} className="break-words">
          {one.replaceAll("`", "")}
        </p>
      ))}
      {change.operations.length > 0 && <Json value={change.operations} open={false} label="operations" />}
    </li>
  );
}

/** From the run back to the sentence: its content, the approval, and what was said and changed in the conversation. */
export default function OriginCard({ run }: { run: string }) {
  const query = useQuery({
    queryKey: ["run", run, "origin"],
    queryFn: () => runs.origin(run),
    staleTime: Infinity,
  });
  return (
    <Loaded query={query}>
      {(found) => (
        <div className="space-y-4">
          <Card title="What it runs by">
            <Facts
              rows={[
                [
                  "Version",
                  <A key="v" to={`/definitions/${found.definition}?version=${found.version}`}>
                    {found.definition}@{found.version}
                  </A>,
                ],
                [
                  "sha256",
                  <span key="s" className="font-mono text-[12px] break-all">
                    {found.sha}
                  </span>,
                ],
                ["Published", <Time key="p" ms={found.published_ms} />],
                ...(found.approval
                  ? ([
                      ["Approved by", found.approval.by],
                      ["Written by", found.approval.authors.join(", ") || "not known"],
                      ["Approved", <Time key="a" ms={found.approval.at_ms} />],
                    ] as [string, React.ReactNode][])
                  : []),
              ]}
            />
          </Card>
          <Card title="How it was written" pad={false}>
            {found.conversation && (
              <p className="border-b border-line px-4 py-3">
                In the conversation{" "}
                <A to={`/authoring/${found.conversation.conversation}`}>{found.conversation.title}</A>, revision{" "}
                {found.conversation.revision}
              </p>
            )}
            <ol aria-label="How it was written">
              {found.changes.map((change) => (
                <Change key={change.revision} found={found} change={change} />
              ))}
            </ol>
            {found.ends && <Empty title="The chain ends here.">{found.ends}</Empty>}
          </Card>
        </div>
      )}
    </Loaded>
  );
}
