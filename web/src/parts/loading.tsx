import type { UseQueryResult } from "@tanstack/react-query";
import { Component, type ReactNode } from "react";
import { Problem } from "../api/client";
import { Button } from "./basics";

export function Trouble({ error, again }: { error: unknown; again?: () => void }) {
  const problem = error instanceof Problem ? error : null;
  return (
    <div role="alert" className="m-4 rounded-[8px] border border-line bg-bad-soft p-4 text-bad">
      <p className="font-medium">{error instanceof Error ? error.message : String(error)}</p>
      {problem && <p className="mt-1 font-mono text-[12px]">{problem.code}</p>}
      {again && (
        <Button className="mt-3" onClick={again}>
          Try again
        </Button>
      )}
    </div>
  );
}

export function Waiting({ lines = 4 }: { lines?: number }) {
  return (
    <div role="status" aria-label="Loading" className="animate-pulse space-y-3 p-4">
      {Array.from({ length: lines }, (_, index) => (
        <div key={index} className="h-4 rounded bg-raised" />
      ))}
    </div>
  );
}

/** What a question answered, its waiting, or its error. */
export function Loaded<Data>({
  query,
  children,
}: {
  query: UseQueryResult<Data>;
  children: (data: Data) => ReactNode;
}) {
  if (query.data !== undefined) return <>{children(query.data)}</>;
  if (query.isError) return <Trouble error={query.error} again={() => void query.refetch()} />;
  return <Waiting />;
}

/** Shows an error of a page in its place, and leaves the rest of the application alone. */
export class Boundary extends Component<{ children: ReactNode }, { error: unknown }> {
  state = { error: null as unknown };
  static getDerivedStateFromError(error: unknown) {
    return { error };
  }
  render() {
    if (this.state.error === null) return this.props.children;
    return <Trouble error={this.state.error} again={() => this.setState({ error: null })} />;
  }
}
