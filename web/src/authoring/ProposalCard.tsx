import { Check, X } from "lucide-react";
import { conversations } from "../api/calls";
import type { Conversation, Proposal } from "../api/types";
import { Button } from "../parts/basics";
import { useMay } from "../shell/me";
import type { Change } from "./useConversation";

/** An operation in a few words; what it changes is said by the sentences. */
function nameOf(operation: Proposal["operations"][number]): string {
  const step = operation.step as { id?: string } | string | undefined;
  const trigger = operation.trigger as { id?: string } | string | undefined;
  const about = [step, trigger].map((one) => (typeof one === "object" ? one.id : one)).find(Boolean);
  return [operation.op.replaceAll("_", " "), about, operation.field].filter(Boolean).join(" ");
}

/** What is proposed, to accept or reject together or one by one. */
export default function ProposalCard({
  proposal,
  talk,
  change,
  isBusy,
}: {
  proposal: Proposal;
  talk: Conversation;
  change: Change;
  isBusy: boolean;
}) {
  const mayEdit = useMay("authoring:edit");
  const id = talk.conversation;
  const accept = (operations?: number[]) =>
    change.mutate(() => conversations.accept(id, talk.revision, { proposal: proposal.proposal, operations }));
  const reject = (operations?: number[]) =>
    change.mutate(() => conversations.reject(id, { proposal: proposal.proposal, operations }));
  return (
    <section aria-label="Proposed changes" className="rounded-[8px] border border-[var(--fill-accent)]">
      <h3 className="border-b border-line px-3 py-2 font-medium">Proposed changes</h3>
      <ul className="list-disc space-y-1 py-2 pr-3 pl-7">
        {proposal.sentences.map((one, index) => (
          <li key={index} className="break-words">
            {one.replaceAll("`", "")}
          </li>
        ))}
      </ul>
      {proposal.problems.map((one, index) => (
        <p key={index} className="px-3 pb-2 break-words text-warn">
          {one.severity}: {one.message}
        </p>
      ))}
      <details className="border-t border-line" open={proposal.open.length < proposal.operations.length}>
        <summary className="cursor-pointer px-3 py-2 text-muted">
          {proposal.open.length} of {proposal.operations.length} operations wait, decide one by one
        </summary>
        <ol className="px-3 pb-2">
          {proposal.open.map((at) => {
            const operation = proposal.operations[at]!;
            const name = nameOf(operation);
            return (
              <li key={at} className="flex items-center gap-2 py-1">
                <span className="min-w-0 grow break-words" title={JSON.stringify(operation)}>
                  {name}
                </span>
                <Button disabled={!mayEdit || isBusy} aria-label={`Accept: ${name}`} onClick={() => accept([at])}>
                  <Check size={15} aria-hidden />
                </Button>
                <Button disabled={!mayEdit || isBusy} aria-label={`Reject: ${name}`} onClick={() => reject([at])}>
                  <X size={15} aria-hidden />
                </Button>
              </li>
            );
          })}
        </ol>
      </details>
      {mayEdit && (
        <div className="flex flex-wrap gap-2 border-t border-line p-3">
          <Button look="primary" disabled={isBusy} onClick={() => accept()}>
            <Check size={15} aria-hidden /> Accept
          </Button>
          <Button disabled={isBusy} onClick={() => reject()}>
            <X size={15} aria-hidden /> Reject
          </Button>
        </div>
      )}
    </section>
  );
}
