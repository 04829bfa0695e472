import { useQuery } from "@tanstack/react-query";
import { access } from "../api/calls";
import type { Me } from "../api/types";

/** Who uses the application. */
export function useMe() {
  return useQuery({ queryKey: ["me"], staleTime: 60_000, retry: false, queryFn: access.me });
}

const isMeant = (pattern: string, name: string): boolean =>
  new RegExp(`^${pattern.split("*").map(escaped).join(".*")}$`, "s").test(name);
const escaped = (text: string): string => text.replace(/[.+?^${}()|[\]\\]/g, "\\$&");

/** Whether `me` has a right: for some definition at least, or for the one that is named. */
export function may(me: Me | undefined, right: string, definition?: string): boolean {
  if (!me || !me.rights.includes(right)) return false;
  if (definition === undefined) return true;
  return me.permissions.some(
    ({ rights, definitions }) =>
      rights.includes(right) &&
      (definitions.length === 0 || definitions.some((pattern) => isMeant(pattern, definition))),
  );
}

/** Whether the user has `right`. */
export function useMay(right: string, definition?: string): boolean {
  return may(useMe().data, right, definition);
}
