import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { FlaskConical, Upload } from "lucide-react";
import { lazy, Suspense, useState } from "react";
import { Link, useSearchParams } from "react-router";
import { definitions } from "../api/calls";
import type { Checked } from "../api/types";
import { A, Badge, Button, Card, Empty, PageHead } from "../parts/basics";
import { forgetOne, useKept } from "../parts/kept";
import { Loaded, Trouble, Waiting } from "../parts/loading";
import { Dialog, Tabs } from "../parts/overlays";
import { useMay } from "../shell/me";
import { Problems, useLater } from "./Problems";
import type { Place } from "./Yaml";

const Yaml = lazy(() => import("./Yaml"));

const START = `streamflow: "1"
name: refund
version: "1"
title: Refund
input: {type: object, required: [amount], properties: {amount: {type: integer}}}
runs: many
steps:
  - id: decide
    approval:
      text: "'Refund ' + string(trigger.amount) + '?'"
      who: [finance]
      forever: true
  - id: pay
    needs: [decide.approved]
    print: {text: "'Pay ' + string(trigger.amount) + ' back'"}
`;

type Part = "definition" | "catalog" | "scenarios";
type Texts = Record<Part, string>;
const PARTS: Part[] = ["definition", "catalog", "scenarios"];

function PublishDialog({
  checked,
  texts: { definition, catalog, scenarios },
  onDone,
  onClose,
}: {
  checked: Checked;
  texts: Texts;
  onDone: () => void; // it is published
  onClose: () => void;
}) {
  const client = useQueryClient();
  const [creates, setCreates] = useState(true);
  const [changes, setChanges] = useState(false);
  const publish = useMutation({
    mutationFn: () =>
      definitions.publish({
        definition,
        catalog: catalog || undefined,
        scenarios: scenarios.trim() ? scenarios : undefined,
        hash: checked.hash, // what was checked is what is published
        create_topics: creates,
        change_events: changes,
      }),
    onSuccess: () => {
      onDone();
      return client.invalidateQueries({ queryKey: ["definitions"] });
    },
  });
  return (
    <Dialog open onClose={onClose} title={`Publish ${checked.name}@${checked.version}`}>
      {publish.data ? (
        <div className="space-y-3">
          <p role="status">
            {publish.data.already ? "It was published already." : "It is published: matching events start runs of it."}
          </p>
          {publish.data.warnings.map((warning) => (
            <p key={warning} className="rounded-[8px] bg-warn-soft p-3 text-warn">
              {warning}
            </p>
          ))}
          <div className="flex justify-end gap-2">
            <Button onClick={onClose}>Close</Button>
            <Link
              to={`/definitions/${checked.name}?version=${checked.version}`}
              className="inline-flex h-9 items-center rounded-[8px] bg-brand px-3 font-medium text-white"
            >
              Look at it
            </Link>
          </div>
        </div>
      ) : (
        <form
          className="space-y-3"
          onSubmit={(event) => {
            event.preventDefault();
            publish.mutate();
          }}
        >
          <p>A version is published once and for all. Matching events start runs of it from now on.</p>
          <label className="flex items-center gap-2">
            <input type="checkbox" checked={creates} onChange={(event) => setCreates(event.target.checked)} /> create
            topics that are missing
          </label>
          <label className="flex items-center gap-2">
            <input type="checkbox" checked={changes} onChange={(event) => setChanges(event.target.checked)} /> also
            change events that other definitions name
          </label>
          {publish.isError && <Trouble error={publish.error} />}
          <div className="flex justify-end gap-2">
            <Button onClick={onClose}>Cancel</Button>
            <Button type="submit" look="primary" disabled={publish.isPending}>
              Publish
            </Button>
          </div>
        </form>
      )}
    </Dialog>
  );
}

