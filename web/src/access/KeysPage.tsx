import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Copy, Plus } from "lucide-react";
import { useState } from "react";
import { access } from "../api/calls";
import type { ApiKey } from "../api/types";
import { A, Badge, Button, Card, Empty, Input, inputLook, PageHead, Time } from "../parts/basics";
import { Loaded, Trouble } from "../parts/loading";
import { useNow } from "../parts/now";
import { Dialog } from "../parts/overlays";
import { Table } from "../parts/Table";
import { useMay, useMe } from "../shell/me";
import NotificationsCard from "./NotificationsCard";

function Secret({ secret, onClose }: { secret: string; onClose: () => void }) {
  const [isCopied, setCopied] = useState(false);
  return (
    <Dialog open once onClose={onClose} title="Your new key">
      <p>It is shown only now. Keep it where secrets are kept.</p>
      <code className="mt-3 block rounded-[8px] bg-raised p-3 font-mono text-[13px] break-all select-all">
        {secret}
      </code>
      <p className="mt-2 text-[12px] break-words text-muted">
        A program sends it as <code className="font-mono">Authorization: Bearer …</code>
      </p>
      <div className="mt-4 flex justify-end gap-2">
        {/* A page that came by plain HTTP has no clipboard. */}
        {"clipboard" in navigator && (
          <Button
            onClick={() =>
              void navigator.clipboard.writeText(secret).then(
                () => setCopied(true),
                () => setCopied(false),
              )
            }
          >
            <Copy size={15} aria-hidden /> {isCopied ? "Copied" : "Copy"}
          </Button>
        )}
        <Button look="primary" onClick={onClose}>
          Done
        </Button>
      </div>
    </Dialog>
  );
}

function NewKey({ own, onClose }: { own: string | null; onClose: () => void }) {
  const client = useQueryClient();
  const [name, setName] = useState("");
  const [user, setUser] = useState(own ?? "");
  const mayForOthers = useMay("access:change");
  const users = useQuery({ queryKey: ["users"], queryFn: access.users, enabled: mayForOthers });
  const [days, setDays] = useState(90);
  const create = useMutation({
    mutationFn: () => access.createKey({ name, days, user: user || undefined }),
    onSuccess: () => client.invalidateQueries({ queryKey: ["keys"] }),
  });
  if (create.data?.key) return <Secret secret={create.data.key} onClose={onClose} />;
  return (
    <Dialog open onClose={onClose} title="New API key">
      <form
        className="space-y-3"
        onSubmit={(event) => {
          event.preventDefault();
          create.mutate();
        }}
      >
        <label className="block">
          What for
          <Input required className="mt-1 w-full" value={name} onChange={(event) => setName(event.target.value)} />
        </label>
        {mayForOthers && (
          <label className="block">
            Whose
            <select
              required
              className={`${inputLook} mt-1 w-full`}
              value={user}
              onChange={(event) => setUser(event.target.value)}
            >
              {own === null && <option value="">{users.data?.length === 0 ? "there is no user yet" : "–"}</option>}
              {(users.data ?? []).map((each) => (
                <option key={each.id}>{each.name}</option>
              ))}
            </select>
          </label>
        )}
        <label className="block">
          Days until it expires
          <Input
            type="number"
            min={1}
            max={3650}
            required
            className="mt-1 w-full"
            value={days}
            onChange={(event) => setDays(Number(event.target.value))}
          />
        </label>
        {own === null && users.data?.length === 0 && (
          <p className="text-muted">
            A key has the rights of a user. Add one first, on{" "}
            <A to="/users" className="underline">
              Users and grants
            </A>
            .
          </p>
        )}
        {create.isError && <Trouble error={create.error} />}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" disabled={create.isPending}>
            Create
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function Drop({ row, onClose }: { row: ApiKey; onClose: () => void }) {
  const client = useQueryClient();
  const drop = useMutation({
    mutationFn: () => access.dropKey(row.id),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: ["keys"] });
      onClose();
    },
  });
  return (
    <Dialog open onClose={onClose} title={`Revoke ${row.name}`}>
      <p>Programs that use it are refused from now on.</p>
      {drop.isError && <Trouble error={drop.error} />}
      <div className="mt-4 flex justify-end gap-2">
        <Button onClick={onClose}>Cancel</Button>
        <Button look="primary" disabled={drop.isPending} onClick={() => drop.mutate()}>
          Revoke
        </Button>
      </div>
    </Dialog>
  );
}

