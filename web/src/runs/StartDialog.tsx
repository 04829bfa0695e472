import { useMutation, useQuery } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { Link, useNavigate } from "react-router";
import { definitions as calls, runs } from "../api/calls";
import type { DefinitionRow } from "../api/types";
import { typeOf } from "../inbox/schema";
import { Button, buttonLook, Input, inputLook } from "../parts/basics";
import { Trouble } from "../parts/loading";
import { Dialog } from "../parts/overlays";

export default function StartDialog({ definitions, onClose }: { definitions: DefinitionRow[]; onClose: () => void }) {
  const [definition, setDefinition] = useState(definitions[0]?.definition ?? "");
  const [key, setKey] = useState("");
  const [input, setInput] = useState("{\n}");
  // One id for all attempts of this dialog: a second click starts nothing more.
  const id = useRef(crypto.randomUUID());
  const navigate = useNavigate();
  const start = useMutation({
    mutationFn: () => {
      let data: unknown;
      try {
        data = JSON.parse(input);
      } catch (error) {
        throw new Error(`The input is no JSON: ${(error as Error).message}. Correct it.`);
      }
      return runs.start({ definition, key, input: data }, id.current);
    },
    onSuccess: (asked) => void navigate(`/runs/${encodeURIComponent(asked.run)}`),
  });
  const row = definitions.find((one) => one.definition === definition);
  const version = useQuery({
    queryKey: ["definition", definition, row?.version],
    queryFn: () => calls.version(definition, row!.version),
    enabled: row !== undefined,
    staleTime: Infinity,
    retry: false,
  });
  const schema = version.data?.content.input;
  const fields = Object.entries(schema?.properties ?? {});
  if (definitions.length === 0)
    return (
      <Dialog open onClose={onClose} title="Start a run">
        <p className="mb-4">Nothing is published yet. A run is of a definition: publish one first.</p>
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Link to="/definitions" className={buttonLook("primary")}>
            Look at definitions
          </Link>
        </div>
      </Dialog>
    );
  return (
    <Dialog open onClose={onClose} title="Start a run">
      <form
        className="space-y-3"
        onSubmit={(event) => {
          event.preventDefault();
          start.mutate();
        }}
      >
        <label className="block">
          Definition
          <select
            className={`${inputLook} mt-1 w-full`}
            value={definition}
            onChange={(event) => setDefinition(event.target.value)}
          >
            {definitions.map((row) => (
              <option key={row.definition} value={row.definition}>
                {row.title ?? row.definition}
              </option>
            ))}
          </select>
        </label>
        <label className="block">
          Business key
          <Input required className="mt-1 w-full" value={key} onChange={(event) => setKey(event.target.value)} />
        </label>
        <label className="block">
          Input (JSON)
          <textarea
            rows={8}
            spellCheck={false}
            className="mt-1 w-full rounded-[8px] border border-line bg-card p-3 font-mono text-[12px]"
            value={input}
            onChange={(event) => setInput(event.target.value)}
          />
        </label>
        {fields.length > 0 && (
          <p className="text-[12px] break-words text-muted">
            It takes{" "}
            {fields
              .map(([name, one]) => `${name} (${typeOf(one)}${schema?.required?.includes(name) ? "" : ", optional"})`)
              .join(", ")}
            .
          </p>
        )}
        {version.data && !schema && (
          <p className="text-[12px] text-muted">
            It declares no input: give the data of the event that its first trigger takes.
          </p>
        )}
        {start.isError && <Trouble error={start.error} />}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" disabled={start.isPending}>
            Start
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
