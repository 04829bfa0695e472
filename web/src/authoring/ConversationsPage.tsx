import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate } from "react-router";
import { conversations, definitions } from "../api/calls";
import type { ConversationRow } from "../api/types";
import { useLive } from "../api/useLive";
import { A, Button, Card, cx, Empty, Input, inputLook, PageHead, Time } from "../parts/basics";
import { Loaded, Trouble } from "../parts/loading";
import { Table, type Column } from "../parts/Table";
import { useMay } from "../shell/me";

const COLUMNS: Column<ConversationRow>[] = [
  {
    id: "title",
    title: "Conversation",
    cell: (row) => (
      <A to={`/authoring/${row.conversation}`} className="inline-block leading-[24px]">
        {row.title || "Without a title"}
      </A>
    ),
  },
  { id: "by", title: "Begun by", cell: (row) => row.created_by },
  { id: "time", title: "Last change", cell: (row) => <Time ms={row.updated_ms} /> },
];

const PUBLISHED = "published";
const OWN = "own";

/** Begins a conversation: with an empty draft or a published version, over the published catalog or another one. */
function Begin() {
  const navigate = useNavigate();
  const [title, setTitle] = useState("");
  const [from, setFrom] = useState("");
  const [source, setSource] = useState(PUBLISHED);
  const [catalog, setCatalog] = useState("");
  const known = useQuery({ queryKey: ["definitions"], queryFn: definitions.list, enabled: useMay("definitions:read") });
  const begin = useMutation({
    mutationFn: async () => {
      const [name, version] = from.split("@") as [string, string?];
      const found = from ? await definitions.version(name, version!) : null;
      return conversations.start({
        title,
        definition: found?.yaml ?? null,
        catalog: source === OWN ? catalog : null,
      });
    },
    onSuccess: (made) => void navigate(`/authoring/${made.conversation}`),
  });
  return (
    <Card title="New conversation">
      <form
        className="space-y-3"
        onSubmit={(event) => {
          event.preventDefault();
          begin.mutate();
        }}
      >
        <label className="block">
          <span className="mb-1 block text-muted">Title</span>
          <Input className="w-full" value={title} onChange={(event) => setTitle(event.target.value)} />
        </label>
        <label className="block">
          <span className="mb-1 block text-muted">Begin with</span>
          <select className={cx(inputLook, "w-full")} value={from} onChange={(event) => setFrom(event.target.value)}>
            <option value="">an empty draft</option>
            {known.data?.rows.map((row) => (
              <option key={row.definition} value={`${row.definition}@${row.version}`}>
                {row.definition}@{row.version}
              </option>
            ))}
          </select>
        </label>
        <label className="block">
          <span className="mb-1 block text-muted">Catalog</span>
          <select
            className={cx(inputLook, "w-full")}
            value={source}
            onChange={(event) => setSource(event.target.value)}
          >
            <option value={PUBLISHED}>events and operations that are published</option>
            <option value={OWN}>a catalog of its own</option>
          </select>
        </label>
        {source === OWN && (
          <>
            <label className="block">
              <span className="mb-1 block text-muted">Catalog (YAML)</span>
              <textarea
                required
                rows={8}
                spellCheck={false}
                value={catalog}
                onChange={(event) => setCatalog(event.target.value)}
                className={cx(inputLook, "h-auto w-full py-2 font-mono text-[12px]")}
              />
            </label>
            <label className="block">
              <span className="mb-1 block text-muted">or from a file</span>
              <input
                type="file"
                accept=".yaml,.yml,.json"
                className="w-full text-muted file:mr-3 file:h-9 file:cursor-pointer file:rounded-[8px] file:border file:border-line file:bg-card file:px-3 file:text-ink"
                onChange={(event) => void event.target.files?.[0]?.text().then(setCatalog)}
              />
            </label>
          </>
        )}
        {begin.isError && <Trouble error={begin.error} />}
        <Button type="submit" look="primary" disabled={begin.isPending}>
          Begin
        </Button>
      </form>
    </Card>
  );
}

/** The conversations, the one that changed last first. */
export default function ConversationsPage() {
  const mayEdit = useMay("authoring:edit");
  const query = useQuery({
    queryKey: ["conversations"],
    queryFn: () => conversations.list(),
    refetchInterval: useLive("conversations", ["conversations"]),
  });
  return (
    <>
      <PageHead
        title="Authoring"
        sub="Say what should happen, look at what was understood, try it, have it approved, and publish it."
      />
      <div className={cx("grid items-start gap-4", mayEdit && "xl:grid-cols-[1fr_400px]")}>
        <Card pad={false} className="min-w-0 max-xl:order-2">
          <Loaded query={query}>
            {({ rows }) =>
              rows.length === 0 ? (
                <Empty title="There is no conversation yet." />
              ) : (
                <Table label="Conversations" columns={COLUMNS} rows={rows} keyOf={(row) => row.conversation} />
              )
            }
          </Loaded>
        </Card>
        {mayEdit && <Begin />}
      </div>
    </>
  );
}
