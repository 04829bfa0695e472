import type { UseQueryResult } from "@tanstack/react-query";
import { Component, type ReactNode } from "react";
import { Problem } from "../api/client";
import { Button } from "./basics";
import { moment } from "./words";

/** An error with its code. `again` tries once more, `onClose` takes the message away. */
export function Trouble({ error, again, onClose }: { error: unknown; again?: () => void; onClose?: () => void }) {
  const problem = error instanceof Problem ? error : null;
  const isOld = isOfOldPages(error);
  return (
    <div role="alert" className="m-4 rounded-[8px] border border-line bg-bad-soft p-4 text-bad">
      <p className="font-medium break-words">
        {isOld
          ? "A part of this page could not be loaded: the server was updated, or does not answer. Load the page again."
          : error instanceof Error
            ? error.message
            : String(error)}
      </p>
      {problem && <p className="mt-1 font-mono text-[12px] break-words">{problem.code}</p>}
      {(again ?? onClose) && (
        <div className="mt-3 flex flex-wrap gap-2">
          {again && (
            <Button onClick={isOld ? () => location.reload() : again}>{isOld ? "Load again" : "Try again"}</Button>
          )}
          {onClose && <Button onClick={onClose}>Close</Button>}
        </div>
      )}
    </div>
  );
}

/** Whether a part of the application was not found, as after another version came to the server. */
function isOfOldPages(error: unknown): boolean {
  return error instanceof Error && /dynamically imported module|module script|preload CSS/i.test(error.message);
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

/** Above what is shown, that it is old. That nothing answers at all is said at the top of every page. */
function Old({ error, since_ms }: { error: Error; since_ms: number }) {
  if (!(error instanceof Problem) || error.code === "unreachable") return null;
  return (
    <p role="alert" className="border-b border-line bg-warn-soft px-4 py-2 break-words text-warn">
      This is what was known at {moment(since_ms).slice(11)}. {error.message}{" "}
      <span className="font-mono text-[12px]">{error.code}</span>
    </p>
  );
}

/** What a question answered, its waiting, or its error. What was answered before an error stays, and is said to be
 * old. */
export function Loaded<Data>({
  query,
  children,
}: {
  query: UseQueryResult<Data>;
  children: (data: Data) => ReactNode;
}) {
  if (query.data !== undefined)
    return (
      <>
        {query.isError && <Old error={query.error} since_ms={query.dataUpdatedAt} />}
        {children(query.data)}
      </>
    );
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
