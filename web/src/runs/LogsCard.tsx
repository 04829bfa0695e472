import { useQuery } from "@tanstack/react-query";
import { runs } from "../api/calls";
import { useLive } from "../api/useLive";
import { Badge, Card, Empty, type Tone } from "../parts/basics";
import { Loaded } from "../parts/loading";
import { moment } from "../parts/words";

/** The other fields of a line; what is no JSON object stays one text. */
function fieldsOf(text: string): Record<string, unknown> {
  try {
    const found: unknown = JSON.parse(text);
    return typeof found === "object" && found !== null ? (found as Record<string, unknown>) : { fields: found };
  } catch {
    return { fields: text };
  }
}

const TONES: Record<string, Tone> = { error: "bad", critical: "bad", warning: "warn", info: "idle" };

export default function LogsCard({ run }: { run: string }) {
  const pause = useLive("logs", ["run", run, "logs"]);
  const query = useQuery({ queryKey: ["run", run, "logs"], queryFn: () => runs.logs(run), refetchInterval: pause });
  return (
    <Card title="Log" pad={false}>
      <Loaded query={query}>
        {(page) =>
          page.rows.length === 0 ? (
            <Empty title="No worker wrote anything about this run.">
              Lines appear here as they are written, and are kept for 30 days.
            </Empty>
          ) : (
            <ol
              tabIndex={0}
              aria-label="Log lines, oldest first"
              className="max-h-[560px] overflow-y-auto py-2 font-mono text-[12px]"
            >
              {page.rows.map((line) => (
                <li
                  key={`${line.seq}/${line.at_ms}/${line.event}`}
                  className="flex flex-wrap gap-x-3 px-4 py-0.5 hover:bg-raised"
                >
                  <span className="text-muted tabular-nums">{moment(line.at_ms, true).slice(11)}</span>
                  <Badge tone={TONES[line.level] ?? "idle"}>{line.level}</Badge>
                  <span className="text-muted">{line.role}</span>
                  <span className="font-semibold">{line.event}</span>
                  <span className="min-w-0 [overflow-wrap:anywhere] text-muted">
                    {Object.entries(fieldsOf(line.fields))
                      .map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`)
                      .join(" ")}
                  </span>
                </li>
              ))}
            </ol>
          )
        }
      </Loaded>
    </Card>
  );
}
