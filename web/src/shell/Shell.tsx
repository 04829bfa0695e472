import { useQuery, useQueryClient } from "@tanstack/react-query";
import { LogOut, Menu, Moon, Search, Sun } from "lucide-react";
import { lazy, Suspense, useCallback, useEffect, useRef, useState, type RefObject } from "react";
import { NavLink, Outlet, useLocation } from "react-router";
import mark from "../mark.svg";
import { access, approvals, figures, trouble } from "../api/calls";
import { Problem } from "../api/client";
import { useLive } from "../api/useLive";
import { Button, cx } from "../parts/basics";
import { Boundary, Waiting } from "../parts/loading";
import { forgetKept } from "../parts/kept";
import { Dialog, Drawer } from "../parts/overlays";
import { number, span } from "../parts/words";
import { useKeys } from "./keys";
import { may, useMay, useMe } from "./me";
import { PAGES } from "./pages";
import { useTheme } from "./theme";

const SILENT_S = 30; // a history worker that wrote nothing for so long is not running

const CommandBox = lazy(() => import("./CommandBox"));

function useCounts(): Record<string, number> {
  const me = useMe().data;
  const mayDecide = may(me, "approvals:read");
  const mayTrouble = may(me, "trouble:read");
  const inboxPause = useLive("approvals", ["approvals"], { enabled: mayDecide });
  const troublePause = useLive("trouble", ["trouble", "counts"], { enabled: mayTrouble });
  const inbox = useQuery({
    queryKey: ["approvals"],
    queryFn: approvals.list,
    enabled: mayDecide,
    retry: false,
    refetchInterval: inboxPause,
  });
  const bad = useQuery({
    queryKey: ["trouble", "counts"],
    queryFn: trouble.counts,
    enabled: mayTrouble,
    retry: false,
    refetchInterval: troublePause,
  });
  return {
    "/inbox": inbox.data?.length ?? 0,
    "/trouble": (bad.data?.rows ?? []).reduce((sum, row) => sum + row.n, 0),
  };
}

function Nav({ onGo }: { onGo?: () => void }) {
  const me = useMe().data;
  const counts = useCounts();
  return (
    <nav aria-label="Pages" className="grow overflow-y-auto px-2 py-3">
      {PAGES.filter((page) => may(me, page.right)).map(({ path, title, icon: Icon }) => (
        <NavLink
          key={path}
          to={path}
          onClick={onGo}
          className={({ isActive }) =>
            cx(
              "mb-0.5 flex h-9 items-center gap-3 rounded-[8px] px-3 font-medium",
              isActive ? "bg-white/15 text-white" : "text-blue-100 hover:bg-white/10 hover:text-white",
            )
          }
        >
          <Icon size={17} aria-hidden />
          <span className="grow">{title}</span>
          {(counts[path] ?? 0) > 0 && (
            <span
              className={cx(
                "rounded-full px-1.5 text-[11px] leading-[18px] font-semibold",
                path === "/trouble" ? "bg-[#b91c1c] text-white" : "bg-white text-[#1e3a8a]",
              )}
            >
              {number(counts[path]!)}
            </span>
          )}
        </NavLink>
      ))}
    </nav>
  );
}

function Foot() {
  const me = useMe().data;
  const client = useQueryClient();
  const [theme, toggle] = useTheme();
  const signOut = async () => {
    try {
      await access.signOut();
    } finally {
      client.clear();
      forgetKept();
      location.assign("/login");
    }
  };
  return (
    <div className="flex items-center gap-1 border-t border-white/15 p-3 text-blue-100">
      <span className="min-w-0 grow">
        <span className="block truncate font-medium text-white">{me?.name ?? "…"}</span>
        <span className="block truncate text-[12px]">
          {me && (me.groups.join(", ") || (me.id === null ? "admin of this machine" : me.via))}
        </span>
      </span>
      <button
        type="button"
        onClick={toggle}
        aria-label={theme === "dark" ? "Light colours" : "Dark colours"}
        className="rounded-[8px] p-2 hover:bg-white/10 hover:text-white"
      >
        {theme === "dark" ? <Sun size={17} /> : <Moon size={17} />}
      </button>
      {me && me.via !== "local" && (
        <button
          type="button"
          onClick={() => void signOut()}
          aria-label="Sign out"
          className="rounded-[8px] p-2 hover:bg-white/10 hover:text-white"
        >
          <LogOut size={17} />
        </button>
      )}
    </div>
  );
}

function Brand() {
  return (
    <div className="flex h-14 shrink-0 items-center gap-2.5 px-4 text-[16px] font-semibold text-white">
      <img src={mark} alt="" width={26} height={26} className="rounded-[6px] ring-1 ring-white/25" />
      Streamflow
    </div>
  );
}

