import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Plus } from "lucide-react";
import { useState } from "react";
import { access } from "../api/calls";
import type { Grant, Role, User } from "../api/types";
import { Badge, Button, Card, Empty, Input, inputLook, PageHead, Time } from "../parts/basics";
import { Loaded, Trouble } from "../parts/loading";
import { Dialog } from "../parts/overlays";
import { Table } from "../parts/Table";
import { plain } from "../parts/words";
import { useMay } from "../shell/me";

const ROLES: Role[] = ["viewer", "operator", "developer", "service_user", "integration", "admin"];
const SHORTEST = 12; // characters of a password, as the server has it

const listOf = (text: string): string[] =>
  text
    .split(",")
    .map((each) => each.trim())
    .filter(Boolean);

function useChange<Given>(act: (given: Given) => Promise<unknown>, onDone: () => void) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: act,
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: ["users"] });
      await client.invalidateQueries({ queryKey: ["grants"] });
      onDone();
    },
  });
}

function Field({ title, ...rest }: { title: string } & React.InputHTMLAttributes<HTMLInputElement>) {
  return (
    <label className="block">
      {title}
      <Input {...rest} className="mt-1 w-full" />
    </label>
  );
}

function RoleField({ value, none, onChange }: { value: string; none?: string; onChange: (value: string) => void }) {
  return (
    <label className="block">
      Role
      <select className={`${inputLook} mt-1 w-full`} value={value} onChange={(event) => onChange(event.target.value)}>
        {none && <option value="">{none}</option>}
        {ROLES.map((each) => (
          <option key={each} value={each}>
            {plain(each)}
          </option>
        ))}
      </select>
    </label>
  );
}

function End({ title, isPending, onClose }: { title: string; isPending: boolean; onClose: () => void }) {
  return (
    <div className="flex justify-end gap-2">
      <Button onClick={onClose}>Cancel</Button>
      <Button type="submit" look="primary" disabled={isPending}>
        {title}
      </Button>
    </div>
  );
}

