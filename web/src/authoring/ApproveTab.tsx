import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { BadgeCheck, Undo2, Upload } from "lucide-react";
import { useState } from "react";
import { conversations, definitions } from "../api/calls";
import type { ApprovalRow, Checked, Conversation } from "../api/types";
import { LIST_MS } from "../api/useLive";
import { A, Badge, Button, Card, Empty, Facts, Input, Time } from "../parts/basics";
import { Loaded, Trouble } from "../parts/loading";
import { useMay, useMe } from "../shell/me";

const SHADOW = 20;

interface Handed {
  definition: string;
  catalog: string | undefined;
  hash: string;
  scenarios: string | undefined;
}

function ReportOf({ row }: { row: ApprovalRow }) {
  const { approval, report } = row;
  const failed = report.scenarios.filter((one) => !one.ok).length;
  const facts: [string, React.ReactNode][] = [
    ["Approved by", approval.by],
    ["Written by", approval.authors.join(", ") || "not known"],
    ["For", approval.environment],
    ["When", <Time key="t" ms={approval.at_ms} />],
    [
      "Scenarios",
      report.scenarios.length === 0
        ? "none"
        : `${report.scenarios.length - failed} of ${report.scenarios.length} passed`,
    ],
    ["Warnings", report.warnings.join(" ") || "none"],
  ];
  if (report.untaken.length > 0) facts.push(["Not reached", report.untaken.join(", ")]);
  if (report.shadow) {
    const { same, different, incomparable, against } = report.shadow;
    facts.push([
      "Earlier runs",
      `${same} the same, ${different} different, ${incomparable} not comparable, against version ${against}`,
    ]);
  }
  return (
    <div className="space-y-3 p-4">
      <p>
        <Badge tone={row.state === "published" ? "good" : "accent"}>
          {row.state === "published" ? "published with it" : "not published yet"}
        </Badge>
      </p>
      <Facts rows={facts} />
    </div>
  );
}

function Approve({ talk, hash, onDone }: { talk: Conversation; hash: string; onDone: () => void }) {
  const me = useMe().data;
  const [by, setBy] = useState("");
  const [note, setNote] = useState("");
  const [replays, setReplays] = useState(false);
  const approve = useMutation({
    mutationFn: () =>
      conversations.approve(talk.conversation, {
        revision: talk.revision,
        hash,
        by: by || undefined,
        note,
        shadow: replays ? SHADOW : 0,
      }),
    onSuccess: onDone,
  });
  return (
    <form
      className="space-y-3 p-4"
      aria-label="Approve this content"
      onSubmit={(event) => {
        event.preventDefault();
        approve.mutate();
      }}
    >
      <p className="text-muted">
        Signs exactly this content and its report, with {talk.draft.authors.join(", ")} as its authors: the checks
        {talk.scenarios.length > 0 ? `, ${talk.scenarios.length} scenarios` : ""}
        {replays ? `, the last ${SHADOW} runs` : ""}.
      </p>
      {me?.id === null && (
        <label className="block">
          <span className="mb-1 block text-muted">Who approves</span>
          <Input required className="w-full max-w-xs" value={by} onChange={(event) => setBy(event.target.value)} />
        </label>
      )}
      <label className="block">
        <span className="mb-1 block text-muted">Note</span>
        <Input className="w-full max-w-md" value={note} onChange={(event) => setNote(event.target.value)} />
      </label>
      <label className="flex min-h-6 items-center gap-2">
        <input type="checkbox" checked={replays} onChange={(event) => setReplays(event.target.checked)} />
        replay the last {SHADOW} runs for the report
      </label>
      {approve.isError && <Trouble error={approve.error} />}
      <Button type="submit" look="primary" disabled={approve.isPending}>
        <BadgeCheck size={15} aria-hidden /> Approve
      </Button>
    </form>
  );
}

function Publish({ checked, handed, onDone }: { checked: Checked; handed: Handed; onDone: () => void }) {
  const [creates, setCreates] = useState(true);
  const [changes, setChanges] = useState(false);
  const publish = useMutation({
    mutationFn: () => definitions.publish({ ...handed, create_topics: creates, change_events: changes }),
    onSuccess: onDone,
  });
  return (
    <Card title={`Publish ${checked.name}@${checked.version}`}>
      <form
        className="space-y-3"
        onSubmit={(event) => {
          event.preventDefault();
          publish.mutate();
        }}
      >
        <label className="flex min-h-6 items-center gap-2">
          <input type="checkbox" checked={creates} onChange={(event) => setCreates(event.target.checked)} /> create
          topics that are missing
        </label>
        <label className="flex min-h-6 items-center gap-2">
          <input type="checkbox" checked={changes} onChange={(event) => setChanges(event.target.checked)} /> also change
          events that other definitions name
        </label>
        {publish.isError && <Trouble error={publish.error} />}
        {publish.data && (
          <div role="status" className="space-y-2">
            <p>
              {publish.data.already
                ? "It was published already."
                : "It is published: matching events start runs of it."}{" "}
              <A to={`/definitions/${checked.name}?version=${checked.version}`} className="underline">
                Look at it
              </A>
            </p>
            {publish.data.warnings.map((one) => (
              <p key={one} className="text-warn">
                {one}
              </p>
            ))}
          </div>
        )}
        <Button type="submit" look="primary" disabled={publish.isPending}>
          <Upload size={15} aria-hidden /> Publish
        </Button>
      </form>
    </Card>
  );
}

