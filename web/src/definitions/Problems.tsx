import { useEffect, useState } from "react";
import type { Checked, FoundProblem } from "../api/types";
import { Badge, Card, Empty } from "../parts/basics";

const PAUSE_MS = 500;

/** `value` as it was half a second ago: what is typed is not asked about letter by letter. */
export function useLater<Value>(value: Value): Value {
  const [later, setLater] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setLater(value), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [value]);
  return later;
}

/** What a check found, to go to by a click. */
export function Problems({
  found,
  isCurrent,
  onGo,
}: {
  found: Checked;
  isCurrent: boolean; // false: the text has changed since
  onGo: (problem: FoundProblem) => void;
}) {
  return (
    <Card
      title="Check"
      pad={false}
      aside={
        isCurrent ? (
          <Badge tone={found.ok ? "good" : "bad"}>{found.ok ? "nothing is wrong" : "not ready"}</Badge>
        ) : (
          <Badge>checking</Badge>
        )
      }
    >
      {found.problems.length === 0 ? (
        <Empty title={`${found.name}@${found.version} can be published.`}>
          <span className="font-mono text-[12px] break-all">{found.hash}</span>
        </Empty>
      ) : (
        <ul className="max-h-[60vh] overflow-y-auto" tabIndex={0} aria-label="Problems">
          {found.problems.map((one, index) => (
            <li key={index} className="border-b border-line last:border-0">
              <button
                type="button"
                onClick={() => onGo(one)}
                className="block w-full px-4 py-2.5 text-left hover:bg-raised"
              >
                <span className="flex flex-wrap items-center gap-2">
                  <Badge tone={one.severity === "error" ? "bad" : "warn"}>{one.severity}</Badge>
                  <span className="font-mono text-[12px] text-muted">
                    {one.part}
                    {one.line !== null && `:${one.line}:${one.column}`}
                  </span>
                </span>
                <span className="mt-1 block break-words">{one.message}</span>
                {one.fix && <span className="block break-words text-muted">{one.fix}</span>}
              </button>
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}
