import { useMutation } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { useNavigate } from "react-router";
import { runs } from "../api/calls";
import type { DefinitionRow } from "../api/types";
import { Button, Input, inputLook } from "../parts/basics";
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
