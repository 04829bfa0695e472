import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useSearchParams } from "react-router";
import { access } from "../api/calls";
import { Badge, Button, Card, Empty, Input, Json, PageHead, Time } from "../parts/basics";
import { Loaded } from "../parts/loading";
import { Table } from "../parts/Table";

const FIELDS = ["who", "action", "target"] as const;
const TITLES = { who: "Who", action: "Action, such as user.", target: "What was changed" };

export default function AuditPage() {
  const [search, setSearch] = useSearchParams();
  const cursor = search.get("cursor") ?? undefined;
  const filter = Object.fromEntries(FIELDS.map((name) => [name, search.get(name) ?? undefined]));
  const query = useQuery({
    queryKey: ["audit", filter, cursor],
    queryFn: () => access.audit(filter, cursor),
    placeholderData: keepPreviousData,
  });
  return (
    <>
      <PageHead title="Audit" sub="Every change, newest first. Each entry holds the digest of the one before." />
      <form
        key={search.toString()}
        className="mb-3 flex flex-wrap gap-2"
        onSubmit={(event) => {
          event.preventDefault();
          const given = new FormData(event.currentTarget);
          setSearch(
            Object.fromEntries(
              FIELDS.map((name) => [name, String(given.get(name) ?? "")]).filter(([, value]) => value),
            ),
          );
        }}
      >
        {FIELDS.map((name) => (
          <Input
            key={name}
            name={name}
            aria-label={TITLES[name]}
            className="grow basis-48 sm:grow-0"
            placeholder={TITLES[name]}
            defaultValue={search.get(name) ?? ""}
          />
        ))}
        <Button type="submit">Filter</Button>
      </form>
      <Card pad={false}>
        <Loaded query={query}>
          {(page) =>
            page.rows.length === 0 ? (
              <Empty title={search.size > 0 ? "There is no entry of this kind." : "Nothing was changed yet."}>
                {search.size > 0 ? (
                  <Button className="mt-2" onClick={() => setSearch({})}>
                    Show every entry
                  </Button>
                ) : (
                  "Whoever publishes, starts, decides or changes rights appears here with what was before and after."
                )}
              </Empty>
            ) : (
              <>
                <Table
                  label="Audit"
                  rows={page.rows}
                  keyOf={(row) => String(row.number)}
                  columns={[
                    { id: "when", title: "When", cell: (row) => <Time ms={row.at_ms} /> },
                    {
                      id: "who",
                      title: "Who",
                      cell: (row) => (
                        <>
                          <span className="block font-medium">{row.who}</span>
                          <span className="text-[12px] text-muted">{row.via}</span>
                        </>
                      ),
                    },
                    { id: "what", title: "What", cell: (row) => <Badge>{row.action}</Badge> },
                    {
                      id: "target",
                      title: "Of",
                      className: "min-w-48",
                      cell: (row) => <span className="break-all">{row.target}</span>,
                    },
                    {
                      id: "change",
                      title: "Before and after",
                      className: "min-w-56",
                      cell: (row) => (
                        <details>
                          <summary className="cursor-pointer text-muted">show</summary>
                          <div className="mt-2 space-y-2">
                            <Json value={row.before} label="before" />
                            <Json value={row.after} label="after" />
                          </div>
                        </details>
                      ),
                    },
                    {
                      id: "hash",
                      title: "Digest",
                      className: "hidden lg:table-cell",
                      cell: (row) => (
                        <span className="font-mono text-[12px] text-muted">{row.digest.slice(0, 12)}</span>
                      ),
                    },
                  ]}
                />
                <div className="flex justify-end gap-2 border-t border-line p-2 empty:hidden">
                  {cursor && (
                    <Button
                      onClick={() => {
                        const { cursor: _, ...rest } = Object.fromEntries(search);
                        setSearch(rest);
                      }}
                    >
                      The newest
                    </Button>
                  )}
                  {page.next && (
                    <Button onClick={() => setSearch({ ...Object.fromEntries(search), cursor: String(page.next) })}>
                      Older
                    </Button>
                  )}
                </div>
              </>
            )
          }
        </Loaded>
      </Card>
    </>
  );
}
