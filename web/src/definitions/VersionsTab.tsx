import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { definitions } from "../api/calls";
import type { DefinitionHead } from "../api/types";
import { A, Badge, Card, cx, Empty, inputLook, Time } from "../parts/basics";
import { Loaded } from "../parts/loading";
import { Table } from "../parts/Table";

const TONE = { added: "good", removed: "bad", changed: "warn", moved: "accent" } as const;

/** The versions of a definition, and what changed from one to another. */
export default function VersionsTab({
  head,
  version,
  onVersion,
}: {
  head: DefinitionHead;
  version: string;
  onVersion: (version: string) => void;
}) {
  const before = head.rows[head.rows.findIndex((row) => row.version === version) + 1]?.version ?? "";
  const [from, setFrom] = useState<string | null>(null);
  const base = from ?? before;
  const diff = useQuery({
    queryKey: ["diff", head.definition, base, version],
    queryFn: () => definitions.diff(head.definition, base, version),
    enabled: base !== "" && base !== version,
  });
  return (
    <div className="grid items-start gap-4 lg:grid-cols-[minmax(300px,2fr)_3fr]">
      <Card title="Versions" pad={false} className="min-w-0">
        <Table
          label="Versions, newest first"
          rows={head.rows}
          keyOf={(row) => row.version}
          isMarked={(row) => row.version === version}
          columns={[
            {
              id: "version",
              title: "Version",
              cell: (row) => (
                <button type="button" className="text-accent hover:underline" onClick={() => onVersion(row.version)}>
                  {row.version}
                </button>
              ),
            },
            { id: "published", title: "Published", cell: (row) => <Time ms={row.published_ms} /> },
            {
              id: "open",
              title: "Open",
              cell: (row) => <A to={`/runs?definition=${head.definition}&version=${row.version}&status=open`}>runs</A>,
            },
            {
              id: "state",
              title: "State",
              cell: (row) => (
                <Badge tone={row.state === "starts runs" ? "good" : row.state === "retired" ? "warn" : "idle"}>
                  {row.state}
                </Badge>
              ),
            },
          ]}
        />
      </Card>
      <Card
        title={`What changed in ${version}`}
        className="min-w-0"
        aside={
          <label className="flex items-center gap-2 text-muted">
            since{" "}
            <select className={inputLook} value={base} onChange={(event) => setFrom(event.target.value)}>
              <option value="">–</option>
              {head.rows
                .filter((row) => row.version !== version)
                .map((row) => (
                  <option key={row.version}>{row.version}</option>
                ))}
            </select>
          </label>
        }
      >
        {base === "" ? (
          <Empty title="This is the first version." />
        ) : (
          <Loaded query={diff}>
            {(found) =>
              found.rows.length === 0 ? (
                <Empty title="Nothing changed." />
              ) : (
                <ul className="space-y-3">
                  {found.rows.map((row) => (
                    <li key={`${row.at}/${row.text}`} className="rounded-[8px] border border-line p-3">
                      <p className="flex flex-wrap items-center gap-2">
                        <Badge tone={TONE[row.kind]}>{row.kind}</Badge>
                        <span className="font-mono text-[12px] text-muted">{row.at}</span>
                      </p>
                      <p className="mt-1 break-words">{coded(row.text)}</p>
                      <div className="mt-2 grid gap-2 sm:grid-cols-2">
                        {row.before !== null && row.before !== undefined && (
                          <Side value={row.before} className="bg-bad-soft" label="before" />
                        )}
                        {row.after !== null && row.after !== undefined && (
                          <Side value={row.after} className="bg-good-soft" label="after" />
                        )}
                      </div>
                    </li>
                  ))}
                </ul>
              )
            }
          </Loaded>
        )}
      </Card>
    </div>
  );
}

/** A sentence whose names and values are in backticks. */
function coded(text: string) {
  return text.split("`").map((part, index) =>
    index % 2 === 0 ? (
      part
    ) : (
      <code key={index} className="font-mono text-[13px]">
        {part}
      </code>
    ),
  );
}

function Side({ value, className, label }: { value: unknown; className: string; label: string }) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  return (
    <pre
      tabIndex={0}
      aria-label={label}
      className={cx(
        "max-h-60 overflow-auto rounded-[8px] p-2 font-mono text-[12px] whitespace-pre-wrap break-words",
        className,
      )}
    >
      {text}
    </pre>
  );
}
