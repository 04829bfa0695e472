import { useQuery } from "@tanstack/react-query";
import { LayoutTemplate, MessagesSquare, Plus } from "lucide-react";
import { lazy, Suspense, useState } from "react";
import { Link } from "react-router";
import { definitions } from "../api/calls";
import { A, Badge, Button, buttonLook, Card, Empty, Input, PageHead, Time } from "../parts/basics";
import { Loaded } from "../parts/loading";
import { Table } from "../parts/Table";
import { useMay } from "../shell/me";

const SampleDialog = lazy(() => import("./SampleDialog"));

const ASK_MS = 10_000; // no channel tells of publications

export default function DefinitionsPage() {
  const query = useQuery({ queryKey: ["definitions"], queryFn: definitions.list, refetchInterval: ASK_MS });
  const mayPublish = useMay("definitions:publish");
  const mayAuthor = useMay("authoring:edit");
  const [text, setText] = useState("");
  const [isChoosing, setChoosing] = useState(false);
  return (
    <>
      <PageHead title="Definitions">
        <Input
          aria-label="Search definitions"
          placeholder="Search"
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
        {mayPublish && (
          <>
            <Button onClick={() => setChoosing(true)}>
              <LayoutTemplate size={15} aria-hidden /> From a sample
            </Button>
            <Link to="/definitions/new" className={buttonLook("primary")}>
              <Plus size={15} aria-hidden /> New definition
            </Link>
          </>
        )}
      </PageHead>
      <Card pad={false}>
        <Loaded query={query}>
          {(page) => {
            const wanted = text.toLowerCase();
            const rows = page.rows.filter((row) =>
              `${row.definition} ${row.title ?? ""}`.toLowerCase().includes(wanted),
            );
            if (rows.length === 0)
              return (
                <Empty title={text ? "No definition has this name." : "Nothing is published yet."}>
                  {text ? (
                    <Button className="mt-2" onClick={() => setText("")}>
                      Show all definitions
                    </Button>
                  ) : (
                    <>
                      <p>A definition says what a run does. Say it in plain English, or begin with a sample.</p>
                      <div className="mt-3 flex flex-wrap justify-center gap-2">
                        {mayAuthor && (
                          <Link to="/authoring" className={buttonLook("primary")}>
                            <MessagesSquare size={15} aria-hidden /> In plain English
                          </Link>
                        )}
                        {mayPublish && (
                          <Button onClick={() => setChoosing(true)}>
                            <LayoutTemplate size={15} aria-hidden /> With a sample
                          </Button>
                        )}
                      </div>
                    </>
                  )}
                </Empty>
              );
            return (
              <Table
                label="Definitions"
                rows={rows}
                keyOf={(row) => row.definition}
                columns={[
                  {
                    id: "name",
                    title: "Name",
                    cell: (row) => (
                      <>
                        <A to={`/definitions/${row.definition}`} className="font-medium [overflow-wrap:anywhere]">
                          {row.definition}
                        </A>
                        <span className="block text-muted">{row.title}</span>
                      </>
                    ),
                  },
                  {
                    id: "version",
                    title: "Version",
                    cell: (row) => (
                      <span className="inline-flex gap-2">
                        {row.version}
                        {row.retired && <Badge>retired</Badge>}
                      </span>
                    ),
                  },
                  { id: "versions", title: "Versions", className: "hidden md:table-cell", cell: (row) => row.versions },
                  {
                    id: "runs",
                    title: "Runs",
                    cell: (row) => (
                      <span className="inline-flex flex-wrap gap-x-3">
                        <A
                          to={`/runs?definition=${row.definition}&status=open`}
                          className="inline-block leading-[24px]"
                        >
                          open
                        </A>
                        <A
                          to={`/runs?definition=${row.definition}&status=parked`}
                          className="inline-block leading-[24px]"
                        >
                          parked
                        </A>
                        <A
                          to={`/runs?definition=${row.definition}&status=failed`}
                          className="inline-block leading-[24px]"
                        >
                          failed
                        </A>
                      </span>
                    ),
                  },
                  {
                    id: "published",
                    title: "Published",
                    className: "hidden sm:table-cell",
                    cell: (row) => <Time ms={row.published_ms} />,
                  },
                ]}
              />
            );
          }}
        </Loaded>
      </Card>
      <Suspense>{isChoosing && <SampleDialog onClose={() => setChoosing(false)} />}</Suspense>
    </>
  );
}
