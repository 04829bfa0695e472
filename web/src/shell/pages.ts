import {
  Activity,
  BookOpen,
  Inbox,
  KeyRound,
  ListChecks,
  LayoutDashboard,
  MessagesSquare,
  Plug,
  ScrollText,
  Server,
  TriangleAlert,
  Users,
  Workflow,
  type LucideIcon,
} from "lucide-react";

export interface PageEntry {
  path: string;
  title: string;
  icon: LucideIcon;
  /** Pressed after `g`. */
  key: string;
  right: string;
}

export const PAGES: PageEntry[] = [
  { path: "/runs", title: "Runs", icon: Activity, key: "r", right: "runs:read" },
  { path: "/definitions", title: "Definitions", icon: Workflow, key: "d", right: "definitions:read" },
  { path: "/authoring", title: "Authoring", icon: MessagesSquare, key: "n", right: "authoring:read" },
  { path: "/inbox", title: "Inbox", icon: Inbox, key: "i", right: "approvals:read" },
  { path: "/trouble", title: "Trouble", icon: TriangleAlert, key: "t", right: "trouble:read" },
  { path: "/jobs", title: "Jobs", icon: ListChecks, key: "j", right: "jobs:read" },
  { path: "/dashboard", title: "Dashboard", icon: LayoutDashboard, key: "b", right: "history:read" },
  { path: "/workers", title: "Lanes and workers", icon: Server, key: "w", right: "lag:read" },
  { path: "/catalog", title: "Catalog", icon: BookOpen, key: "c", right: "catalog:read" },
  { path: "/plugins", title: "Plugins", icon: Plug, key: "p", right: "operations:read" },
  { path: "/keys", title: "API keys", icon: KeyRound, key: "k", right: "own:use" },
  { path: "/users", title: "Users and grants", icon: Users, key: "u", right: "access:read" },
  { path: "/audit", title: "Audit", icon: ScrollText, key: "a", right: "audit:read" },
];
