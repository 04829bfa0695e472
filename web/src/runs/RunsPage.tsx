import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { ArrowDown, ArrowUp, ListChecks, Plus, Save, X } from "lucide-react";
import { lazy, Suspense, useState } from "react";
import { Link, useSearchParams } from "react-router";
import { access, definitions, runs } from "../api/calls";
import type { RunRow } from "../api/types";
import { useLive } from "../api/useLive";
import {
  A,
  Button,
  buttonLook,
  Card,
  Empty,
  Input,
  inputLook,
  Lasted,
  PageHead,
  RunLink,
  Status,
  Time,
} from "../parts/basics";
import { DefinitionOptions } from "../parts/DefinitionOptions";
import { Loaded } from "../parts/loading";
import { Table, type Column } from "../parts/Table";
import { number } from "../parts/words";
import { useMay, useMe } from "../shell/me";
import { conditionOf, filterOf, titleOf, withField } from "./filter";
import { waitsInWords } from "./waits";

const BulkDialog = lazy(() => import("./BulkDialog"));
const StartDialog = lazy(() => import("./StartDialog"));
const ViewsDialog = lazy(() => import("./ViewsDialog"));

const QUICK: [string, Record<string, string>][] = [
  ["All", {}],
  ["Open", { status: "open" }],
  ["Parked", { status: "parked" }],
  ["Failed", { status: "failed" }],
  ["Completed", { status: "completed" }],
];

function SortHead({
  title,
  by,
  sort,
  onSort,
}: {
  title: string;
  by: string;
  sort: string;
  onSort: (sort: string) => void;
}) {
  const Icon = sort === `-${by}` ? ArrowDown : ArrowUp;
  const isOn = sort.replace("-", "") === by;
  return (
    <button
      type="button"
      className="inline-flex items-center gap-1 hover:text-ink"
      onClick={() => onSort(sort === `-${by}` ? by : `-${by}`)}
    >
      {title}
      {isOn && <Icon size={12} aria-hidden />}
    </button>
  );
}

function columnsOf(sort: string, onSort: (sort: string) => void): Column<RunRow>[] {
  const sorted = (by: string) => (sort === by ? "ascending" : sort === `-${by}` ? "descending" : "none");
  return [
    { id: "status", title: "Status", cell: (row) => <Status run={row} /> },
    {
      id: "run",
      title: "Key and run",
      cell: (row) => (
        <>
          <span className="block font-medium break-all">{row.key}</span>
          <RunLink run={row.run}>{row.run.slice(0, 13)}…</RunLink>
        </>
      ),
    },
    {
      id: "definition",
      title: "Definition",
      className: "hidden sm:table-cell",
      cell: (row) => (
        <A to={`/definitions/${row.definition}?version=${row.version}`} className="[overflow-wrap:anywhere]">
          {row.definition}@{row.version}
        </A>
      ),
    },
    {
      id: "now",
      title: "What it waits for, or its error",
      className: "hidden md:table-cell max-w-[26rem]",
      cell: (row) =>
        row.error_code ? (
          <span className={row.status === "completed" ? "text-muted" : "text-bad"}>
            {row.parked_step && <span className="font-medium break-words">{row.parked_step}: </span>}
            {row.error_code}
          </span>
        ) : (
          <span className="text-muted">{waitsInWords(row.waits_for)}</span>
        ),
    },
    {
      id: "started",
      title: <SortHead title="Started" by="started" sort={sort} onSort={onSort} />,
      sorted: sorted("started"),
      cell: (row) => <Time ms={row.started_ms} />,
    },
    {
      id: "duration",
      title: <SortHead title="Duration" by="duration" sort={sort} onSort={onSort} />,
      sorted: sorted("duration"),
      className: "hidden sm:table-cell",
      cell: (row) => <Lasted run={row} />,
    },
  ];
}

/** In the place of an empty list: what to do next. */
function Nothing({
  isFiltered,
  isFirst,
  isPublished,
  onAll,
  onStart,
}: {
  isFiltered: boolean;
  isFirst: boolean;
  isPublished: boolean;
  onAll: () => void;
  onStart: (() => void) | undefined;
}) {
  if (isFiltered || !isFirst)
    return (
      <Empty title={isFirst ? "No run is like that." : "There are no more runs."}>
        {isFirst && <p>Remove a filter to see more.</p>}
        <Button className="mt-3" onClick={onAll}>
          Show all runs
        </Button>
      </Empty>
    );
  if (!isPublished)
    return (
      <Empty title="There is no run yet, and nothing that could run.">
        <p>Runs are of a definition. Publish one first.</p>
        <Link to="/definitions" className={`${buttonLook("primary")} mt-3`}>
          Look at definitions
        </Link>
      </Empty>
    );
  return (
    <Empty title="There is no run yet.">
      <p>Send an event that starts one{onStart && ", or start one here"}. It appears in this list at once.</p>
      {onStart && (
        <Button look="primary" className="mt-3" onClick={onStart}>
          Start the first run
        </Button>
      )}
    </Empty>
  );
}

