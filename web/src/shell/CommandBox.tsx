import { useQuery } from "@tanstack/react-query";
import { useEffect, useId, useState } from "react";
import { useNavigate } from "react-router";
import { lookup } from "../api/calls";
import type { Hit } from "../api/types";
import { cx } from "../parts/basics";
import { Dialog } from "../parts/overlays";
import { may, useMe } from "./me";
import { PAGES } from "./pages";

interface Choice {
  id: string;
  title: string;
  sub: string;
  path: string;
}

function pathOf(hit: Hit): string {
  if (hit.kind === "event") return `/trouble?event=${encodeURIComponent(hit.text)}`;
  if (!hit.run) return hit.kind === "key" ? `/runs?key=${encodeURIComponent(hit.text)}` : "/trouble";
  const step = hit.kind === "step" ? `?step=${encodeURIComponent(hit.text)}` : "";
  return `/runs/${encodeURIComponent(hit.run)}${step}`;
}

function useLater(text: string, ms: number): string {
  const [later, setLater] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setLater(text), ms);
    return () => clearTimeout(timer);
  }, [text, ms]);
  return later;
}

/** Finds a run, a business key, an event or a step by its id, and pages by their names. */
export default function CommandBox({ open, onClose }: { open: boolean; onClose: () => void }) {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const navigate = useNavigate();
  const list = useId();
  const asked = useLater(text.trim(), 150);
  const hits = useQuery({
    queryKey: ["lookup", asked],
    queryFn: ({ signal }) => lookup(asked, signal),
    enabled: open && asked.length >= 2,
    retry: false,
  });
  const found: Choice[] = (asked.length >= 2 ? (hits.data?.rows ?? []) : []).map((hit, index) => ({
    id: `hit-${index}`,
    title: hit.text,
    sub: [hit.kind, hit.definition, hit.kind === "key" && hit.run.slice(0, 13)].filter(Boolean).join(" · "),
    path: pathOf(hit),
  }));
  const me = useMe().data;
  const pages: Choice[] = PAGES.filter(
    (page) => may(me, page.right) && page.title.toLowerCase().includes(text.trim().toLowerCase()),
  ).map((page) => ({
    id: page.path.slice(1),
    title: page.title,
    sub: "page",
    path: page.path,
  }));
  const choices = [...found, ...pages].slice(0, 12);
  const chosen = Math.min(at, choices.length - 1);
  const go = (choice: Choice | undefined) => {
    if (!choice) return;
    setText("");
    onClose();
    void navigate(choice.path);
  };
  return (
    <Dialog open={open} onClose={onClose} title="Go to" wide>
      <input
        autoFocus
        role="combobox"
        aria-expanded={choices.length > 0}
        aria-controls={list}
        aria-activedescendant={choices[chosen] ? `${list}-${choices[chosen].id}` : undefined}
        aria-label="Run, key, event or step"
        placeholder="Run id, key, event id, step or page"
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          setAt(0);
        }}
        onKeyDown={(event) => {
          if (event.key === "ArrowDown") setAt(Math.min(chosen + 1, choices.length - 1));
          else if (event.key === "ArrowUp") setAt(Math.max(chosen - 1, 0));
          else if (event.key === "Enter") go(choices[chosen]);
          else return;
          event.preventDefault();
        }}
        className="h-11 w-full rounded-[8px] border border-line bg-card px-3 text-ink placeholder:text-muted"
      />
      {/* eslint-disable-next-line jsx-a11y/interactive-supports-focus */}
      <ul id={list} role="listbox" aria-label="Found" className="mt-3 max-h-[44vh] overflow-y-auto">
        {choices.map((choice, index) => (
          <li
            key={choice.id}
            id={`${list}-${choice.id}`}
            role="option"
            aria-selected={index === chosen}
            onMouseEnter={() => setAt(index)}
            onClick={() => go(choice)}
            className={cx(
              "flex cursor-pointer items-baseline gap-3 rounded-[8px] px-3 py-2",
              index === chosen && "bg-accent-soft",
            )}
          >
            <span className="min-w-0 grow truncate font-medium">{choice.title}</span>
            <span className="text-[12px] whitespace-nowrap text-muted">{choice.sub}</span>
          </li>
        ))}
      </ul>
      {choices.length === 0 && (
        <p className="p-3 text-muted">
          {asked.length < 2
            ? "No page has this name. An id has two characters at least."
            : hits.isError
              ? `The search failed: ${hits.error.message}`
              : hits.isFetching || text.trim() !== asked
                ? "Searching…"
                : "Nothing has this id. Type all of it; Filter on the list of runs takes the beginning of a key."}
        </p>
      )}
    </Dialog>
  );
}
