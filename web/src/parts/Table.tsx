import type { ReactNode } from "react";
import { cx } from "./basics";
import { useMost } from "./More";

const MOST = 200; // rows that are drawn at first

export interface Column<Row> {
  id: string;
  title: ReactNode;
  cell: (row: Row) => ReactNode;
  className?: string;
  /** Of the header: how the column is sorted now. */
  sorted?: "ascending" | "descending" | "none";
}

export function Table<Row>({
  label,
  columns,
  rows,
  keyOf,
  isMarked,
}: {
  label: string;
  columns: Column<Row>[];
  rows: Row[];
  keyOf: (row: Row) => string;
  isMarked?: (row: Row) => boolean;
}) {
  const { shown, more } = useMost(rows, MOST);
  return (
    <>
      <div role="region" aria-label={label} tabIndex={0} className="overflow-x-auto rounded-[8px]">
        <table className="w-full border-collapse text-left">
          <thead>
            <tr className="border-b border-line">
              {columns.map((column) => (
                <th
                  key={column.id}
                  scope="col"
                  aria-sort={column.sorted}
                  className={cx(
                    "px-3 py-2 text-[12px] first:pl-4 last:pr-4 font-medium whitespace-nowrap text-muted",
                    column.className,
                  )}
                >
                  {column.title}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {shown.map((row) => (
              <tr
                key={keyOf(row)}
                className={cx(
                  "border-b border-line last:border-0 hover:bg-raised",
                  isMarked?.(row) && "bg-accent-soft",
                )}
              >
                {columns.map((column) => (
                  <td key={column.id} className={cx("px-3 py-2 align-top first:pl-4 last:pr-4", column.className)}>
                    {column.cell(row)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {more && <div className="border-t border-line">{more}</div>}
    </>
  );
}
