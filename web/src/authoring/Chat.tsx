import { ArrowDown, CircleStop, MessageSquare, SendHorizontal } from "lucide-react";
import { memo, useCallback, useEffect, useRef, useState } from "react";
import { conversations } from "../api/calls";
import type { Conversation, Mode } from "../api/types";
import { Badge, Button, Card, cx, inputLook, Time } from "../parts/basics";
import { useKept } from "../parts/kept";
import { number } from "../parts/words";
import { useMay } from "../shell/me";
import ProposalCard from "./ProposalCard";
import { rehearsal, RULES, spentOf, type Answered, type Item } from "./talk";
import UnderstoodCard from "./UnderstoodCard";
import type { Change } from "./useConversation";

const GAP = 12; // pixels above the statements
const MOST = 200; // items of the talk that are shown at first
const FAR = 80; // pixels above what is newest, from which on somebody reads there

const MODES: [Mode, string, string][] = [
  ["ask", "Ask", "explains, changes nothing"],
  ["plan", "Plan", "says what it understood, and waits for a yes"],
  ["edit", "Edit", "proposes changes"],
];

const CAUSES: Record<string, string> = {
  cancelled: "This was cancelled.",
  interrupted: "The process that answered has ended. Send the message again.",
  unrepaired: "What the assistant wanted to change still had problems after three corrections.",
  limit: "The turn took all that it may.",
};

/** Who answers: it is never left open whether that is a model. */
function Author({ model }: { model: string }) {
  const isRules = model === RULES;
  return <Badge tone={isRules ? "idle" : "accent"}>{isRules ? "rules, not a language model" : model}</Badge>;
}

function TurnItem({ item, isNow }: { item: Answered; isNow: boolean }) {
  const ended = item.ended && (item.ended.message || CAUSES[item.ended.cause]);
  return (
    <li className="mr-6 rounded-[8px] border border-line bg-raised p-3">
      <div className="mb-1 flex flex-wrap items-center gap-2">
        <Author model={item.model} />
        {item.calls > 0 && (
          <span className="text-[12px] text-muted">
            {item.calls} tool calls{item.refused > 0 && `, ${item.refused} refused`}
          </span>
        )}
        {item.tokens > 0 && (
          <span className="text-[12px] text-muted">
            {item.isEstimated && "about "}
            {number(item.tokens)} tokens
          </span>
        )}
      </div>
      <p className="break-words whitespace-pre-wrap">{item.text}</p>
      {!item.ended && <p className="mt-1 animate-pulse text-muted">The assistant is at work.</p>}
      {ended && <p className="mt-1 text-warn">{ended}</p>}
      {!isNow && item.statements.length > 0 && (
        <details className="mt-1">
          <summary className="cursor-pointer text-muted">{item.statements.length} statements</summary>
          <ol className="mt-1 space-y-1">
            {item.statements.map((one) => (
              <li key={one.number} className="break-words">
                {one.number}. {one.text.replaceAll("`", "")} <span className="text-muted">({one.origin})</span>
              </li>
            ))}
          </ol>
        </details>
      )}
    </li>
  );
}

const ItemOf = memo(function ItemOf({ item, isNow }: { item: Item; isNow: boolean }) {
  switch (item.kind) {
    case "message":
      return (
        <li className="ml-6 rounded-[8px] bg-accent-soft p-3">
          <span className="mb-1 block text-[12px] text-muted">
            {item.by} · <Time ms={item.at_ms} />
          </span>
          <span className="break-words whitespace-pre-wrap">{item.text}</span>
        </li>
      );
    case "turn":
      return <TurnItem item={item} isNow={isNow} />;
    case "change":
      return (
        <li className="border-l-2 border-[var(--fill-good)] py-1 pl-3 text-muted">
          <span className="text-[12px]">
            {item.by} · revision {item.seq} · <Time ms={item.at_ms} />
          </span>
          {item.sentences.map((one, index) => (
            <span key={index} className="block break-words">
              {one.replaceAll("`", "")}
            </span>
          ))}
        </li>
      );
    case "played": {
      const isFine = item.different.length === 0 && item.trouble === "";
      return (
        <li
          className={cx(
            "border-l-2 py-1 pl-3",
            isFine ? "border-[var(--fill-good)] text-muted" : "border-[var(--fill-warn)] text-warn",
          )}
        >
          <span className="break-words">{rehearsal(item)}</span>
        </li>
      );
    }
    case "comment":
      return (
        <li className="border-l-2 border-[var(--fill-warn)] py-1 pl-3">
          <span className="text-[12px] text-muted">
            {item.by} {item.address && `on ${item.address}`}
          </span>
          <span className="block break-words">{item.text}</span>
        </li>
      );
  }
});

