import { CSPProvider } from "@base-ui/react/csp-provider";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { lazy, StrictMode, Suspense, useEffect } from "react";
import { createRoot } from "react-dom/client";
import { createBrowserRouter, Navigate, RouterProvider, useLocation, useNavigate } from "react-router";
import { onSignedOut, Problem } from "./api/client";
import { A, Card, Empty, PageHead } from "./parts/basics";
import { Trouble as Failed, Waiting } from "./parts/loading";
import { may, useMe } from "./shell/me";
import { PAGES } from "./shell/pages";
import Shell from "./shell/Shell";
import "./theme.css";

const pages = {
  runs: lazy(() => import("./runs/RunsPage")),
  run: lazy(() => import("./runs/RunPage")),
  compare: lazy(() => import("./runs/ComparePage")),
  definitions: lazy(() => import("./definitions/DefinitionsPage")),
  definition: lazy(() => import("./definitions/DefinitionPage")),
  talks: lazy(() => import("./authoring/ConversationsPage")),
  talk: lazy(() => import("./authoring/ConversationPage")),
  shared: lazy(() => import("./authoring/SharedPage")),
  inbox: lazy(() => import("./inbox/InboxPage")),
  trouble: lazy(() => import("./trouble/TroublePage")),
  dashboard: lazy(() => import("./dashboard/DashboardPage")),
  workers: lazy(() => import("./fleet/WorkersPage")),
  catalog: lazy(() => import("./fleet/CatalogPage")),
  plugins: lazy(() => import("./fleet/PluginsPage")),
  keys: lazy(() => import("./access/KeysPage")),
  users: lazy(() => import("./access/UsersPage")),
  jobs: lazy(() => import("./runs/JobsPage")),
  editor: lazy(() => import("./definitions/EditorPage")),
  audit: lazy(() => import("./access/AuditPage")),
  login: lazy(() => import("./access/LoginPage")),
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

const router = createBrowserRouter([
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
]);

const nonce = document.querySelector<HTMLElement>("script[nonce]")?.nonce;

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <CSPProvider nonce={nonce}>
      <QueryClientProvider client={client}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </CSPProvider>
  </StrictMode>,
);
