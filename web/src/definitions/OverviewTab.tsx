import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { useSearchParams } from "react-router";
import { definitions } from "../api/calls";
import type { Coverage, DefinitionVersion } from "../api/types";
import Diagram from "../graph/Diagram";
import { coverageOf, type Cover } from "../graph/coverage";
import { graphOf, heatOf, pathOf, stepsOf } from "../graph/outline";
import { A, Badge, Card, cx, Empty, Facts, Json, Time } from "../parts/basics";
import { Loaded } from "../parts/loading";

type Shown = "" | "traffic" | "scenarios";

/** The kept scenarios, each played, and what none of them reaches. */
function Scenarios({
  found,
  cover,
  chosen,
  onChoose,
}: {
  found: Coverage;
  cover: Cover;
  chosen: number | null;
  onChoose: (scenario: number | null) => void;
}) {
  if (found.rows.length === 0)
    return (
      <Empty title="No scenarios were published with this version.">
        Publish them with it, in the editor or with streamflow definitions publish.
      </Empty>
    );
  const wrong = found.rows.filter((row) => !row.ok).length;
  return (
    <div className="space-y-3">
      <p role="status">
        They reach {cover.steps.reached} of {cover.steps.all} steps and {cover.branches.reached} of {cover.branches.all}{" "}
        branches.{wrong > 0 && <span className="text-bad"> {wrong} go otherwise than expected.</span>}
      </p>
      {found.untaken.length > 0 && (
        <p className="text-warn">
          Not reached: <span className="font-mono text-[12px] break-words">{found.untaken.join(", ")}</span>
        </p>
      )}
      <ul aria-label="Scenarios" className="space-y-1">
        {found.rows.map((row, index) => (
          <li key={row.name}>
            <button
              type="button"
              aria-pressed={chosen === index}
              onClick={() => onChoose(chosen === index ? null : index)}
              className={cx(
                "flex w-full items-center gap-2 rounded-[8px] border px-3 py-1.5 text-left hover:bg-raised",
                chosen === index ? "border-[var(--fill-accent)]" : "border-line",
              )}
            >
              <span className="min-w-0 grow break-words">{row.name}</span>
              <Badge tone={row.ok ? "good" : "bad"}>{row.ok ? "as expected" : "different"}</Badge>
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}

/** A version as a diagram, with the traffic on its branches or with what its scenarios reach, and in words. */
export default function OverviewTab({ found }: { found: DefinitionVersion }) {
  const [search, setSearch] = useSearchParams();
  // A state of its own: a navigation takes longer than a tick may, and replaces the place in the history.
  const [shown, setShown] = useState((search.get("show") ?? "") as Shown);
  const [chosen, setChosen] = useState<string | null>(null);
  const [scenario, setScenario] = useState<number | null>(null);
  const traffic = useQuery({
    queryKey: ["traffic", found.definition, found.version],
    queryFn: () => definitions.traffic(found.definition, found.version),
    enabled: shown === "traffic",
  });
  const played = useQuery({
    queryKey: ["scenarios", found.definition, found.version],
    queryFn: () => definitions.scenarios(found.definition, found.version),
    enabled: shown === "scenarios",
  });
  const graph = useMemo(() => graphOf(found.content), [found.content]);
  const heat = useMemo(
    () => (shown === "traffic" && traffic.data ? heatOf(graph, traffic.data.rows) : undefined),
    [graph, shown, traffic.data],
  );
  const rows = shown === "scenarios" ? played.data?.rows : undefined;
  const cover = useMemo(
    () =>
      rows && rows.length > 0
        ? coverageOf(
            graph,
            rows.flatMap((row) => row.paths),
          )
        : undefined,
    [graph, rows],
  );
  const walked = scenario === null ? undefined : rows?.[scenario]?.paths[0];
  const path = useMemo(() => walked && pathOf(graph, stepsOf(walked)), [graph, walked]);
  const step = found.content.steps.find((each) => each.id === chosen);
  const toggle = (name: Shown) => {
    const next = shown === name ? "" : name;
    setShown(next);
    setSearch(
      (now) => {
        const changed = new URLSearchParams(now);
        if (next) changed.set("show", next);
        else changed.delete("show");
        return changed;
      },
      { replace: true },
    );
    setScenario(null);
  };
  return (
    <div className="grid gap-4 xl:grid-cols-[1fr_380px]">
      <Card
        title="Diagram"
        pad={false}
        className="min-w-0"
        aside={
          <div className="flex flex-wrap gap-x-4 gap-y-1 text-muted">
            <label className="flex items-center gap-2">
              <input type="checkbox" checked={shown === "traffic"} onChange={() => toggle("traffic")} /> traffic of
              every branch
            </label>
            <label className="flex items-center gap-2">
              <input type="checkbox" checked={shown === "scenarios"} onChange={() => toggle("scenarios")} /> what
              scenarios reach
            </label>
          </div>
        }
      >
        <Diagram
          graph={graph}
          heat={heat}
          path={path}
          cover={path ? undefined : cover}
          chosen={chosen}
          onChoose={setChosen}
        />
      </Card>
      <div className="min-w-0 space-y-4">
        {shown === "scenarios" && (
          <Card title="Scenarios">
            <Loaded query={played}>
              {(one) => (
                <Scenarios
                  found={one}
                  cover={cover ?? coverageOf(graph, [])}
                  chosen={scenario}
                  onChoose={setScenario}
                />
              )}
            </Loaded>
          </Card>
        )}
        {step && (
          <Card
            title={`Step ${step.id}`}
            aside={<A to={`/runs?definition=${found.definition}&parked_step=${step.id}`}>parked here</A>}
          >
            <Json value={step} label="step" />
          </Card>
        )}
        <Card title="In words">
          <pre
            tabIndex={0}
            aria-label="The definition in words"
            className="max-h-[560px] overflow-auto font-mono text-[12px] leading-5"
          >
            {found.english.join("\n")}
          </pre>
        </Card>
        <Card title="Content">
          <Facts
            rows={[
              ["Published", <Time key="p" ms={found.published_ms} />],
              [
                "sha256",
                <span key="s" className="font-mono text-[12px] break-all">
                  {found.sha}
                </span>,
              ],
            ]}
          />
        </Card>
      </div>
    </div>
  );
}