export default function KeysPage() {
  const me = useMe().data;
  const mayReadAll = useMay("access:read");
  const own = me?.id ? me.name : null;
  const [isAll, setAll] = useState(false);
  const everybody = mayReadAll && (isAll || own === null);
  const query = useQuery({
    queryKey: ["keys", everybody],
    queryFn: () => access.keys(everybody),
    enabled: me !== undefined,
  });
  const [rotated, setRotated] = useState<string | null>(null);
  const client = useQueryClient();
  const rotate = useMutation({
    mutationFn: (id: string) => access.rotateKey(id),
    onSuccess: async (found) => {
      setRotated(found.key ?? null);
      await client.invalidateQueries({ queryKey: ["keys"] });
    },
  });
  const [isNew, setNew] = useState(false);
  const [dropped, setDropped] = useState<ApiKey | null>(null);
  const now = useNow();
  return (
    <>
      <PageHead title="API keys" sub="What programs sign in with. A key has the rights of its user.">
        {mayReadAll && own !== null && (
          <label className="flex items-center gap-2 text-muted">
            <input type="checkbox" checked={isAll} onChange={(event) => setAll(event.target.checked)} /> of everybody
          </label>
        )}
        <Button look="primary" onClick={() => setNew(true)}>
          <Plus size={15} aria-hidden /> New key
        </Button>
      </PageHead>
      <Card pad={false}>
        <Loaded query={query}>
          {(page) =>
            page.length === 0 ? (
              <Empty title="There is no key yet.">
                A program that starts runs or sends events signs in with one. Make a key for each program, so that it
                can be taken from that one alone.
              </Empty>
            ) : (
              <Table
                label="API keys"
                rows={page}
                keyOf={(row) => row.id}
                columns={[
                  {
                    id: "name",
                    title: "Name",
                    cell: (row) => (
                      <>
                        <span className="block font-medium [overflow-wrap:anywhere]">{row.name}</span>
                        <span className="font-mono text-[12px] text-muted">{row.prefix}…</span>
                      </>
                    ),
                  },
                  { id: "user", title: "User", cell: (row) => row.user },
                  {
                    id: "used",
                    title: "Last used",
                    cell: (row) =>
                      row.used_ms === null ? <span className="text-muted">never</span> : <Time ms={row.used_ms} />,
                  },
                  {
                    id: "expires",
                    title: "Expires",
                    cell: (row) =>
                      row.revoked_ms !== undefined ? (
                        <Badge tone="bad">revoked</Badge>
                      ) : row.expires_ms !== undefined && row.expires_ms < now ? (
                        <Badge tone="bad">expired</Badge>
                      ) : (
                        <Time ms={row.expires_ms} />
                      ),
                  },
                  {
                    id: "drop",
                    title: <span className="sr-only">Revoke</span>,
                    cell: (row) =>
                      row.revoked_ms === undefined && (
                        <span className="flex gap-2">
                          <Button aria-label={`Rotate ${row.name}`} onClick={() => rotate.mutate(row.id)}>
                            Rotate
                          </Button>
                          <Button look="danger" aria-label={`Revoke ${row.name}`} onClick={() => setDropped(row)}>
                            Revoke
                          </Button>
                        </span>
                      ),
                  },
                ]}
              />
            )
          }
        </Loaded>
      </Card>
      {own !== null && <NotificationsCard />}
      {rotate.isError && <Trouble error={rotate.error} />}
      {rotated && <Secret secret={rotated} onClose={() => setRotated(null)} />}
      {isNew && <NewKey own={own} onClose={() => setNew(false)} />}
      {dropped && <Drop row={dropped} onClose={() => setDropped(null)} />}
    </>
  );
}
