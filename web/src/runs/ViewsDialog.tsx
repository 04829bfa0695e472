import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { access } from "../api/calls";
import type { View } from "../api/types";
import { Button, Input } from "../parts/basics";
import { Trouble } from "../parts/loading";
import { Dialog } from "../parts/overlays";

const idOf = (name: string): string =>
  name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, 40) || "view";

/** Keeps the filter that is shown as a view, and gives views up. */
export default function ViewsDialog({ views, query, onClose }: { views: View[]; query: string; onClose: () => void }) {
  const client = useQueryClient();
  const [name, setName] = useState("");
  const change = useMutation({
    mutationFn: (act: () => Promise<unknown>) => act(),
    onSuccess: () => client.invalidateQueries({ queryKey: ["views"] }),
  });
  const isKnown = views.some((view) => view.id === idOf(name.trim()));
  return (
    <Dialog open onClose={onClose} title="Views">
      <form
        className="space-y-3"
        onSubmit={(event) => {
          event.preventDefault();
          const view = { id: idOf(name.trim()), name: name.trim(), page: "runs", query };
          change.mutate(() => access.saveView(view), { onSuccess: onClose });
        }}
      >
        <p className="text-muted">A view keeps the filters and the order of this list, for you alone.</p>
        <label className="block">
          Name of this view
          <Input
            required
            maxLength={100}
            className="mt-1 w-full"
            value={name}
            onChange={(event) => setName(event.target.value)}
          />
        </label>
        {isKnown && <p className="text-warn">You have a view of this name. It is replaced.</p>}
        {change.isError && <Trouble error={change.error} />}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" disabled={!name.trim() || change.isPending}>
            Save
          </Button>
        </div>
      </form>
      {views.length > 0 && (
        <ul aria-label="Saved views" className="mt-4 border-t border-line pt-2">
          {views.map((view) => (
            <li key={view.id} className="flex items-center gap-2 py-1">
              <span className="min-w-0 grow [overflow-wrap:anywhere]">{view.name}</span>
              <Button
                look="danger"
                aria-label={`Remove ${view.name}`}
                disabled={change.isPending}
                onClick={() => change.mutate(() => access.dropView(view.id))}
              >
                Remove
              </Button>
            </li>
          ))}
        </ul>
      )}
    </Dialog>
  );
}
