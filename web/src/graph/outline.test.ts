import { describe, expect, it } from "vitest";
import type { Content } from "../api/types";
import { graphOf, heatOf, lookOf, pathOf, stepsOf } from "./outline";

const CONTENT: Content = {
  name: "order",
  version: "1",
  on: [{ id: "placed", event: "order.placed" }],
  steps: [
    { id: "payment", wait: { events: [{ id: "paid", event: "payment.received" }] } },
    { id: "remind", needs: ["payment.timeout"], emit: { event: "payment.reminded" } },
    {
      id: "ship",
      title: "Ship it",
      needs: ["payment.paid", "remind", "gone.x"],
      join: "any",
      call: { operation: "ship" },
      undo: { operation: "recall" },
    },
  ],
};

describe("graphOf", () => {
  const graph = graphOf(CONTENT);

  it("has a node for each start, step and undoing", () => {
    expect(graph.nodes.map((node) => [node.id, node.kind])).toEqual([
      ["start:placed", "start"],
      ["payment", "wait"],
      ["remind", "emit"],
      ["ship", "call"],
      ["ship.undo", "undo"],
    ]);
    expect(graph.nodes[1]!.detail).toBe("payment.received");
  });

  it("has an edge for each need of a known step", () => {
    expect(graph.edges.map((edge) => edge.id)).toEqual([
      "start:placed>payment",
      "payment>remind",
      "payment>ship",
      "remind>ship",
      "ship>ship.undo",
    ]);
    expect(graph.edges[2]).toMatchObject({ outcomes: ["paid"], optional: true });
  });

  it("marks the path that a run took", () => {
    const path = pathOf(graph, [
      { id: "payment", state: "done", outcome: "paid" },
      { id: "remind", state: "skipped" },
      { id: "ship", state: "parked", parked: "gone" },
    ]);
    expect([...path.taken]).toEqual([
      ["start:placed>payment", ""],
      ["payment>ship", "paid"],
    ]);
    expect(path.looks.get("ship")).toBe("parked");
    expect(path.looks.get("remind")).toBe("skipped");
  });

  it("counts traffic by outcome, and all but failures where none is named", () => {
    const heat = heatOf(graph, [
      { step: "payment", outcome: "paid", n: 90 },
      { step: "payment", outcome: "timeout", n: 10 },
      { step: "remind", outcome: "", n: 9 },
      { step: "remind", outcome: "failure", n: 1 },
    ]);
    expect([...heat].map(([id, by]) => [id, ...by])).toEqual([
      ["payment>remind", ["timeout", 10]],
      ["payment>ship", ["paid", 90]],
      ["remind>ship", ["", 9]],
    ]);
  });
});

describe("two needs of one step", () => {
  const graph = graphOf({
    name: "x",
    version: "1",
    steps: [
      { id: "a", call: { operation: "x" } },
      { id: "b", needs: ["a", "a.failure"], join: "any", print: { text: "x" } },
    ],
  });

  it("are one edge, taken by the outcome that came", () => {
    expect(graph.edges).toHaveLength(1);
    const taken = (outcome: string) =>
      pathOf(graph, [
        { id: "a", state: "done", outcome },
        { id: "b", state: "done", outcome: "" },
      ]).taken.get("a>b");
    expect([taken(""), taken("failure"), taken("timeout")]).toEqual(["", "failure", undefined]);
  });
});

describe("lookOf", () => {
  it.each([
    [undefined, "none"],
    [{ id: "a", state: "calling" }, "waiting"],
    [
      {
        id: "a",
        state: "done",
        outcome: "failure",
        error: { attempt: 1, code: "x", message: "", item: null, retry_ms: null },
      },
      "failed",
    ],
    [{ id: "a", state: "done", outcome: "timeout" }, "done"],
  ] as const)("of %j is %s", (step, look) => expect(lookOf(step)).toBe(look));
});

it("takes the outcomes of a path", () => {
  expect(stepsOf(["size.large", "refuse"])).toEqual([
    { id: "size", state: "done", outcome: "large" },
    { id: "refuse", state: "done" },
  ]);
});
