import { expect, it } from "vitest";
import type { Content } from "../api/types";
import { coverageOf } from "./coverage";
import { graphOf } from "./outline";

const CONTENT: Content = {
  name: "order",
  version: "1",
  on: [{ id: "placed", event: "order.placed" }],
  steps: [
    { id: "payment", wait: { events: [{ id: "paid", event: "payment.received" }] } },
    { id: "remind", needs: ["payment.timeout"], emit: { event: "payment.reminded" } },
    {
      id: "ship",
      needs: ["payment.paid", "remind"],
      join: "any",
      call: { operation: "ship" },
      undo: { operation: "x" },
    },
    { id: "tell", needs: ["ship", "ship.failure"], join: "any", print: { text: "x" } },
  ],
};
const graph = graphOf(CONTENT);

it("says which steps and which branches of each edge runs reach", () => {
  const cover = coverageOf(graph, [["payment.paid", "ship", "tell"]]);
  expect([...cover.edges]).toEqual([
    ["start:placed>payment", "all"],
    ["payment>remind", "none"],
    ["payment>ship", "all"],
    ["remind>ship", "none"],
    ["ship>tell", "some"],
  ]);
  expect(cover.steps).toEqual({ reached: 3, all: 4 });
  expect(cover.branches).toEqual({ reached: 3, all: 6 });
  expect(cover.reached.has("remind")).toBe(false);
});

it("adds up the runs of all scenarios", () => {
  const cover = coverageOf(graph, [
    ["payment.paid", "ship", "tell"],
    ["payment.timeout", "remind", "ship.failure", "tell"],
  ]);
  expect(new Set(cover.edges.values())).toEqual(new Set(["all"]));
  expect(cover.branches).toEqual({ reached: 6, all: 6 });
  expect([...cover.runs.get("ship>tell")!]).toEqual([
    ["", 1],
    ["failure", 1],
  ]);
});

it("is nothing without a run", () => {
  const cover = coverageOf(graph, []);
  expect(cover.steps).toEqual({ reached: 0, all: 4 });
  expect(cover.branches.reached).toBe(0);
  expect(new Set(cover.edges.values())).toEqual(new Set(["none"]));
});