function Composer({
  talk,
  change,
  isBusy,
  onSent,
}: {
  talk: Conversation;
  change: Change;
  isBusy: boolean;
  onSent: () => void;
}) {
  const id = talk.conversation;
  const [kept, setKept] = useKept<string>(`message/${id}`);
  const text = kept ?? "";
  const setText = (next: string) => setKept(next || null);
  const [mode, setMode] = useState<Mode>("edit");
  const [byRules, setByRules] = useState(false);
  const done = {
    onSuccess: () => {
      setText("");
      onSent();
    },
  };
  const send = () => {
    if (!text.trim() || isBusy) return;
    change.mutate(() => conversations.say(id, { text, mode, model: byRules ? RULES : null }), done);
  };
  const comment = () => change.mutate(() => conversations.comment(id, { text }), done);
  return (
    <form
      className="border-t border-line p-3"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <textarea
        aria-label="Message"
        rows={3}
        value={text}
        placeholder="When a payment above 500 euros comes, ask an analyst …"
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
          event.preventDefault();
          send();
        }}
        className={cx(inputLook, "h-auto w-full resize-y py-2")}
      />
      <div className="mt-2 flex flex-wrap items-center gap-x-3 gap-y-2">
        <fieldset className="flex rounded-[8px] border border-line p-0.5">
          <legend className="sr-only">Mode</legend>
          {MODES.map(([name, title, what]) => (
            <label
              key={name}
              title={what}
              className="cursor-pointer rounded-[6px] px-2.5 py-1 text-muted has-checked:bg-accent-soft has-checked:text-accent has-focus-visible:outline-2 has-focus-visible:outline-[var(--fill-accent)]"
            >
              <input
                type="radio"
                name="mode"
                className="sr-only"
                checked={mode === name}
                onChange={() => setMode(name)}
              />
              {title}
            </label>
          ))}
        </fieldset>
        <label className="flex min-h-6 items-center gap-1.5 text-muted">
          <input type="checkbox" checked={byRules} onChange={(event) => setByRules(event.target.checked)} />
          without a model
        </label>
        <span className="grow" />
        <Button
          title="Keeps the text as a comment; the assistant does not read it"
          disabled={!text.trim() || change.isPending}
          onClick={comment}
        >
          <MessageSquare size={15} aria-hidden /> Comment
        </Button>
        {talk.turn ? (
          <Button look="danger" onClick={() => change.mutate(() => conversations.cancel(id))}>
            <CircleStop size={15} aria-hidden /> Cancel
          </Button>
        ) : (
          <Button type="submit" look="primary" disabled={!text.trim() || isBusy}>
            <SendHorizontal size={15} aria-hidden /> Send
          </Button>
        )}
      </div>
    </form>
  );
}

/** The conversation: what was said, what was understood, what is asked and proposed, and the next message. */
export default function Chat({
  talk,
  items,
  isBehind,
  change,
  lit,
  onLight,
}: {
  talk: Conversation;
  items: Item[];
  isBehind: boolean; // more has happened than `talk` knows of
  change: Change;
  lit: ReadonlySet<string>;
  onLight: (boxes: string[]) => void;
}) {
  const mayEdit = useMay("authoring:edit");
  const list = useRef<HTMLDivElement>(null);
  const [most, setMost] = useState(MOST);
  const first = Math.max(0, items.length - most);
  const spent = spentOf(items);
  const isBusy = talk.turn !== null || change.isPending || isBehind;
  const last = items.findLast((one): one is Answered => one.kind === "turn");
  const { understood, proposal } = talk;
  const asked = items.find((one): one is Answered => one.kind === "turn" && one.turn === understood?.turn);
  const isPlan = !proposal && understood !== null && understood.turn === last?.turn && last.mode === "plan";
  const newest = `${items.length} ${last?.text.length ?? 0} ${proposal?.proposal ?? ""} ${understood?.turn ?? ""}`;
  const card = useRef<HTMLDivElement>(null);
  const place = useRef(0); // where this has scrolled to
  const [isReading, setReading] = useState(false); // further up: what others do must not take the place away
  const goToEnd = useCallback(() => {
    // The end of the talk, but never past the first of the statements that wait for an answer.
    const box = list.current;
    if (!box) return;
    box.scrollTo({ top: Math.min(box.scrollHeight, card.current ? card.current.offsetTop - GAP : Infinity) });
    place.current = box.scrollTop;
    setReading(false);
  }, []);
  useEffect(() => {
    if (!isReading) goToEnd();
    // Only when there is something new.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [newest, goToEnd]);
  return (
    <Card
      title="Chat"
      pad={false}
      aside={
        <>
          {spent.tokens > 0 && (
            <span className="text-[12px] text-muted">
              {spent.isEstimated && "about "}
              {number(spent.tokens)} tokens{spent.money !== null && `, cost ${spent.money.toFixed(4)}`}
            </span>
          )}
          {last && <Author model={last.model} />}
        </>
      }
    >
      <div
        ref={list}
        tabIndex={0}
        role="region"
        aria-label="Messages"
        onScroll={({ currentTarget: box }) => setReading(box.scrollTop < place.current - FAR)}
        className="relative max-h-[calc(100dvh-345px)] min-h-60 space-y-3 overflow-y-auto p-3"
      >
        {first > 0 && (
          <Button className="w-full" onClick={() => setMost(most + MOST)}>
            Show what was said before ({number(first)})
          </Button>
        )}
        <ol aria-live="polite" aria-label="What was said" className="space-y-3">
          {items.slice(first).map((item) => (
            <ItemOf key={item.seq} item={item} isNow={item.kind === "turn" && item.turn === understood?.turn} />
          ))}
        </ol>
        {items.length === 0 && (
          <p className="text-muted">
            {mayEdit
              ? "Say in plain English what should happen. Nothing changes before you accept it."
              : "Nothing was said yet. What others say appears here at once."}
          </p>
        )}
        {understood && (
          <div ref={card}>
            <UnderstoodCard
              found={understood}
              isPlan={isPlan}
              model={asked?.model ?? null}
              talk={talk}
              change={change}
              isBusy={isBusy}
              lit={lit}
              onLight={onLight}
            />
          </div>
        )}
        {proposal && <ProposalCard proposal={proposal} talk={talk} change={change} isBusy={isBusy} />}
      </div>
      {isReading && (
        <div className="border-t border-line p-2 text-center">
          <Button onClick={goToEnd}>
            <ArrowDown size={15} aria-hidden /> To what is newest
          </Button>
        </div>
      )}
      {mayEdit && !talk.damaged && <Composer talk={talk} change={change} isBusy={isBusy} onSent={goToEnd} />}
      {talk.damaged && <p className="p-3 text-bad">An entry of this conversation is missing: it can only be read.</p>}
    </Card>
  );
}
