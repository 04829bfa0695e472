import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useSearchParams } from "react-router";
import { catalog } from "../api/calls";
import { A, Card, Empty, Facts, Input, Json, PageHead } from "../parts/basics";
import { Loaded } from "../parts/loading";
import { Tabs } from "../parts/overlays";
import { useMay } from "../shell/me";
import OperationCard from "./OperationCard";

export default function CatalogPage() {
  const [search, setSearch] = useSearchParams();
  const [text, setText] = useState("");
  const events = useQuery({ queryKey: ["catalog", "events"], queryFn: catalog.events });
  const operations = useQuery({ queryKey: ["catalog", "operations"], queryFn: catalog.operations });
  const served = useQuery({ queryKey: ["operations"], queryFn: catalog.served, enabled: useMay("operations:read") });
  const isWanted = (one: { name: string; title?: string }) =>
    `${one.name} ${one.title ?? ""}`.toLowerCase().includes(text.toLowerCase());
  return (
    <>
      <PageHead title="Catalog">
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
                {(page) => {
                  const rows = page.rows.filter(isWanted);
                  if (rows.length === 0)
                    return (
                      <Card>
                        <Empty title="No event is like that." />
                      </Card>
                    );
                  return (
                    <div className="grid gap-4 lg:grid-cols-2">
                      {rows.map((event) => (
                        <Card
                          key={event.name}
                          title={<span className="font-mono text-[13px]">{event.name}</span>}
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
                      ))}
                    </div>
                  );
                }}
              </Loaded>
            ),
          },
          {
            id: "operations",
            title: "Operations",
            content: (
              <Loaded query={operations}>
                {(page) => (
                  <div className="grid gap-4 lg:grid-cols-2">
                    {page.rows.filter(isWanted).map((one) => (
                      <OperationCard
                        key={one.name}
                        operation={one}
                        served={served.data?.find((each) => each.name === one.name)}
                      />
                    ))}
                  </div>
                )}
              </Loaded>
            ),
          },
        ]}
      />
    </>
  );
}