/** How far what is shown is behind. */
function Freshness() {
  const enabled = useMay("history:read");
  const pause = useLive("history", ["behind"], { enabled });
  const behind = useQuery({
    queryKey: ["behind"],
    queryFn: figures.history,
    refetchInterval: pause,
    retry: false,
    enabled,
  });
  const silent = behind.data?.silent_s ?? 0;
  const seconds = Math.max(behind.data?.seconds ?? 0, silent > SILENT_S ? silent : 0);
  const isAway = behind.error instanceof Problem && behind.error.code === "unreachable";
  const trouble = isAway
    ? "the server does not answer"
    : behind.isError
      ? "history does not answer"
      : seconds >= 1
        ? `history is ${span(seconds * 1000)} behind`
        : null;
  if (!trouble && !behind.data) return null; // nothing is known of it
  return (
    <span
      role="status"
      title={behind.error?.message}
      className={cx("items-center gap-2 text-[12px] text-muted", trouble ? "flex" : "hidden sm:flex")}
    >
      <span
        aria-hidden
        className={cx(
          "size-2 shrink-0 rounded-full",
          isAway ? "bg-[var(--fill-bad)]" : trouble ? "bg-[var(--fill-warn)]" : "bg-[var(--fill-good)]",
        )}
      />
      {trouble ? <span className={isAway ? "text-bad" : "text-warn"}>{trouble}</span> : "up to date"}
    </span>
  );
}

function KeysHelp({ open, onClose }: { open: boolean; onClose: () => void }) {
  const rows: [string, string][] = [
    ["/ or Ctrl K", "Find an id or a page"],
    ["?", "This list"],
    ["Esc", "Close"],
    ...PAGES.map((page): [string, string] => [`g ${page.key}`, page.title]),
  ];
  return (
    <Dialog open={open} onClose={onClose} title="Keys">
      <dl className="grid grid-cols-[max-content_1fr] gap-x-6 gap-y-1.5">
        {rows.map(([key, text]) => (
          <div key={key} className="contents">
            <dt>
              <kbd className="rounded border border-line bg-raised px-1.5 font-mono text-[12px]">{key}</kbd>
            </dt>
            <dd>{text}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}

/** Where one is: said by the tab, and the focus goes along. It stands before the page, whose own title wins. */
function Place({ main }: { main: RefObject<HTMLElement | null> }) {
  const { pathname } = useLocation();
  const before = useRef(pathname);
  const entry = PAGES.find((page) => pathname.startsWith(page.path));
  useEffect(() => {
    document.title = `${entry?.title ?? "Streamflow"} · Streamflow`;
    if (before.current === pathname) return;
    before.current = pathname;
    main.current?.scrollTo(0, 0);
    main.current?.focus({ preventScroll: true }); // whoever works by keyboard goes on in the page
  }, [pathname, entry, main]);
  return null;
}

export default function Shell() {
  const [drawer, setDrawer] = useState(false);
  const [box, setBox] = useState(false);
  const [help, setHelp] = useState(false);
  const main = useRef<HTMLElement>(null);
  const { pathname } = useLocation();
  useKeys(
    useCallback(() => setBox(true), []),
    useCallback(() => setHelp(true), []),
  );
  return (
    <div className="flex h-dvh">
      <a
        href="#main"
        className="sr-only focus:not-sr-only focus:fixed focus:top-2 focus:left-2 focus:z-50 focus:rounded-[8px] focus:bg-card focus:px-3 focus:py-2"
      >
        Skip to the page
      </a>
      <aside className="hidden w-56 shrink-0 flex-col bg-side lg:flex dark:border-r dark:border-line">
        <Brand />
        <Nav />
        <Foot />
      </aside>
      <Drawer open={drawer} onClose={() => setDrawer(false)} title="Menu">
        <Brand />
        <Nav onGo={() => setDrawer(false)} />
        <Foot />
      </Drawer>
      <div className="flex min-w-0 grow flex-col">
        <div className="flex h-14 shrink-0 items-center gap-3 border-b border-line bg-card px-3 sm:px-5">
          <Button look="ghost" className="lg:hidden" aria-label="Menu" onClick={() => setDrawer(true)}>
            <Menu size={19} />
          </Button>
          <button
            type="button"
            onClick={() => setBox(true)}
            className="flex h-9 min-w-0 grow items-center gap-2 rounded-[8px] border border-line bg-page px-3 text-muted hover:text-ink sm:max-w-md"
          >
            <Search size={16} aria-hidden />
            <span className="grow truncate text-left">Find a run, key, event or step</span>
            <kbd className="hidden rounded border border-line bg-card px-1.5 font-mono text-[11px] sm:block">/</kbd>
          </button>
          <span className="hidden grow sm:block" />
          <Freshness />
        </div>
        <Place main={main} />
        <main id="main" ref={main} tabIndex={-1} className="grow overflow-y-auto p-3 outline-none sm:p-5">
          <div className="mx-auto max-w-[1500px]">
            <Boundary key={pathname}>
              <Suspense fallback={<Waiting lines={8} />}>
                <Outlet />
              </Suspense>
            </Boundary>
          </div>
        </main>
      </div>
      {box && (
        <Suspense>
          <CommandBox open onClose={() => setBox(false)} />
        </Suspense>
      )}
      <KeysHelp open={help} onClose={() => setHelp(false)} />
    </div>
  );
}
