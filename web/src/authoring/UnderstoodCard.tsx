import { Check } from "lucide-react";
import { conversations } from "../api/calls";
import type { Conversation, Understood } from "../api/types";
import { Button } from "../parts/basics";
import { useMay } from "../shell/me";
import Statements from "./Statements";
import type { Change } from "./useConversation";

/** Numbered statements of what was understood, and the questions with their choices. */
export default function UnderstoodCard({
  found,
  isPlan,
  model,
  talk,
  change,
  isBusy,
  lit,
  onLight,
}: {
  found: Understood;
  isPlan: boolean; // it waits for a yes
  model: string | null; // who asked, and goes on
  talk: Conversation;
  change: Change;
  isBusy: boolean;
  lit: ReadonlySet<string>;
  onLight: (boxes: string[]) => void;
}) {
  const mayEdit = useMay("authoring:edit");
  const id = talk.conversation;
  return (
    <section aria-label="What was understood" className="rounded-[8px] border border-line">
      <h3 className="border-b border-line px-3 py-2 font-medium">What was understood</h3>
      <div className="p-1">
        <Statements statements={found.statements} label="Statements" lit={lit} onLight={onLight} />
      </div>
      {found.questions.map((question, at) => (
        <fieldset key={question.text} className="border-t border-line p-3">
          <legend className="float-left mb-2 w-full font-medium break-words">
            {question.text.replaceAll("`", "")}
          </legend>
          <div className="clear-both flex flex-wrap gap-2">
            {question.choices.map((choice, index) => (
              <button
                key={choice.text}
                type="button"
                disabled={!mayEdit || isBusy}
                onClick={() =>
                  change.mutate(() =>
                    conversations.say(id, { answer: { question: at, choice: index }, mode: "edit", model }),
                  )
                }
                className="min-h-9 rounded-[8px] border border-line bg-card px-3 py-1.5 text-left break-words hover:bg-raised disabled:opacity-50"
              >
                {choice.text.replaceAll("`", "")}
              </button>
            ))}
          </div>
        </fieldset>
      ))}
      {isPlan && mayEdit && (
        <div className="border-t border-line p-3">
          <Button
            look="primary"
            disabled={isBusy}
            onClick={() => change.mutate(() => conversations.accept(id, talk.revision, { model }))}
          >
            <Check size={15} aria-hidden /> Yes, go on
          </Button>
        </div>
      )}
    </section>
  );
}
