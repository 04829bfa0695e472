import { useMutation } from "@tanstack/react-query";
import { Pencil, Share2, Trash2 } from "lucide-react";
import { useState } from "react";
import { useNavigate } from "react-router";
import { conversations } from "../api/calls";
import type { Conversation } from "../api/types";
import { Button, Input, Time } from "../parts/basics";
import { Trouble } from "../parts/loading";
import { Dialog } from "../parts/overlays";
import type { Change } from "./useConversation";

const MOST_DAYS = 30;

function Rename({ talk, change, onClose }: { talk: Conversation; change: Change; onClose: () => void }) {
  const [title, setTitle] = useState(talk.title);
  return (
    <form
      className="space-y-3"
      onSubmit={(event) => {
        event.preventDefault();
        change.mutate(() => conversations.rename(talk.conversation, title), { onSuccess: onClose });
      }}
    >
      <label className="block">
        <span className="mb-1 block text-muted">Title</span>
        <Input
          required
          maxLength={200}
          className="w-full"
          value={title}
          onChange={(event) => setTitle(event.target.value)}
        />
      </label>
      {change.isError && <Trouble error={change.error} />}
      <Button type="submit" look="primary" disabled={change.isPending}>
        Rename
      </Button>
    </form>
  );
}

function Share({ talk }: { talk: Conversation }) {
  const [days, setDays] = useState(7);
  const share = useMutation({ mutationFn: () => conversations.share(talk.conversation, days) });
  const link = share.data && `${window.location.origin}/shared/${share.data.token}`;
  return (
    <form
      className="space-y-3"
      onSubmit={(event) => {
        event.preventDefault();
        share.mutate();
      }}
    >
      <p className="text-muted">
        Whoever has the link can read the draft, its revisions and comments, without signing in, and nothing else. A new
        link ends an earlier one.
      </p>
      {talk.shared_until_ms !== null && !link && (
        <p>
          A link is valid until <Time ms={talk.shared_until_ms} />.
        </p>
      )}
      <label className="block">
        <span className="mb-1 block text-muted">Days that it is valid</span>
        <Input
          type="number"
          min={1}
          max={MOST_DAYS}
          className="w-24"
          value={days}
          onChange={(event) => setDays(Number(event.target.value))}
        />
      </label>
      {share.isError && <Trouble error={share.error} />}
      {link && (
        <label className="block">
          <span className="mb-1 block text-muted">Link</span>
          <Input readOnly className="w-full" value={link} onFocus={(event) => event.target.select()} />
        </label>
      )}
      <Button type="submit" look="primary" disabled={share.isPending}>
        Make a link
      </Button>
    </form>
  );
}

function Delete({ talk }: { talk: Conversation }) {
  const navigate = useNavigate();
  const drop = useMutation({
    mutationFn: () => conversations.drop(talk.conversation),
    onSuccess: () => void navigate("/authoring"),
  });
  return (
    <div className="space-y-3">
      <p>
        “{talk.title}” is deleted with all its revisions and comments. What was published stays, and can no longer be
        traced back to what was said.
      </p>
      {drop.isError && <Trouble error={drop.error} />}
      <Button look="danger" disabled={drop.isPending} onClick={() => drop.mutate()}>
        Delete for good
      </Button>
    </div>
  );
}

type Action = "rename" | "share" | "delete";
const TITLES: Record<Action, string> = {
  rename: "Rename the conversation",
  share: "Share the draft",
  delete: "Delete the conversation",
};

/** What is done with a conversation as a whole. */
export default function TalkActions({ talk, change }: { talk: Conversation; change: Change }) {
  const [action, setAction] = useState<Action | null>(null);
  const close = () => setAction(null);
  return (
    <>
      <Button aria-label="Rename" title={TITLES.rename} onClick={() => setAction("rename")}>
        <Pencil size={15} aria-hidden />
      </Button>
      <Button aria-label="Share" title={TITLES.share} onClick={() => setAction("share")}>
        <Share2 size={15} aria-hidden />
      </Button>
      <Button aria-label="Delete" title={TITLES.delete} onClick={() => setAction("delete")}>
        <Trash2 size={15} aria-hidden />
      </Button>
      {action && (
        <Dialog open onClose={close} title={TITLES[action]}>
          {action === "rename" && <Rename talk={talk} change={change} onClose={close} />}
          {action === "share" && <Share talk={talk} />}
          {action === "delete" && <Delete talk={talk} />}
        </Dialog>
      )}
    </>
  );
}
