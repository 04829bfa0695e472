import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Check, Clock, X } from "lucide-react";
import { useMemo, useState } from "react";
import { useSearchParams } from "react-router";
import { approvals, runs } from "../api/calls";
import type { Approval } from "../api/types";
import { useLive } from "../api/useLive";
import { A, Badge, Button, Card, Empty, Input, inputLook, PageHead, Time } from "../parts/basics";
import { Loaded, Trouble } from "../parts/loading";
import { useMost } from "../parts/More";
import { useNow } from "../parts/now";
import { moment, number } from "../parts/words";
import { useMay, useMe } from "../shell/me";
import JsonForm from "./JsonForm";
import { draftOf, filled } from "./schema";

const SOON_MS = 3_600_000;

function Deadline({ ms }: { ms: number | null }) {
  const now = useNow();
  if (ms === null) return <Badge>no deadline</Badge>;
  return (
    <Badge tone={ms - now < SOON_MS ? "bad" : "idle"}>
      <Clock size={12} aria-hidden />
      <span title={moment(ms)}>
        {ms < now ? "ended" : "ends"} <Time ms={ms} />
      </span>
    </Badge>
  );
}

function Item({ item, onDone }: { item: Approval; onDone: (words: string) => void }) {
  const me = useMe().data;
  const isLocal = me?.id === null; // no user is known: who decides must be said
  const mayDecide = useMay("approvals:decide", item.definition);
  const client = useQueryClient();
  const [draft, setDraft] = useState(() => draftOf(item.form));
  const [faults, setFaults] = useState<Record<string, string>>({});
  const [by, setBy] = useState("");
  const decide = useMutation({
    mutationFn: ({ decision, data }: { decision: "approved" | "rejected"; data: unknown }) =>
      runs.decide(item.run, item.step, { decision, ...(isLocal && { by, groups: item.who }), data }),
    onSuccess: (_, { decision }) => {
      onDone(`${decision === "approved" ? "Approved" : "Rejected"}: ${item.text}`);
      return client.invalidateQueries({ queryKey: ["approvals"] });
    },
  });
  const give = (decision: "approved" | "rejected") => {
    const found = filled(item.form, draft);
    setFaults(found.faults);
    if (Object.keys(found.faults).length > 0) return;
    decide.mutate({ decision, data: item.form ? found.data : undefined });
  };
  return (
    <Card>
      <div className="flex flex-wrap items-start gap-x-4 gap-y-2">
        <h2 className="min-w-0 grow break-words">{item.text}</h2>
        <Deadline ms={item.due_ms} />
      </div>
      <p className="mt-1 [overflow-wrap:anywhere] text-muted">
        {item.definition}, step {item.step} of{" "}
        <A className="underline" to={`/runs/${encodeURIComponent(item.run)}?step=${encodeURIComponent(item.step)}`}>
          {item.key}
        </A>
        , asked <Time ms={item.asked_ms} />, for {item.who.join(", ")}
      </p>
      <form
        aria-label={`Decide ${item.step} of ${item.key}`}
        className="mt-4 max-w-xl space-y-3"
        onSubmit={(event) => {
          event.preventDefault();
          give("approved");
        }}
      >
        <JsonForm form={item.form} draft={draft} faults={faults} onChange={setDraft} />
        {isLocal && (
          <label className="block font-medium">
            Who decides
            <Input
              required
              className="mt-1 w-full font-normal"
              value={by}
              onChange={(event) => setBy(event.target.value)}
            />
          </label>
        )}
        {!mayDecide && (
          <p className="text-muted">You may read this, and not decide it: that takes the right approvals:decide.</p>
        )}
        {decide.isError && <Trouble error={decide.error} />}
        <div className="flex flex-wrap gap-2">
          <Button type="submit" look="primary" disabled={!mayDecide || decide.isPending}>
            <Check size={16} aria-hidden /> Approve
          </Button>
          <Button
            look="danger"
            disabled={!mayDecide || decide.isPending || (isLocal && !by)}
            onClick={() => give("rejected")}
          >
            <X size={16} aria-hidden /> Reject
          </Button>
        </div>
      </form>
    </Card>
  );
}

const MOST = 20; // forms at first
const WHICH = { all: "Everything", mine: "For me" };

export default function InboxPage() {
  const me = useMe().data;
  const [search, setSearch] = useSearchParams();
  const [said, setSaid] = useState("");
  const isMine = search.get("for") === "me";
  const pause = useLive("approvals", null);
  const query = useQuery({ queryKey: ["approvals"], queryFn: approvals.list, refetchInterval: pause });
  const own = useMemo(() => new Set(me && [me.name, ...me.groups]), [me]);
  const items = useMemo(
    () =>
      (query.data ?? [])
        .filter((item) => !isMine || item.who.some((one) => own.has(one)))
        .sort((a, b) => (a.due_ms ?? Infinity) - (b.due_ms ?? Infinity)),
    [query.data, isMine, own],
  );
  const { shown, more } = useMost(items, MOST);
  return (
    <>
      <PageHead title="Inbox" sub="What waits for a person's decision, the nearest deadline first.">
        {me?.id && (
          <select
            aria-label="Whose"
            className={inputLook}
            value={isMine ? "mine" : "all"}
            onChange={(event) => setSearch(event.target.value === "mine" ? { for: "me" } : {}, { replace: true })}
          >
            {Object.entries(WHICH).map(([value, title]) => (
              <option key={value} value={value}>
                {title}
              </option>
            ))}
          </select>
        )}
      </PageHead>
      <p role="status" className={said ? "mb-4 rounded-[8px] bg-good-soft p-3 break-words text-good" : "sr-only"}>
        {said}
      </p>
      <Loaded query={query}>
        {(page) =>
          items.length === 0 ? (
            <Card>
              <Empty title={page.length > 0 ? "Nothing waits for you." : "Nothing waits for a decision."}>
                {page.length > 0 ? (
                  <>
                    <p>{number(page.length)} wait for others.</p>
                    <Button className="mt-3" onClick={() => setSearch({}, { replace: true })}>
                      Show everything
                    </Button>
                  </>
                ) : (
                  <p>
                    What a run asks for appears here at once.
                    {me?.id && (
                      <>
                        {" "}
                        <A to="/keys" className="underline">
                          Have yourself notified
                        </A>
                      </>
                    )}
                  </p>
                )}
              </Empty>
            </Card>
          ) : (
            <div className="space-y-4">
              {shown.map((item) => (
                <Item key={`${item.run}/${item.step}`} item={item} onDone={setSaid} />
              ))}
              {more && <Card pad={false}>{more}</Card>}
            </div>
          )
        }
      </Loaded>
    </>
  );
}