function NewUser({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [kind, setKind] = useState<"person" | "service">("person");
  const [password, setPassword] = useState("");
  const [groups, setGroups] = useState("");
  const [role, setRole] = useState("viewer");
  const [patterns, setPatterns] = useState("");
  const create = useChange(
    () =>
      access.createUser({
        name,
        kind,
        password: kind === "person" && password ? password : null,
        groups: listOf(groups),
        role: role === "" ? null : (role as Role),
        definitions: listOf(patterns),
      }),
    onClose,
  );
  return (
    <Dialog open onClose={onClose} title="New user">
      <form
        className="space-y-3"
        onSubmit={(event) => {
          event.preventDefault();
          create.mutate(undefined);
        }}
      >
        <Field title="Name" required maxLength={100} value={name} onChange={(event) => setName(event.target.value)} />
        <label className="block">
          Kind
          <select
            className={`${inputLook} mt-1 w-full`}
            value={kind}
            onChange={(event) => setKind(event.target.value as "person" | "service")}
          >
            <option value="person">person</option>
            <option value="service">service, with API keys only</option>
          </select>
        </label>
        {kind === "person" && (
          <Field
            title={`Password, at least ${SHORTEST} characters; none: by the organisation's log-in`}
            type="password"
            autoComplete="new-password"
            minLength={SHORTEST}
            value={password}
            onChange={(event) => setPassword(event.target.value)}
          />
        )}
        <Field
          title="Groups"
          placeholder="such as on-call, finance"
          value={groups}
          onChange={(event) => setGroups(event.target.value)}
        />
        <RoleField value={role} none="none but what the groups give" onChange={setRole} />
        <Field
          title="Definitions"
          placeholder="all, or names such as order-*, refund"
          value={patterns}
          onChange={(event) => setPatterns(event.target.value)}
        />
        {create.isError && <Trouble error={create.error} />}
        <End title="Create" isPending={create.isPending} onClose={onClose} />
      </form>
    </Dialog>
  );
}

function ChangeUser({ user, onClose }: { user: User; onClose: () => void }) {
  const [groups, setGroups] = useState((user.groups ?? []).join(", "));
  const [password, setPassword] = useState("");
  const [isDisabled, setDisabled] = useState(user.disabled);
  const change = useChange(
    () =>
      access.changeUser(user.name, {
        groups: listOf(groups),
        disabled: isDisabled === user.disabled ? null : isDisabled,
        password: password || null,
      }),
    onClose,
  );
  return (
    <Dialog open onClose={onClose} title={`Change ${user.name}`}>
      <form
        className="space-y-3"
        onSubmit={(event) => {
          event.preventDefault();
          change.mutate(undefined);
        }}
      >
        <Field title="Groups" value={groups} onChange={(event) => setGroups(event.target.value)} />
        {user.kind === "person" && (
          <Field
            title="New password; ends all sessions of the user"
            type="password"
            autoComplete="new-password"
            minLength={SHORTEST}
            value={password}
            onChange={(event) => setPassword(event.target.value)}
          />
        )}
        <label className="flex items-center gap-2">
          <input type="checkbox" checked={isDisabled} onChange={(event) => setDisabled(event.target.checked)} />{" "}
          disabled: may do nothing from now on
        </label>
        {change.isError && <Trouble error={change.error} />}
        <End title="Save" isPending={change.isPending} onClose={onClose} />
      </form>
    </Dialog>
  );
}

function NewGrant({ users, onClose }: { users: User[]; onClose: () => void }) {
  const [role, setRole] = useState("viewer");
  const [user, setUser] = useState("");
  const [group, setGroup] = useState("");
  const [patterns, setPatterns] = useState("");
  const create = useChange(
    () =>
      access.createGrant({
        role: role as Role,
        user: user || null,
        group: user ? null : group,
        definitions: listOf(patterns),
      }),
    onClose,
  );
  return (
    <Dialog open onClose={onClose} title="New grant">
      <form
        className="space-y-3"
        onSubmit={(event) => {
          event.preventDefault();
          create.mutate(undefined);
        }}
      >
        <RoleField value={role} onChange={setRole} />
        <label className="block">
          For
          <select className={`${inputLook} mt-1 w-full`} value={user} onChange={(event) => setUser(event.target.value)}>
            <option value="">a group</option>
            {users.map((each) => (
              <option key={each.id}>{each.name}</option>
            ))}
          </select>
        </label>
        {user === "" && (
          <Field title="Group" required value={group} onChange={(event) => setGroup(event.target.value)} />
        )}
        <Field
          title="Definitions"
          placeholder="all, or names such as order-*, refund"
          value={patterns}
          onChange={(event) => setPatterns(event.target.value)}
        />
        {create.isError && <Trouble error={create.error} />}
        <End title="Grant" isPending={create.isPending} onClose={onClose} />
      </form>
    </Dialog>
  );
}

function DropGrant({ grant, onClose }: { grant: Grant; onClose: () => void }) {
  const drop = useChange(() => access.dropGrant(grant.id), onClose);
  return (
    <Dialog open onClose={onClose} title="Take the grant away">
      <p>
        {grant.user ?? `The group ${grant.group}`} is no longer {plain(grant.role)}
        {grant.definitions.length > 0 && ` of ${grant.definitions.join(", ")}`}.
      </p>
      {drop.isError && <Trouble error={drop.error} />}
      <div className="mt-4 flex justify-end gap-2">
        <Button onClick={onClose}>Cancel</Button>
        <Button look="primary" disabled={drop.isPending} onClick={() => drop.mutate(undefined)}>
          Take away
        </Button>
      </div>
    </Dialog>
  );
}

export default function UsersPage() {
  const users = useQuery({ queryKey: ["users"], queryFn: access.users });
  const grants = useQuery({ queryKey: ["grants"], queryFn: access.grants });
  const mayChange = useMay("access:change");
  const [shown, setShown] = useState<"user" | "grant" | null>(null);
  const [changed, setChanged] = useState<User | null>(null);
  const [dropped, setDropped] = useState<Grant | null>(null);
  return (
    <>
      <PageHead title="Users and grants" sub="A grant gives a role to a user or to a group.">
        {mayChange && (
          <>
            <Button onClick={() => setShown("grant")}>
              <Plus size={15} aria-hidden /> New grant
            </Button>
            <Button look="primary" onClick={() => setShown("user")}>
              <Plus size={15} aria-hidden /> New user
            </Button>
          </>
        )}
      </PageHead>
      <Card title="Users" pad={false} className="mb-4">
        <Loaded query={users}>
          {(rows) =>
            rows.length === 0 ? (
              <Empty title="There are no users yet.">
                Whoever is on this machine is an admin until there is one.{" "}
                <code className="font-mono text-[12px]">streamflow access users add NAME --role admin</code> makes the
                first.
              </Empty>
            ) : (
              <Table
                label="Users"
                rows={rows}
                keyOf={(row) => row.id}
                columns={[
                  {
                    id: "name",
                    title: "Name",
                    cell: (row) => (
                      <>
                        <span className="block font-medium [overflow-wrap:anywhere]">{row.name}</span>
                        <span className="text-muted">{row.kind}</span>
                      </>
                    ),
                  },
                  {
                    id: "state",
                    title: "State",
                    cell: (row) => (
                      <Badge tone={row.disabled ? "bad" : "good"}>{row.disabled ? "disabled" : "may sign in"}</Badge>
                    ),
                  },
                  {
                    id: "roles",
                    title: "Roles",
                    cell: (row) =>
                      row.grants.length === 0 ? (
                        <span className="text-muted">by groups only</span>
                      ) : (
                        row.grants.map((grant) => (
                          <span key={grant.id} className="block">
                            {plain(grant.role)}
                            {grant.definitions.length > 0 && (
                              <span className="text-muted"> of {grant.definitions.join(", ")}</span>
                            )}
                          </span>
                        ))
                      ),
                  },
                  {
                    id: "groups",
                    title: "Groups",
                    className: "hidden sm:table-cell",
                    cell: (row) => (row.groups ?? []).join(", "),
                  },
                  {
                    id: "created",
                    title: "Added",
                    className: "hidden md:table-cell",
                    cell: (row) => <Time ms={row.created_ms} />,
                  },
                  {
                    id: "change",
                    title: <span className="sr-only">Change</span>,
                    cell: (row) =>
                      mayChange && (
                        <Button aria-label={`Change ${row.name}`} onClick={() => setChanged(row)}>
                          Change
                        </Button>
                      ),
                  },
                ]}
              />
            )
          }
        </Loaded>
      </Card>
      <Card title="Grants" pad={false}>
        <Loaded query={grants}>
          {(rows) =>
            rows.length === 0 ? (
              <Empty title="Nothing is granted yet.">
                A grant says what a user or a group may do: look, operate, develop, or all of it, for all definitions or
                for some.
              </Empty>
            ) : (
              <Table
                label="Grants"
                rows={rows}
                keyOf={(row) => row.id}
                columns={[
                  { id: "role", title: "Role", cell: (row) => <span className="font-medium">{plain(row.role)}</span> },
                  { id: "whose", title: "For", cell: (row) => row.user ?? `group ${row.group}` },
                  {
                    id: "definitions",
                    title: "Definitions",
                    cell: (row) => row.definitions.join(", ") || <span className="text-muted">all</span>,
                  },
                  {
                    id: "drop",
                    title: <span className="sr-only">Take away</span>,
                    cell: (row) =>
                      mayChange && (
                        <Button
                          look="danger"
                          aria-label={`Take ${plain(row.role)} from ${row.user ?? row.group}`}
                          onClick={() => setDropped(row)}
                        >
                          Take away
                        </Button>
                      ),
                  },
                ]}
              />
            )
          }
        </Loaded>
      </Card>
      {shown === "user" && <NewUser onClose={() => setShown(null)} />}
      {shown === "grant" && <NewGrant users={users.data ?? []} onClose={() => setShown(null)} />}
      {changed && <ChangeUser user={changed} onClose={() => setChanged(null)} />}
      {dropped && <DropGrant grant={dropped} onClose={() => setDropped(null)} />}
    </>
  );
}
