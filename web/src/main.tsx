import { CSPProvider } from "@base-ui/react/csp-provider";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode, Suspense, useEffect } from "react";
import { createRoot } from "react-dom/client";
import {
  createBrowserRouter,
  matchRoutes,
  Navigate,
  RouterProvider,
  useLocation,
  useNavigate,
  type RouteObject,
} from "react-router";
import { onSignedOut, Problem } from "./api/client";
import { A, Card, Empty, PageHead } from "./parts/basics";
import { chunk } from "./parts/chunk";
import { Trouble as Failed, Waiting } from "./parts/loading";
import { may, useMe } from "./shell/me";
import { PAGES } from "./shell/pages";
import Shell from "./shell/Shell";
import "./theme.css";

const pages = {
  runs: chunk(() => import("./runs/RunsPage")),
  run: chunk(() => import("./runs/RunPage")),
  compare: chunk(() => import("./runs/ComparePage")),
  definitions: chunk(() => import("./definitions/DefinitionsPage")),
  definition: chunk(() => import("./definitions/DefinitionPage")),
  talks: chunk(() => import("./authoring/ConversationsPage")),
  talk: chunk(() => import("./authoring/ConversationPage")),
  shared: chunk(() => import("./authoring/SharedPage")),
  inbox: chunk(() => import("./inbox/InboxPage")),
  trouble: chunk(() => import("./trouble/TroublePage")),
  dashboard: chunk(() => import("./dashboard/DashboardPage")),
  workers: chunk(() => import("./fleet/WorkersPage")),
  catalog: chunk(() => import("./fleet/CatalogPage")),
  plugins: chunk(() => import("./fleet/PluginsPage")),
  keys: chunk(() => import("./access/KeysPage")),
  users: chunk(() => import("./access/UsersPage")),
  jobs: chunk(() => import("./runs/JobsPage")),
  editor: chunk(() => import("./definitions/EditorPage")),
  audit: chunk(() => import("./access/AuditPage")),
  login: chunk(() => import("./access/LoginPage")),
};

const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 1_000,
      refetchOnWindowFocus: false,
      // What the server refused, it refuses again.
      retry: (count, error) => count < 2 && !(error instanceof Problem && error.status >= 400 && error.status < 500),
    },
  },
});

/** The application for whoever is known; everybody else signs in first and comes back. */
function Known() {
  const navigate = useNavigate();
  const { pathname, search } = useLocation();
  const me = useMe();
  const isUnknown = me.error instanceof Problem && me.error.status === 401;
  const login = `/login?next=${encodeURIComponent(pathname + search)}`;
  useEffect(() => onSignedOut(() => void navigate(login)), [navigate, login]);
  if (isUnknown) return <Navigate to={login} replace />;
  if (me.isError && !me.data)
    return (
      <main id="main" className="mx-auto max-w-xl p-4 pt-[15vh]">
        <h1 className="px-4">Streamflow</h1>
        <Failed error={me.error} again={() => void me.refetch()} />
      </main>
    );
  return <Shell />;
}

function NoPage() {
  return (
    <>
      <PageHead title="No page" />
      <Card>
        <Empty title="There is no page at this address.">
          Perhaps the link is not whole.{" "}
          <A to="/" className="underline">
            To the first page
          </A>
        </Empty>
      </Card>
    </>
  );
}

/** The first page that the user may look at. */
function First() {
  const me = useMe().data;
  if (!me) return <Waiting />;
  return <Navigate to={PAGES.find((page) => may(me, page.right))?.path ?? "/keys"} replace />;
}

const { runs: Runs, run: Run, compare: Compare, definitions: Definitions, definition: Definition } = pages;
const { inbox: Inbox, trouble: Trouble, dashboard: Dashboard, workers: Workers } = pages;
const { catalog: Catalog, plugins: Plugins, keys: Keys, audit: Audit, login: Login } = pages;
const { users: UsersOf, jobs: Jobs, editor: Editor, talks: Talks, talk: Talk, shared: Shared } = pages;

const routes: RouteObject[] = [
  {
    path: "/login",
    element: (
      <Suspense fallback={<Waiting />}>
        <Login />
      </Suspense>
    ),
  },
  {
    path: "/shared/:token",
    element: (
      <Suspense fallback={<Waiting />}>
        <Shared />
      </Suspense>
    ),
  },
  {
    element: <Known />,
    children: [
      { index: true, element: <First /> },
      { path: "/runs", element: <Runs /> },
      { path: "/runs/:run", element: <Run /> },
      { path: "/runs/:run/compare/:other", element: <Compare /> },
      { path: "/definitions", element: <Definitions /> },
      { path: "/definitions/new", element: <Editor /> },
      { path: "/definitions/:name", element: <Definition /> },
      { path: "/authoring", element: <Talks /> },
      { path: "/authoring/:conversation", element: <Talk /> },
      { path: "/inbox", element: <Inbox /> },
      { path: "/trouble", element: <Trouble /> },
      { path: "/dashboard", element: <Dashboard /> },
      { path: "/workers", element: <Workers /> },
      { path: "/catalog", element: <Catalog /> },
      { path: "/plugins", element: <Plugins /> },
      { path: "/keys", element: <Keys /> },
      { path: "/users", element: <UsersOf /> },
      { path: "/jobs", element: <Jobs /> },
      { path: "/audit", element: <Audit /> },
      { path: "*", element: <NoPage /> },
    ],
  },
];
const router = createBrowserRouter(routes);

/** Loads the page of this address. */
async function enter() {
  const shown = matchRoutes(routes, location)?.at(-1)?.route.element as { type?: unknown } | undefined;
  await Object.values(pages)
    .find((page) => page === shown?.type)
    ?.load();
}

const nonce = document.querySelector<HTMLElement>("script[nonce]")?.nonce;

void enter().then(() =>
  createRoot(document.getElementById("root")!).render(
    <StrictMode>
      <CSPProvider nonce={nonce}>
        <QueryClientProvider client={client}>
          <RouterProvider router={router} />
        </QueryClientProvider>
      </CSPProvider>
    </StrictMode>,
  ),
);
