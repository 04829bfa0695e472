import { describe, expect, it } from "vitest";
import type { Me } from "../api/types";
import { may } from "./me";

const me: Me = {
  name: "bob",
  id: "1",
  groups: [],
  via: "session",
  session: "2",
  rights: ["definitions:read", "runs:operate"],
  permissions: [
    { rights: ["runs:operate"], definitions: ["order-*", "a.b"] },
    { rights: ["definitions:read"], definitions: [] },
  ],
  leave: null,
  rate: { per_minute: null, left: null, shared: false },
};

describe("may", () => {
  it("is no for whoever is not known yet", () => expect(may(undefined, "definitions:read")).toBe(false));
  it("asks for some definition", () => expect(may(me, "runs:operate")).toBe(true));
  it("knows nothing of other rights", () => expect(may(me, "access:read")).toBe(false));
  it.each([
    ["order-fulfilment", true],
    ["a.b", true],
    ["axb", false],
    ["reorder-1", false],
  ])("holds a grant to its definitions: %s", (name, expected) => expect(may(me, "runs:operate", name)).toBe(expected));
  it("takes a grant without definitions for all", () => expect(may(me, "definitions:read", "anything")).toBe(true));
});
