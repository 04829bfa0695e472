import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useSearchParams } from "react-router";
import { runs, trouble } from "../api/calls";
import type { TroubleRow } from "../api/types";
import { useLive } from "../api/useLive";
import { A, Badge, Button, Card, cx, Empty, Input, Json, PageHead, RunLink, Time } from "../parts/basics";
import { Loaded, Trouble } from "../parts/loading";
import { Dialog } from "../parts/overlays";
import { Table } from "../parts/Table";
import { number, plain } from "../parts/words";
import { useMay } from "../shell/me";

function Actions({ row, onDrop }: { row: TroubleRow; onDrop: () => void }) {
  const client = useQueryClient();
  const mayOperate = useMay("runs:operate", row.definition || undefined);
  const mayReplay = useMay("dead-letters:settle", row.definition || undefined);
  const act = useMutation({
    mutationFn: async (action: "retry" | "skip" | "replay"): Promise<unknown> =>
      action === "replay"
        ? trouble.replay(row.id, {})
        : runs.heard(await runs.act(row.run, action, { step: row.step })),
    onSuccess: () => client.invalidateQueries({ queryKey: ["trouble"] }),
  });
  const [isSkipping, setSkipping] = useState(false);
  if (act.isError) return <Trouble error={act.error} again={() => act.reset()} />;
  if (act.isSuccess) return <Badge tone="good">done</Badge>;
  return (
    <span className="flex flex-wrap gap-2">
      {row.kind === "parked" && mayOperate && (
        <>
          <Button onClick={() => act.mutate("retry")}>Retry</Button>
          <Button onClick={() => setSkipping(true)}>Skip</Button>
        </>
      )}
      {row.kind === "dead_letter" && mayReplay && (
        <>
          <Button onClick={() => act.mutate("replay")}>Replay</Button>
          <Button look="danger" onClick={onDrop}>
            Drop
          </Button>
        </>
      )}
      {row.event_id && (
        <A to={`/trouble?event=${encodeURIComponent(row.event_id)}`} className="self-center">
          What became of it
        </A>
      )}
      {isSkipping && (
        <Dialog open onClose={() => setSkipping(false)} title="Skip the step">
          <p className="[overflow-wrap:anywhere]">
            The run {row.key} goes on as if the step {row.step} had been skipped.
          </p>
          <div className="mt-4 flex justify-end gap-2">
            <Button onClick={() => setSkipping(false)}>Back</Button>
            <Button look="primary" disabled={act.isPending} onClick={() => act.mutate("skip")}>
              Skip the step
            </Button>
          </div>
        </Dialog>
      )}
    </span>
  );
}

function Fate({ id }: { id: string }) {
  const query = useQuery({ queryKey: ["fate", id], queryFn: () => trouble.fate(id) });
  return (
    <Card title={<span className="break-all">What became of the event {id}</span>} className="mb-4">
      <Loaded query={query}>
        {(found) =>
          found.rows.length === 0 ? (
            <Empty title="No event with this id is known.">It may be older than the history.</Empty>
          ) : (
            <ul className="space-y-2">
              {found.rows.map((row) => (
                <li
                  key={`${row.place}/${row.definition}/${row.run}/${row.step}`}
                  className="flex flex-wrap items-center gap-x-3"
                >
                  <Badge tone={/started|taken|copied|emitted/.test(row.outcome) ? "good" : "warn"}>
                    {plain(row.outcome)}
                  </Badge>
                  <span>
                    {row.event || "event"} to {row.definition || "no definition"}
                    {row.step && `, step ${row.step}`}, key {row.key || "none"}
                    {row.reason && `: ${plain(row.reason)}`}
                  </span>{" "}
                  <Time ms={row.at_ms} /> {row.run && <RunLink run={row.run} />}
                </li>
              ))}
            </ul>
          )
        }
      </Loaded>
    </Card>
  );
}

