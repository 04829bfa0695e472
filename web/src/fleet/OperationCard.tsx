import type { CatalogOperation, ServedOperation } from "../api/types";
import { A, Badge, Card, Facts, Json } from "../parts/basics";

export default function OperationCard({
  operation,
  served,
}: {
  operation: CatalogOperation;
  served?: ServedOperation | undefined;
}) {
  const here = served?.served_by.filter((one) => one.present).length ?? 0;
  return (
    <Card
      title={<span className="font-mono text-[13px] break-all">{operation.name}</span>}
      aside={
        served && (
          <Badge tone={here === 0 ? "bad" : served.health?.ok === false ? "warn" : "good"}>
            {here === 0
              ? "no worker"
              : served.health?.ok === false
                ? served.health.detail || "not well"
                : `${here} ${here === 1 ? "worker" : "workers"}`}
          </Badge>
        )
      }
    >
      {(operation.title ?? operation.description) && <p className="mb-3">{operation.title ?? operation.description}</p>}
      <Facts
        rows={[
          ["Lane", operation.lane],
          ["Timeout", operation.timeout],
          [
            "Errors",
            operation.errors.length === 0
              ? "none declared"
              : operation.errors.map((error) => `${error.id}${error.retryable ? "" : " (final)"}`).join(", "),
          ],
          [
            "Used by",
            operation.used_by.length === 0
              ? "nothing"
              : operation.used_by.map((name, index) => (
                  <span key={name}>
                    {index > 0 && ", "}
                    <A to={`/definitions/${name}`}>{name}</A>
                  </span>
                )),
          ],
        ]}
      />
      <details className="mt-3">
        <summary className="cursor-pointer text-muted">Input and output</summary>
        <div className="mt-2 grid gap-2 md:grid-cols-2">
          <Json value={operation.input} label="input schema" />
          <Json value={operation.output} label="output schema" />
        </div>
      </details>
    </Card>
  );
}
