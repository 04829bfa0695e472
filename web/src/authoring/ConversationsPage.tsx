import { keepPreviousData, useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Plus } from "lucide-react";
import { useNavigate, useSearchParams } from "react-router";
import { conversations, definitions } from "../api/calls";
import type { ConversationRow } from "../api/types";
import { useLive } from "../api/useLive";
import { A, Button, Card, cx, Empty, Input, inputLook, PageHead, Time } from "../parts/basics";
import { Loaded, Trouble } from "../parts/loading";
import { Dialog } from "../parts/overlays";
import { Table, type Column } from "../parts/Table";
import { useMay } from "../shell/me";

const COLUMNS: Column<ConversationRow>[] = [
  {
    id: "title",
    title: "Conversation",
    cell: (row) => (
      <A to={`/authoring/${row.conversation}`} className="inline-block leading-[24px] [overflow-wrap:anywhere]">
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
    <form
      aria-label="New conversation"
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
        <select className={cx(inputLook, "w-full")} value={source} onChange={(event) => setSource(event.target.value)}>
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
  );
}

/** The conversations, the one that changed last first. */
export default function ConversationsPage() {
  const mayEdit = useMay("authoring:edit");
  const [search, setSearch] = useSearchParams();
  const [isNew, setNew] = useState(false);
  const cursor = Number(search.get("cursor")) || 0;
  const query = useQuery({
    queryKey: ["conversations", cursor],
    queryFn: () => conversations.list(cursor),
    placeholderData: keepPreviousData,
    refetchInterval: useLive("conversations", ["conversations"]),
  });
  const isFirst = cursor === 0 && query.data?.rows.length === 0;
  return (
    <>
      <PageHead
        title="Authoring"
        sub="Say what should happen, look at what was understood, try it, have it approved, and publish it."
      >
        {mayEdit && !isFirst && (
          <Button look="primary" onClick={() => setNew(true)}>
            <Plus size={15} aria-hidden /> New conversation
          </Button>
        )}
      </PageHead>
      <Card pad={false}>
        <Loaded query={query}>
          {({ rows, next }) =>
            rows.length === 0 ? (
              <Empty title={isFirst ? "There is no conversation yet." : "There are no older ones."}>
                {isFirst && mayEdit && (
                  <>
                    <p>Begin one: give it a title, then say in plain English what should happen.</p>
                    <div className="mx-auto mt-6 max-w-md text-left text-ink">
                      <Begin />
                    </div>
                  </>
                )}
                {isFirst && !mayEdit && "A developer begins one; it appears here at once, and you can read it."}
                {!isFirst && <Button onClick={() => setSearch({})}>The newest</Button>}
              </Empty>
            ) : (
              <>
                <Table label="Conversations" columns={COLUMNS} rows={rows} keyOf={(row) => row.conversation} />
                <div className="flex justify-end gap-2 border-t border-line p-2 empty:hidden">
                  {cursor > 0 && <Button onClick={() => setSearch({})}>The newest</Button>}
                  {next !== null && <Button onClick={() => setSearch({ cursor: String(next) })}>Older</Button>}
                </div>
              </>
            )
          }
        </Loaded>
      </Card>
      {isNew && (
        <Dialog open onClose={() => setNew(false)} title="New conversation">
          <Begin />
        </Dialog>
      )}
    </>
  );
}
