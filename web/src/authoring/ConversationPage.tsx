import { useQuery } from "@tanstack/react-query";
import { Redo2, Undo2 } from "lucide-react";
import { lazy, Suspense, useCallback, useMemo, useState, useSyncExternalStore } from "react";
import { Link, useNavigate, useParams, useSearchParams } from "react-router";
import { conversations } from "../api/calls";
import { Problem } from "../api/client";
import type { Way } from "../api/follow";
import type { Conversation } from "../api/types";
import { useLive } from "../api/useLive";
import { A, Badge, Button, buttonLook, Card, cx, Empty, inputLook, PageHead, type Tone } from "../parts/basics";
import { Loaded, Trouble, Waiting } from "../parts/loading";
import { Tabs, type Tab } from "../parts/overlays";
import { useTitle } from "../parts/title";
import { useMay } from "../shell/me";
import Chat from "./Chat";
import TalkActions from "./TalkActions";
import { useChange, useConversation, type Change } from "./useConversation";

const DiagramTab = lazy(() => import("./DiagramTab"));
const YamlTab = lazy(() => import("./YamlTab"));
const TryTab = lazy(() => import("./TryTab"));
const CompareTab = lazy(() => import("./CompareTab"));
const ApproveTab = lazy(() => import("./ApproveTab"));

const WIDE = matchMedia("(min-width: 1024px)");
const watchWidth = (watcher: () => void) => {
  WIDE.addEventListener("change", watcher);
  return () => WIDE.removeEventListener("change", watcher);
};

const WAYS: Record<NonNullable<Way>, [tone: Tone, text: string, title: string]> = {
  told: ["good", "live", "What others do is shown at once"],
  asked: [
    "warn",
    "asking every 2 s",
    "No stream reaches this page, perhaps because of a proxy: it asks for what is new",
  ],
  away: ["bad", "no answer", "The server does not answer: what others do is not shown until it does"],
};

/** How what others do becomes known here. */
function Told({ way }: { way: Way }) {
  const [tone, text, title] = way ? WAYS[way] : (["idle", "connecting", "What is new is asked for"] as const);
  return (
    <span role="status" aria-label="Changes by others" title={title}>
      <Badge tone={tone}>{text}</Badge>
    </span>
  );
}

/** In the place of a conversation that there is no more. */
function Gone({ title }: { title: string }) {
  return (
    <>
      <PageHead title="Authoring" />
      <Card>
        <Empty title={title ? `The conversation “${title}” was deleted.` : "There is no such conversation."}>
          What was published from one stays.{" "}
          <A to="/authoring" className="underline">
            All conversations
          </A>
        </Empty>
      </Card>
    </>
  );
}

const isGone = (error: unknown) => error instanceof Problem && error.status === 404;

/** The conversation that is shown, the others, undo and redo. */
function Bar({
  talk,
  change,
  way,
  onMove,
  isBusy,
}: {
  talk: Conversation;
  change: Change;
  way: Way;
  onMove: (how: "undo" | "redo") => void;
  isBusy: boolean;
}) {
  const navigate = useNavigate();
  const others = useQuery({
    queryKey: ["conversations"],
    queryFn: () => conversations.list(),
    refetchInterval: useLive("conversations", ["conversations"]),
  });
  const rows = others.data?.rows ?? [];
  const all = rows.some((row) => row.conversation === talk.conversation) ? rows : [talk, ...rows];
  const mayEdit = useMay("authoring:edit");
  return (
    <header className="mb-3 flex flex-wrap items-center gap-2">
      <h1 className="sr-only">{talk.title || "Conversation"}</h1>
      <select
        aria-label="Conversation"
        value={talk.conversation}
        onChange={(event) => void navigate(`/authoring/${event.target.value}`)}
        className={cx(inputLook, "max-w-full min-w-0 grow font-medium sm:max-w-sm")}
      >
        {all.map((row) => (
          <option key={row.conversation} value={row.conversation}>
            {row.title || "Without a title"}
          </option>
        ))}
      </select>
      <Link to="/authoring" className={buttonLook()}>
        All
      </Link>
      {mayEdit && <TalkActions talk={talk} change={change} />}
      <span className="grow" />
      <Told way={way} />
      <span className="text-muted">Revision {talk.revision}</span>
      {mayEdit && (
        <>
          <Button disabled={!talk.can_undo || isBusy} onClick={() => onMove("undo")}>
            <Undo2 size={15} aria-hidden /> Undo
          </Button>
          <Button disabled={!talk.can_redo || isBusy} onClick={() => onMove("redo")}>
            <Redo2 size={15} aria-hidden /> Redo
          </Button>
        </>
      )}
    </header>
  );
}

