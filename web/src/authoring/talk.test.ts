import { describe, expect, it } from "vitest";
import type { TalkEntry } from "../api/types";
import { boxesOf, grown, itemsOf, rehearsal, spentOf, type Answered } from "./talk";

let seq = 0;
const entry = (one: object): TalkEntry => ({ seq: ++seq, at_ms: 1, by: "ann", ...one }) as TalkEntry;
const started = (turn: string) => entry({ type: "turn_started", turn, mode: "edit", model: "rules" });
const spent = (turn: string, money: string | null) =>
  entry({
    type: "spent",
    turn,
    model: "small",
    input_tokens: 10,
    cached_input_tokens: 1,
    cache_write_tokens: 2,
    output_tokens: 5,
    estimated: false,
    money,
  });

describe("itemsOf", () => {
  it("puts the parts of a turn together, also of two at once", () => {
    const items = itemsOf([
      entry({ type: "message_sent", text: "when", question: null, choice: null }),
      started("t1"),
      entry({ type: "text", turn: "t1", text: "One " }),
      started("t2"),
      entry({ type: "text", turn: "t2", text: "Two" }),
      entry({ type: "text", turn: "t1", text: "more." }),
      entry({ type: "tool_called", turn: "t1", tool: "apply", failed: true, result: "" }),
      entry({ type: "turn_ended", turn: "t1", cause: "waiting", code: "", message: "" }),
    ]);
    expect(items.map((one) => one.kind)).toEqual(["message", "turn", "turn"]);
    const [, first, second] = items as [unknown, Answered, Answered];
    expect([first.text, first.calls, first.refused, first.ended?.cause]).toEqual(["One more.", 1, 1, "waiting"]);
    expect([second.text, second.ended]).toEqual(["Two", null]);
  });

  it("goes on with what is new, and leaves the rest as it was", () => {
    const all = [
      entry({ type: "message_sent", text: "when", question: null, choice: null }),
      started("t1"),
      entry({ type: "text", turn: "t1", text: "One " }),
      entry({ type: "comment", revision: 1, text: "why", address: null }),
      entry({ type: "text", turn: "t1", text: "more." }),
      started("t2"),
      entry({ type: "turn_ended", turn: "t2", cause: "done", code: "", message: "" }),
    ];
    for (let cut = 0; cut <= all.length; cut += 1) {
      const before = itemsOf(all.slice(0, cut));
      const copy = structuredClone(before);
      expect(grown(before, all.slice(cut))).toEqual(itemsOf(all));
      expect(before).toEqual(copy);
    }
    const before = itemsOf(all.slice(0, 4));
    const after = grown(before, all.slice(4));
    expect([after[0] === before[0], after[1] === before[1], after[2] === before[2]]).toEqual([true, false, true]);
    expect(grown(before, [])).toBe(before);
  });

  it("says what changed and which way the draft moved", () => {
    const items = itemsOf([
      entry({ type: "revision", parent: 1, authors: [], sentences: ["A step was added."] }),
      entry({ type: "moved", how: "undone", revision: 1 }),
    ]);
    expect(items.map((one) => one.kind === "change" && one.sentences)).toEqual([
      ["A step was added."],
      ["Undone: the draft is revision 1."],
    ]);
  });

  it("leaves out what is about a turn that it does not know", () => {
    expect(itemsOf([entry({ type: "text", turn: "gone", text: "x" }), entry({ type: "confirmed" })])).toEqual([]);
  });
});

describe("rehearsal", () => {
  const different = (...names: string[]) => names.map((name) => ({ name, told: [], is_new: true }));
  it.each([
    [different(), "", "All 4 scenarios end as expected."],
    [different("a"), "", "Of 4 scenarios this one now ends differently: a"],
    [different("a", "b"), "", "Of 4 scenarios these 2 now end differently: a; b"],
    [different(), "The draft has 1 errors", "The scenarios cannot be played: The draft has 1 errors"],
  ])("tells what was found", (found, trouble, told) => {
    expect(rehearsal({ revision: 2, count: 4, different: found, trouble })).toBe(told);
  });

  it("is an item of the chat", () => {
    const played = { type: "scenarios_played", revision: 2, count: 1, different: different("a"), trouble: "" };
    expect(itemsOf([entry(played)]).map((one) => one.kind)).toEqual(["played"]);
  });
});

describe("spentOf", () => {
  it.each([
    ["nothing", [], { tokens: 0, money: null, isEstimated: false }],
    ["known prices", ["0.5", "0.25"], { tokens: 36, money: 0.75, isEstimated: false }],
    ["an unknown price first", [null, "0.25"], { tokens: 36, money: null, isEstimated: false }],
    ["an unknown price last", ["0.25", null], { tokens: 36, money: null, isEstimated: false }],
  ])("adds up %s", (_, prices, told) => {
    expect(spentOf(itemsOf([started("t"), ...prices.map((money) => spent("t", money))]))).toEqual(told);
  });
});

it.each([
  [["/steps/ask/approval/within", "/steps/ask"], ["ask"]],
  [
    ["/on/came", "/input"],
    ["start:came", "start:request"],
  ],
  [["/runs", "", "/steps"], []],
])("finds the boxes of %j", (addresses, boxes) => expect(boxesOf(addresses)).toEqual(boxes));
