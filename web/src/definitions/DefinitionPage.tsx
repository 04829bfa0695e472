import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Archive, Download, Pencil } from "lucide-react";
import { lazy, Suspense, useState } from "react";
import { Link, useParams, useSearchParams } from "react-router";
import { definitions } from "../api/calls";
import { Button, buttonLook, Card, inputLook, PageHead } from "../parts/basics";
import { Loaded, Trouble, Waiting } from "../parts/loading";
import { Dialog, Tabs } from "../parts/overlays";
import { useTitle } from "../parts/title";
import { useMay } from "../shell/me";

const Overview = lazy(() => import("./OverviewTab"));
const Versions = lazy(() => import("./VersionsTab"));
const Yaml = lazy(() => import("./Yaml"));

function Retire({ name, version, onClose }: { name: string; version: string; onClose: () => void }) {
  const client = useQueryClient();
  const retire = useMutation({
    mutationFn: () => definitions.retire(name, version),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: ["definition", name] });
      await client.invalidateQueries({ queryKey: ["definitions"] });
      onClose();
    },
  });
  return (
    <Dialog open onClose={onClose} title={`Retire ${name}@${version}`}>
      <p>No new run starts on this version. Its open runs go on.</p>
      {retire.isError && <Trouble error={retire.error} />}
      <div className="mt-4 flex justify-end gap-2">
        <Button onClick={onClose}>Cancel</Button>
        <Button look="primary" disabled={retire.isPending} onClick={() => retire.mutate()}>
          Retire
        </Button>
      </div>
    </Dialog>
  );
}

function download(name: string, text: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/yaml" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 0);
}

export default function DefinitionPage() {
  const { name = "" } = useParams();
  const [search, setSearch] = useSearchParams();
  const head = useQuery({ queryKey: ["definition", name], queryFn: () => definitions.get(name) });
  const version = search.get("version") ?? head.data?.version ?? "";
  const query = useQuery({
    queryKey: ["definition", name, version],
    queryFn: () => definitions.version(name, version),
    enabled: version !== "",
    staleTime: Infinity,
  });
  useTitle(head.data && (head.data.title || name));
  const tab = search.get("tab") ?? "diagram";
  const mayPublish = useMay("definitions:publish", name);
  const mayRetire = useMay("definitions:retire", name);
  const [isRetiring, setRetiring] = useState(false);
  const set = (field: string, value: string) =>
    setSearch(
      (now) => {
        const next = new URLSearchParams(now);
        next.set(field, value);
        return next;
      },
      { replace: true },
    );
  return (
    <Loaded query={head}>
      {(found) => (
        <>
          <PageHead
            title={found.title ?? found.definition}
            sub={
              <>
                {found.definition}@{version}
                {query.data?.content.description && (
                  <span className="mt-1 block max-w-3xl">{query.data.content.description}</span>
                )}
              </>
            }
          >
            <select
              aria-label="Version"
              className={inputLook}
              value={version}
              onChange={(event) => set("version", event.target.value)}
            >
              {found.rows.map((row) => (
                <option key={row.version} value={row.version}>
                  version {row.version}
                </option>
              ))}
            </select>
            <Button
              disabled={!query.data}
              onClick={() => query.data && download(`${name}-${version}.yaml`, query.data.yaml)}
            >
              <Download size={15} aria-hidden /> Export
            </Button>
            {mayPublish && (
              <Link className={buttonLook()} to={`/definitions/new?from=${encodeURIComponent(`${name}@${version}`)}`}>
                <Pencil size={15} aria-hidden /> Edit
              </Link>
            )}
            {mayRetire && query.data?.retired === false && (
              <Button look="danger" onClick={() => setRetiring(true)}>
                <Archive size={15} aria-hidden /> Retire
              </Button>
            )}
          </PageHead>
          <Tabs
            label="Parts of the definition"
            value={tab}
            onChange={(next) => set("tab", next)}
            tabs={[
              {
                id: "diagram",
                title: "Diagram",
                content: (
                  <Loaded query={query}>
                    {(one) => (
                      <Suspense fallback={<Waiting lines={8} />}>
                        <Overview key={one.sha} found={one} />
                      </Suspense>
                    )}
                  </Loaded>
                ),
              },
              {
                id: "yaml",
                title: "YAML",
                content: (
                  <Loaded query={query}>
                    {(one) => (
                      <Card pad={false}>
                        <Suspense fallback={<Waiting lines={8} />}>
                          <Yaml text={one.yaml} />
                        </Suspense>
                      </Card>
                    )}
                  </Loaded>
                ),
              },
              {
                id: "versions",
                title: `Versions (${found.rows.length})`,
                content: (
                  <Suspense fallback={<Waiting lines={8} />}>
                    <Versions key={version} head={found} version={version} onVersion={(next) => set("version", next)} />
                  </Suspense>
                ),
              },
            ]}
          />
          {isRetiring && <Retire name={name} version={version} onClose={() => setRetiring(false)} />}
        </>
      )}
    </Loaded>
  );
}