function Workplace({ id }: { id: string }) {
  const { query, items, isBehind, way, ended, take } = useConversation(id);
  const change = useChange(id, take);
  const [search, setSearch] = useSearchParams();
  const [lit, setLit] = useState<ReadonlySet<string>>(new Set());
  const light = useCallback((boxes: string[]) => setLit(new Set(boxes)), []);
  const isWide = useSyncExternalStore(watchWidth, () => WIDE.matches);
  const talk = query.data;
  useTitle(talk?.title);
  const revision = useQuery({
    queryKey: ["conversation", id, "revision", talk?.revision],
    queryFn: () => conversations.revision(id, talk!.revision),
    enabled: talk !== undefined,
    staleTime: Infinity,
    placeholderData: (before) => before,
  });
  const parent = talk?.draft.parent ?? null;
  const difference = useQuery({
    queryKey: ["conversation", id, "diff", parent, talk?.revision],
    queryFn: () => conversations.diff(id, parent!, talk!.revision),
    enabled: parent !== null,
    staleTime: Infinity,
  });
  const colours = parent === null ? undefined : difference.data?.colours;
  const waiting = talk?.proposal ?? null;
  const preview = useQuery({
    queryKey: ["conversation", id, "preview", talk?.revision, waiting?.proposal, waiting?.open],
    queryFn: () => conversations.preview(id),
    enabled: waiting !== null,
    retry: false,
    staleTime: Infinity,
  });
  const proposed = waiting === null ? undefined : preview.data;
  const views = useMemo<Tab[]>(() => {
    if (!talk) return [];
    const later = (content: React.ReactNode) => <Suspense fallback={<Waiting lines={8} />}>{content}</Suspense>;
    return [
      {
        id: "diagram",
        title: "Diagram",
        content: later(<DiagramTab query={revision} proposed={proposed} colours={colours} lit={lit} onLight={light} />),
      },
      { id: "yaml", title: "YAML", content: later(<YamlTab talk={talk} change={change} />) },
      {
        id: "try",
        title: "Try",
        content: later(<TryTab talk={talk} revision={revision.data} change={change} />),
      },
      { id: "compare", title: "Compare", content: later(<CompareTab talk={talk} change={change} />) },
      { id: "approve", title: "Approve", content: later(<ApproveTab talk={talk} />) },
    ];
  }, [talk, revision, proposed, colours, lit, light, change]);
  if (isGone(ended) || isGone(query.error)) return <Gone title={talk?.title ?? ""} />;
  return (
    <Loaded query={query}>
      {(found) => {
        const chat = <Chat talk={found} items={items} isBehind={isBehind} change={change} lit={lit} onLight={light} />;
        const tabs = isWide ? views : [{ id: "chat", title: "Chat", content: chat }, ...views];
        const wanted = search.get("tab");
        const tab = tabs.some((one) => one.id === wanted) ? wanted! : tabs[0]!.id;
        const panel = (
          <Tabs
            label="Views of the draft"
            value={tab}
            onChange={(next) => setSearch({ tab: next }, { replace: true })}
            tabs={tabs}
          />
        );
        return (
          <>
            <Bar
              talk={found}
              change={change}
              way={way}
              isBusy={change.isPending || isBehind}
              onMove={(how) => change.mutate(() => conversations.move(id, found.revision, how))}
            />
            {ended !== null && <Trouble error={ended} />}
            {change.isError && <Trouble error={change.error} onClose={() => change.reset()} />}
            {isWide ? (
              <div className="grid items-start gap-4 lg:grid-cols-[minmax(340px,2fr)_3fr]">
                <div className="min-w-0">{chat}</div>
                <div className="min-w-0">{panel}</div>
              </div>
            ) : (
              panel
            )}
          </>
        );
      }}
    </Loaded>
  );
}

/** A draft that people and the assistant write together: the conversation, and what it makes. */
export default function ConversationPage() {
  const { conversation = "" } = useParams();
  return <Workplace key={conversation} id={conversation} />;
}