function Editor({ start, name }: { start: Texts; name: string }) {
  const [kept, keep] = useKept<Texts>(`editor/${name}`);
  const [round, setRound] = useState(0); // of editors, which begin again with another text
  const texts = kept ?? start;
  const [part, setPart] = useState<Part>("definition");
  const [place, setPlace] = useState<Place | null>(null);
  const [isPublishing, setPublishing] = useState(false);
  const { definition, catalog } = texts;
  const later = useLater(texts);
  const check = useQuery({
    queryKey: ["check", later.definition, later.catalog],
    queryFn: ({ signal }) =>
      definitions.check({ definition: later.definition, catalog: later.catalog || undefined }, signal),
    placeholderData: keepPreviousData,
    retry: false,
  });
  const isCurrent = later.definition === definition && later.catalog === catalog && !check.isPlaceholderData;
  const mayPublish = useMay("definitions:publish", check.data?.name);
  const play = useMutation({
    mutationFn: () => definitions.simulate({ definition, catalog: catalog || undefined, scenarios: texts.scenarios }),
  });
  const editor = (name: Part, label: string) => (
    <Card pad={false}>
      <Suspense fallback={<Waiting lines={8} />}>
        <Yaml
          key={round}
          text={texts[name]}
          label={label}
          place={place}
          onChange={(text) => {
            const next = { ...texts, [name]: text };
            keep(PARTS.every((one) => next[one] === start[one]) ? null : next);
          }}
        />
      </Suspense>
    </Card>
  );
  return (
    <>
      <PageHead
        title="Write a definition"
        sub="It is checked as you write. Until it is published this tab alone keeps it."
      >
        {kept && (
          <Button
            onClick={() => {
              keep(null);
              setRound(round + 1);
            }}
          >
            Discard changes
          </Button>
        )}
        <Button disabled={!texts.scenarios.trim() || play.isPending} onClick={() => play.mutate()}>
          <FlaskConical size={15} aria-hidden /> Play the scenarios
        </Button>
        {mayPublish && (
          <Button look="primary" disabled={!isCurrent || !check.data?.ok} onClick={() => setPublishing(true)}>
            <Upload size={15} aria-hidden /> Publish
          </Button>
        )}
      </PageHead>
      <div className="grid items-start gap-4 xl:grid-cols-[1fr_400px]">
        <div className="min-w-0">
          <Tabs
            label="Parts"
            value={part}
            onChange={(next) => {
              setPlace(null);
              setPart(next as Part);
            }}
            tabs={[
              { id: "definition", title: "Definition", content: editor("definition", "Definition, YAML") },
              { id: "catalog", title: "Catalog", content: editor("catalog", "Catalog, YAML") },
              { id: "scenarios", title: "Scenarios", content: editor("scenarios", "Scenarios, YAML") },
            ]}
          />
        </div>
        <div aria-busy={!isCurrent} className="min-w-0 space-y-4">
          <Loaded query={check}>
            {(found) => (
              <Problems
                found={found}
                isCurrent={isCurrent}
                onGo={(problem) => {
                  if (problem.part === "definition" || problem.part === "catalog") setPart(problem.part);
                  setPlace(problem.line === null ? null : { line: problem.line, column: problem.column ?? 1 });
                }}
              />
            )}
          </Loaded>
          {play.isError && <Trouble error={play.error} />}
          {play.data && (
            <Card
              title="Scenarios"
              aside={<Badge tone={play.data.ok ? "good" : "bad"}>{play.data.ok ? "passed" : "failed"}</Badge>}
            >
              <ul className="space-y-2">
                {play.data.scenarios.map((one) => (
                  <li key={one.name}>
                    <Badge tone={one.ok ? "good" : "bad"}>{one.ok ? "passed" : "failed"}</Badge> {one.name}
                    {one.differences.map((each, index) => (
                      <span key={index} className="block break-words text-muted">
                        {typeof each === "string" ? each : JSON.stringify(each)}
                      </span>
                    ))}
                  </li>
                ))}
              </ul>
              {play.data.untaken.length > 0 && (
                <p className="mt-3 text-muted">
                  Ways that no scenario took:{" "}
                  {play.data.untaken.map((each) => (typeof each === "string" ? each : JSON.stringify(each))).join(", ")}
                </p>
              )}
            </Card>
          )}
        </div>
      </div>
      {isPublishing && check.data && (
        <PublishDialog
          checked={check.data}
          texts={texts}
          onDone={() => forgetOne(`editor/${name}`)}
          onClose={() => setPublishing(false)}
        />
      )}
    </>
  );
}

/** A definition as YAML, from a published version, from a sample or from the beginning. */
export default function EditorPage() {
  const [search] = useSearchParams();
  const from = search.get("from") ?? "";
  const [name, version] = from.split("@") as [string, string?];
  const query = useQuery({
    queryKey: ["definition", name, version],
    queryFn: () => definitions.version(name, version ?? ""),
    enabled: from !== "",
    staleTime: Infinity,
  });
  const sample = search.get("sample") ?? "";
  const samples = useQuery({
    queryKey: ["samples"],
    queryFn: async () => (await import("./samples")).SAMPLES,
    enabled: sample !== "",
    staleTime: Infinity,
  });
  if (sample !== "")
    return (
      <Loaded query={samples}>
        {(found) => {
          const one = found.find((each) => each.name === sample);
          if (!one)
            return (
              <Card>
                <Empty title="There is no sample of this name.">
                  <A to="/definitions" className="underline">
                    Choose one of the samples
                  </A>
                </Empty>
              </Card>
            );
          return <Editor key={one.name} name={`sample ${one.name}`} start={one} />;
        }}
      </Loaded>
    );
  const only = (definition: string) => ({ definition, catalog: "", scenarios: "" });
  if (from === "") return <Editor name="new" start={only(START)} />;
  return <Loaded query={query}>{(found) => <Editor key={found.sha} name={from} start={only(found.yaml)} />}</Loaded>;
}
