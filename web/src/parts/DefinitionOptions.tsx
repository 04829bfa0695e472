import { memo } from "react";
import type { DefinitionRow } from "../api/types";

/** The names of definitions, for a select. Drawn again only when there are others. */
export const DefinitionOptions = memo(function DefinitionOptions({ rows }: { rows: DefinitionRow[] | undefined }) {
  return rows?.map((row) => <option key={row.definition}>{row.definition}</option>);
});