export default function RunsPage() {
  const [search, setSearch] = useSearchParams();
  const [text, setText] = useState("");
  const [bulk, setBulk] = useState(false);
  const [starting, setStarting] = useState(false);
  const [isKeeping, setKeeping] = useState(false);
  const mayStart = useMay("runs:start");
  const mayOperate = useMay("jobs:start");
  const isUser = useMe().data?.id != null;
  const mayKeep = useMay("own:use") && isUser;
  const filter = filterOf(search);
  const sort = search.get("sort") ?? "-started";
  const cursor = search.get("cursor") ?? undefined;
  const list = useQuery({
    queryKey: ["runs", filter, sort, cursor],
    queryFn: () => runs.list(filter, sort, cursor),
    placeholderData: keepPreviousData,
    refetchInterval: useLive("runs", ["runs"]),
  });
  const known = useQuery({ queryKey: ["definitions"], queryFn: definitions.list, staleTime: 60_000 });
  const views = useQuery({ queryKey: ["views"], queryFn: access.views, retry: false, enabled: mayKeep });
  const own = views.data?.filter((view) => view.page === "runs") ?? [];
  const add = () => {
    const condition = conditionOf(text);
    if (!condition) return;
    setText("");
    setSearch(withField(search, condition.name, condition.value));
  };
  return (
    <>
      <PageHead title="Runs">
        {own.length > 0 && (
          <select
            aria-label="Saved views"
            className={inputLook}
            value=""
            onChange={(event) => setSearch(new URLSearchParams(event.target.value))}
          >
            <option value="">Saved views</option>
            {own.map((view) => (
              <option key={view.id} value={view.query}>
                {view.name}
              </option>
            ))}
          </select>
        )}
        {mayKeep && (
          <Button onClick={() => setKeeping(true)}>
            <Save size={15} aria-hidden /> Save view
          </Button>
        )}
        {mayOperate && (
          <Button onClick={() => setBulk(true)}>
            <ListChecks size={15} aria-hidden /> Act on all
          </Button>
        )}
        {mayStart && (
          <Button look="primary" onClick={() => setStarting(true)}>
            <Plus size={15} aria-hidden /> Start a run
          </Button>
        )}
      </PageHead>
      <div className="mb-3 flex flex-wrap items-center gap-2">
        <div
          role="group"
          aria-label="Status"
          className="flex max-w-full overflow-x-auto rounded-[8px] border border-line bg-card"
        >
          {QUICK.map(([title, values]) => {
            const isOn = (filter.status ?? "") === (values.status ?? "");
            return (
              <button
                key={title}
                type="button"
                aria-pressed={isOn}
                onClick={() => setSearch(withField(search, "status", values.status ?? ""))}
                className={`h-[34px] px-3 font-medium ${isOn ? "bg-brand text-white" : "text-muted hover:text-ink"}`}
              >
                {title}
              </button>
            );
          })}
        </div>
        <select
          aria-label="Definition"
          className={`${inputLook} max-w-full sm:max-w-xs`}
          value={filter.definition ?? ""}
          onChange={(event) => setSearch(withField(search, "definition", event.target.value))}
        >
          <option value="">Every definition</option>
          <DefinitionOptions rows={known.data?.rows} />
        </select>
        <form
          className="flex min-w-0 grow gap-2 sm:max-w-md"
          onSubmit={(event) => {
            event.preventDefault();
            add();
          }}
        >
          <Input
            aria-label="Filter"
            className="grow"
            placeholder="Key, error=timeout, country=DE …"
            value={text}
            onChange={(event) => setText(event.target.value)}
          />
          <Button type="submit">Filter</Button>
        </form>
      </div>
      <div className="mb-3 flex flex-wrap gap-2 empty:hidden">
        {Object.entries(filter)
          .filter(([name]) => name !== "status" && name !== "definition")
          .map(([name, value]) => (
            <button
              key={name}
              type="button"
              aria-label={`Remove the filter ${titleOf(name)} ${value}`}
              onClick={() => setSearch(withField(search, name, ""))}
              className="inline-flex max-w-full items-center gap-1.5 rounded-full bg-accent-soft px-3 py-1 text-accent"
            >
              <span className="min-w-0 truncate">
                {titleOf(name)}: {value}
              </span>{" "}
              <X size={13} aria-hidden className="shrink-0" />
            </button>
          ))}
      </div>
      <Card pad={false}>
        <Loaded query={list}>
          {(page) =>
            page.rows.length === 0 ? (
              <Nothing
                isFiltered={Object.keys(filter).length > 0}
                isFirst={!cursor}
                isPublished={known.data === undefined || known.data.rows.length > 0}
                onAll={() => setSearch({})}
                onStart={mayStart ? () => setStarting(true) : undefined}
              />
            ) : (
              <>
                <Table
                  label="Runs"
                  columns={columnsOf(sort, (next) => setSearch(withField(search, "sort", next)))}
                  rows={page.rows}
                  keyOf={(row) => row.run}
                />
                <div className="flex items-center gap-3 border-t border-line px-4 py-2 text-muted">
                  <span className="grow">
                    {page.count
                      ? `${number(page.count.n)}${page.count.capped ? "+" : ""} runs`
                      : `${page.rows.length} shown`}
                  </span>
                  {cursor && <Button onClick={() => setSearch(withField(search, "cursor", ""))}>To the first</Button>}
                  {page.next && (
                    <Button
                      onClick={() =>
                        setSearch((now) => {
                          const next = new URLSearchParams(now);
                          next.set("cursor", page.next!);
                          return next;
                        })
                      }
                    >
                      Next
                    </Button>
                  )}
                </div>
              </>
            )
          }
        </Loaded>
      </Card>
      <Suspense>
        {bulk && <BulkDialog filter={filter} onClose={() => setBulk(false)} />}
        {isKeeping && <ViewsDialog views={own} query={search.toString()} onClose={() => setKeeping(false)} />}
        {starting && <StartDialog definitions={known.data?.rows ?? []} onClose={() => setStarting(false)} />}
      </Suspense>
    </>
  );
}
