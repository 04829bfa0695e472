import { useState, type ReactNode } from "react";
import { Button } from "./basics";
import { number } from "./words";

/** The first of many rows, and a button that shows more of them: a browser is slow with ten thousand. */
export function useMost<Row>(rows: Row[], most: number): { shown: Row[]; more: ReactNode } {
  const [count, setCount] = useState(most);
  if (rows.length <= count) return { shown: rows, more: null };
  return {
    shown: rows.slice(0, count),
    more: (
      <div className="flex items-center gap-3 px-4 py-2 text-muted">
        <span className="grow">
          {number(count)} of {number(rows.length)} are shown.
        </span>
        <Button onClick={() => setCount(count + most)}>Show more</Button>
      </div>
    ),
  };
}
