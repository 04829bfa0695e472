import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { useSearchParams } from "react-router";
import { catalog } from "../api/calls";
import { A, Card, Empty, Facts, Input, Json, PageHead } from "../parts/basics";
import { Loaded } from "../parts/loading";
import { useMost } from "../parts/More";
import { Tabs } from "../parts/overlays";
import { useMay } from "../shell/me";
import OperationCard from "./OperationCard";

const MOST = 100; // cards at first

function Nothing({ what, text }: { what: "event" | "operation"; text: string }) {
  if (text) return <Empty title={`No ${what} is like that.`}>Names and titles are searched.</Empty>;
  return (
    <Empty title={`There is no ${what} yet.`}>
      {what === "event" ? "Events" : "Operations"} are published with the catalog of a{" "}
      <A to="/definitions" className="underline">
        definition
      </A>
      .
    </Empty>
  );
}

/** Cards of rows, the first of them at first. */
function Most<Row>({
  rows,
  draw,
  empty,
}: {
  rows: Row[];
  draw: (row: Row) => React.ReactNode;
  empty: React.ReactNode;
}) {
  const { shown, more } = useMost(rows, MOST);
  if (rows.length === 0) return empty;
  return (
    <>
      <div className="grid gap-4 lg:grid-cols-2">{shown.map(draw)}</div>
      {more}
    </>
  );
}

export default function CatalogPage() {
  const [search, setSearch] = useSearchParams();
  const [text, setText] = useState("");
  const events = useQuery({ queryKey: ["catalog", "events"], queryFn: catalog.events });
  const operations = useQuery({ queryKey: ["catalog", "operations"], queryFn: catalog.operations });
  const served = useQuery({ queryKey: ["operations"], queryFn: catalog.served, enabled: useMay("operations:read") });
  const servedBy = useMemo(() => new Map(served.data?.map((one) => [one.name, one])), [served.data]);
  const isWanted = (one: { name: string; title?: string }) =>
    `${one.name} ${one.title ?? ""}`.toLowerCase().includes(text.toLowerCase());
  return (
    <>
      <PageHead title="Catalog" sub="The events that start and move runs, and the operations that steps call.">
        <Input
          aria-label="Search the catalog"
          placeholder="Search"
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
      </PageHead>
      <Tabs
        label="Parts of the catalog"
        value={search.get("tab") ?? "events"}
        onChange={(tab) => setSearch({ tab }, { replace: true })}
        tabs={[
          {
            id: "events",
            title: "Events",
            content: (
              <Loaded query={events}>
                {(page) => (
                  <Most
                    rows={page.rows.filter(isWanted)}
                    empty={
                      <Card>
                        <Nothing what="event" text={text} />
                      </Card>
                    }
                    draw={(event) => (
                      <Card
                        key={event.name}
                        title={<span className="font-mono text-[13px] break-all">{event.name}</span>}
                        className="min-w-0"
                      >
                        {event.title && <p className="mb-3">{event.title}</p>}
                        <Facts
                          rows={[
                            ["Topics", event.topics.join(", ")],
                            [
                              "Used by",
                              event.used_by.length === 0
                                ? "nothing"
                                : event.used_by.map((name, index) => (
                                    <span key={name}>
                                      {index > 0 && ", "}
                                      <A to={`/definitions/${name}`}>{name}</A>
                                    </span>
                                  )),
                            ],
                          ]}
                        />
                        <details className="mt-3">
                          <summary className="cursor-pointer text-muted">Schema</summary>
                          <div className="mt-2">
                            <Json value={event.schema ?? {}} label="schema" />
                          </div>
                        </details>
                      </Card>
                    )}
                  />
                )}
              </Loaded>
            ),
          },
          {
            id: "operations",
            title: "Operations",
            content: (
              <Loaded query={operations}>
                {(page) => (
                  <Most
                    rows={page.rows.filter(isWanted)}
                    empty={
                      <Card>
                        <Nothing what="operation" text={text} />
                      </Card>
                    }
                    draw={(one) => <OperationCard key={one.name} operation={one} served={servedBy.get(one.name)} />}
                  />
                )}
              </Loaded>
            ),
          },
        ]}
      />
    </>
  );
}
