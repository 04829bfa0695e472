// The samples that come with Streamflow, as they are in the folder `definitions`. Loaded when one is asked for.

export interface Sample {
  name: string;
  title: string;
  description: string;
  definition: string;
  catalog: string;
  scenarios: string;
}

const files = import.meta.glob<string>("../../../definitions/*/{definition,catalog,scenarios}.yaml", {
  query: "?raw",
  import: "default",
  eager: true,
});

/** The text of a field at the beginning of a line; one that is folded (`>`) as one line. */
export function fieldOf(text: string, name: string): string {
  const found = new RegExp(`^${name}: *(>\\n((?: .*\\n?)+)|.*)`, "m").exec(text);
  const value = found?.[2] ?? found?.[1] ?? "";
  return value.trim().replace(/\s*\n\s*/g, " ");
}

function textOf(folder: string, file: string): string {
  return Object.entries(files).find(([path]) => path.endsWith(`/${folder}/${file}.yaml`))?.[1] ?? "";
}

/** All samples by name. */
export const SAMPLES: Sample[] = Object.keys(files)
  .filter((path) => path.endsWith("/definition.yaml"))
  .map((path) => {
    const folder = path.split("/").at(-2)!;
    const definition = textOf(folder, "definition");
    return {
      name: folder,
      title: fieldOf(definition, "title"),
      description: fieldOf(definition, "description"),
      definition,
      catalog: textOf(folder, "catalog"),
      scenarios: textOf(folder, "scenarios"),
    };
  })
  .sort((a, b) => (a.name < b.name ? -1 : 1));