function Promote({ name, version }: { name: string; version: string }) {
  const me = useMe().data;
  const [to, setTo] = useState("");
  const [by, setBy] = useState("");
  const promote = useMutation({
    mutationFn: () => definitions.promote(name, version, { to, by: by || null }),
  });
  return (
    <Card title="Promote">
      <form
        className="space-y-3"
        onSubmit={(event) => {
          event.preventDefault();
          promote.mutate();
        }}
      >
        <p className="text-muted">Publishes exactly the approved content in another environment.</p>
        <div className="flex flex-wrap gap-3">
          <label>
            <span className="mb-1 block text-muted">Environment</span>
            <Input
              required
              pattern="[a-z0-9]{1,16}"
              className="w-40"
              value={to}
              onChange={(event) => setTo(event.target.value)}
            />
          </label>
          {me?.id === null && (
            <label>
              <span className="mb-1 block text-muted">Who promotes</span>
              <Input required className="w-40" value={by} onChange={(event) => setBy(event.target.value)} />
            </label>
          )}
        </div>
        {promote.isError && <Trouble error={promote.error} />}
        {promote.data !== undefined && <p role="status">It is published in {to}.</p>}
        <Button type="submit" disabled={promote.isPending}>
          Promote
        </Button>
      </form>
    </Card>
  );
}

function RollBack({ name, version, onDone }: { name: string; version: string; onDone: () => void }) {
  const back = useMutation({ mutationFn: () => definitions.rollback(name, null), onSuccess: onDone });
  return (
    <Card title="Roll back">
      <p className="mb-3 text-muted">
        Has new runs start on the version that was published before {version}. Open runs go on with what they began
        with.
      </p>
      {back.isError && <Trouble error={back.error} />}
      {back.data && (
        <p role="status" className="mb-3">
          New runs start on version {back.data.version} now; they started on {back.data.before}.
        </p>
      )}
      <Button look="danger" disabled={back.isPending} onClick={() => back.mutate()}>
        <Undo2 size={15} aria-hidden /> Roll back
      </Button>
    </Card>
  );
}

function problemsOf(found: Checked): string {
  const count = found.problems.filter((one) => one.severity === "error").length;
  return count === 1 ? "It has one problem." : `It has ${count} problems.`;
}

/** What was found about the draft, its approval, publishing, promotion and going back. */
export default function ApproveTab({ talk }: { talk: Conversation }) {
  const client = useQueryClient();
  const catalog = talk.catalog ?? undefined;
  const check = useQuery({
    queryKey: ["check", talk.draft.text, talk.catalog],
    queryFn: ({ signal }) => definitions.check({ definition: talk.draft.text, catalog }, signal),
    retry: false,
  });
  const name = check.data?.name;
  const mayApprove = useMay("definitions:approve", name);
  const mayPublish = useMay("definitions:publish", name);
  const mayRead = useMay("definitions:read", name);
  const approvals = useQuery({
    queryKey: ["approvals of", name],
    queryFn: () => definitions.approvals(name!),
    enabled: name !== undefined && mayRead,
    retry: false,
    refetchInterval: LIST_MS, // no channel tells of approvals
  });
  const kept = useQuery({
    queryKey: ["conversation", talk.conversation, "scenarios", talk.draft.sha, talk.scenarios],
    queryFn: () => conversations.scenarios(talk.conversation),
    enabled: talk.scenarios.length > 0,
  });
  const onDone = () => {
    void client.invalidateQueries({ queryKey: ["approvals of"] });
    void client.invalidateQueries({ queryKey: ["definitions"] });
  };
  return (
    <Loaded query={check}>
      {(found) => {
        if (!found.ok || !found.hash || !found.name || !found.version) {
          return (
            <Card title="Report" pad={false}>
              <Empty title="The draft cannot be approved yet.">
                {problemsOf(found)} Say in the chat what is missing, or correct it in the tab YAML, which lists them.
              </Empty>
            </Card>
          );
        }
        const { hash, version } = found;
        const handed: Handed = {
          definition: talk.draft.text,
          catalog,
          hash,
          scenarios: kept.data?.text ?? undefined,
        };
        const row = approvals.data?.rows.find((one) => one.approval.sha256 === hash);
        return (
          <div className="space-y-4">
            <Card
              title={`${found.name}@${version}`}
              pad={false}
              aside={<Badge tone={row ? "good" : "idle"}>{row ? "approved" : "not approved"}</Badge>}
            >
              <p className="border-b border-line px-4 py-2 font-mono text-[12px] break-all text-muted">{hash}</p>
              {row && <ReportOf row={row} />}
              {!row && mayApprove && <Approve talk={talk} hash={hash} onDone={onDone} />}
              {!row && !mayApprove && (
                <p className="p-4 text-muted">
                  Somebody who did not write it, with the right definitions:approve, approves it here.
                </p>
              )}
            </Card>
            {kept.isError && <Trouble error={kept.error} />}
            {mayPublish && <Publish checked={found} handed={handed} onDone={onDone} />}
            {mayPublish && row?.state === "published" && (
              <>
                <Promote name={found.name} version={version} />
                <RollBack name={found.name} version={version} onDone={onDone} />
              </>
            )}
          </div>
        );
      }}
    </Loaded>
  );
}