/** A dead letter is given up with a reason, after a look at its record. */
function DropDialog({ row, onClose }: { row: TroubleRow; onClose: () => void }) {
  const client = useQueryClient();
  const [reason, setReason] = useState("");
  const letter = useQuery({ queryKey: ["letter", row.id], queryFn: () => trouble.letter(row.id) });
  const drop = useMutation({
    mutationFn: () => trouble.drop(row.id, { reason }),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: ["trouble"] });
      onClose();
    },
  });
  return (
    <Dialog open onClose={onClose} title="Give this record up" wide>
      <p className="mb-3">
        {row.code}: {row.message}
      </p>
      <Loaded query={letter}>{(found) => <Json value={found.record.value} label="record" />}</Loaded>
      <form
        className="mt-3 space-y-3"
        onSubmit={(event) => {
          event.preventDefault();
          drop.mutate();
        }}
      >
        <label className="block">
          Reason
          <Input required className="mt-1 w-full" value={reason} onChange={(event) => setReason(event.target.value)} />
        </label>
        {drop.isError && <Trouble error={drop.error} />}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Back</Button>
          <Button type="submit" look="primary" disabled={drop.isPending}>
            Drop
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

export default function TroublePage() {
  const [dropped, setDropped] = useState<TroubleRow | null>(null);
  const [search, setSearch] = useSearchParams();
  const [text, setText] = useState("");
  const kind = search.get("kind") ?? "";
  const cursor = search.get("cursor") ?? undefined;
  const event = search.get("event");
  const pause = useLive("trouble", ["trouble", "rows"]);
  const counts = useQuery({ queryKey: ["trouble", "counts"], queryFn: trouble.counts, refetchInterval: pause });
  const rows = useQuery({
    queryKey: ["trouble", "rows", kind, cursor],
    queryFn: () => trouble.rows(kind, cursor),
    refetchInterval: pause,
    placeholderData: keepPreviousData,
  });
  return (
    <>
      <PageHead title="Trouble" sub="What needs a person, and what to do next.">
        <form
          className="flex gap-2"
          onSubmit={(submitted) => {
            submitted.preventDefault();
            if (text.trim()) setSearch({ event: text.trim() });
          }}
        >
          <Input
            aria-label="Event id"
            placeholder="What became of event …"
            value={text}
            onChange={(changed) => setText(changed.target.value)}
          />
          <Button type="submit">Find</Button>
        </form>
      </PageHead>
      {event && <Fate id={event} />}
      <Loaded query={counts}>
        {(page) => (
          <ul className="mb-4 grid grid-cols-2 gap-3 xl:grid-cols-4">
            {page.rows.map((row) => (
              <li key={row.kind}>
                <button
                  type="button"
                  aria-pressed={kind === row.kind}
                  onClick={() => setSearch(kind === row.kind ? {} : { kind: row.kind })}
                  className={cx(
                    "flex size-full flex-col rounded-[8px] border bg-card p-4 text-left shadow-xs hover:bg-raised",
                    kind === row.kind ? "border-[var(--fill-accent)]" : "border-line",
                  )}
                >
                  <span className="flex w-full items-baseline gap-2">
                    <span
                      className={cx("text-[22px] font-semibold tabular-nums", row.n > 0 ? "text-bad" : "text-muted")}
                    >
                      {number(row.n)}
                    </span>
                    <span className="font-medium">{plain(row.kind)}</span>
                    <span className="grow text-right text-[12px] text-muted">
                      {row.newest_ms !== null && <Time ms={row.newest_ms} />}
                    </span>
                  </span>
                  <span className={cx("mt-1 text-muted", row.n === 0 && "hidden sm:block")}>{row.next_action}</span>
                </button>
              </li>
            ))}
          </ul>
        )}
      </Loaded>
      <Card pad={false}>
        <Loaded query={rows}>
          {(page) =>
            page.rows.length === 0 ? (
              <Empty
                title={
                  cursor ? "There is nothing older." : kind ? `There is no ${plain(kind)}.` : "There is no trouble."
                }
              >
                {kind || cursor ? (
                  <Button className="mt-2" onClick={() => setSearch({})}>
                    Show everything
                  </Button>
                ) : (
                  "Steps that failed for good, records that nothing could read and events that no run took appear here at once."
                )}
              </Empty>
            ) : (
              <>
                <Table
                  label="Trouble"
                  rows={page.rows}
                  keyOf={(row) => row.id}
                  columns={[
                    {
                      id: "kind",
                      title: "Kind",
                      cell: (row) => (
                        <Badge tone={row.kind === "parked" ? "warn" : row.kind === "dead_letter" ? "bad" : "idle"}>
                          {plain(row.kind)}
                          {row.count > 1 && ` × ${number(row.count)}`}
                        </Badge>
                      ),
                    },
                    {
                      id: "what",
                      title: "Reason",
                      className: "min-w-64",
                      cell: (row) => (
                        <>
                          <span className="block font-medium break-words">{row.code}</span>
                          <span className="block max-w-xl break-words text-muted">{row.message}</span>
                        </>
                      ),
                    },
                    {
                      id: "whose",
                      title: "Whose",
                      cell: (row) => (
                        <>
                          <span className="block [overflow-wrap:anywhere]">
                            {row.definition || row.event}
                            {row.step && `, step ${row.step}`}
                          </span>
                          {row.run ? (
                            <RunLink run={row.run}>{row.key}</RunLink>
                          ) : (
                            <span className="text-muted">{row.key}</span>
                          )}
                        </>
                      ),
                    },
                    { id: "when", title: "When", cell: (row) => <Time ms={row.at_ms} /> },
                    {
                      id: "actions",
                      title: "Next",
                      cell: (row) => <Actions row={row} onDrop={() => setDropped(row)} />,
                    },
                  ]}
                />
                <div className="flex justify-end gap-2 border-t border-line p-2 empty:hidden">
                  {cursor && <Button onClick={() => setSearch({ ...(kind && { kind }) })}>The newest</Button>}
                  {page.next && (
                    <Button onClick={() => setSearch({ ...(kind && { kind }), cursor: page.next! })}>Next</Button>
                  )}
                </div>
              </>
            )
          }
        </Loaded>
      </Card>
      {dropped && <DropDialog row={dropped} onClose={() => setDropped(null)} />}
    </>
  );
}
