import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { access } from "../api/calls";
import type { NotificationKind, OwnNotifications } from "../api/types";
import { Button, Card, Empty, Input, inputLook } from "../parts/basics";
import { Loaded, Trouble } from "../parts/loading";

const KINDS: Record<NotificationKind, string> = {
  approval: "An approval waits for me",
  parked: "A step is parked",
  dead_letter: "There is a dead letter",
  partition: "Nothing works on a partition",
};

function Choice({ found }: { found: OwnNotifications }) {
  const client = useQueryClient();
  const now = found.subscription;
  const [target, setTarget] = useState(now?.target ?? found.targets[0] ?? "");
  const [kinds, setKinds] = useState<NotificationKind[]>(now?.kinds ?? ["approval"]);
  const [definitions, setDefinitions] = useState((now?.definitions ?? []).join(" "));
  const [said, setSaid] = useState("");
  const done = (words: string) => ({
    onMutate: () => setSaid(""),
    onSuccess: async () => {
      setSaid(words);
      await client.invalidateQueries({ queryKey: ["notifications"] });
    },
  });
  const save = useMutation({
    mutationFn: () => access.subscribe({ target, kinds, definitions: definitions.split(/\s+/).filter(Boolean) }),
    ...done("Saved"),
  });
  const end = useMutation({ mutationFn: access.unsubscribe, ...done("Ended") });
  const isGone = target !== "" && !found.targets.includes(target);
  const turn = (kind: NotificationKind, isOn: boolean) =>
    setKinds(found.kinds.filter((each) => (each === kind ? isOn : kinds.includes(each))));
  return (
    <form
      className="max-w-xl space-y-3"
      onSubmit={(event) => {
        event.preventDefault();
        save.mutate();
      }}
    >
      <fieldset className="space-y-1">
        <legend className="mb-1">Notify me when</legend>
        {found.kinds.map((kind) => (
          <label key={kind} className="flex items-center gap-2">
            <input
              type="checkbox"
              checked={kinds.includes(kind)}
              onChange={(event) => turn(kind, event.target.checked)}
            />
            {KINDS[kind]}
          </label>
        ))}
      </fieldset>
      <label className="block">
        Where
        <select
          required
          className={`${inputLook} mt-1 w-full`}
          value={target}
          onChange={(event) => setTarget(event.target.value)}
        >
          {isGone && <option value={target}>{target} (not usable any more)</option>}
          {found.targets.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </label>
      <label className="block">
        Only for these definitions
        <Input
          className="mt-1 w-full"
          placeholder="all, or names such as order-*"
          value={definitions}
          onChange={(event) => setDefinitions(event.target.value)}
        />
      </label>
      {(save.isError || end.isError) && <Trouble error={save.error ?? end.error} />}
      <div className="flex items-center gap-2">
        <Button type="submit" look="primary" disabled={save.isPending || kinds.length === 0}>
          Save
        </Button>
        {now !== null && (
          <Button disabled={end.isPending} onClick={() => end.mutate()}>
            Notify me no more
          </Button>
        )}
        <span role="status" className="text-muted">
          {said}
        </span>
      </div>
    </form>
  );
}

/** What the user is notified of, and where. */
export default function NotificationsCard() {
  const query = useQuery({ queryKey: ["notifications"], queryFn: access.notifications });
  return (
    <Card title="Notifications" className="mt-4">
      <Loaded query={query}>
        {(found) =>
          found.targets.length === 0 && found.subscription === null ? (
            <Empty title="There is nowhere to send notifications to.">
              An operator adds targets to the settings: notifications.targets.
            </Empty>
          ) : (
            <Choice found={found} />
          )
        }
      </Loaded>
    </Card>
  );
}
