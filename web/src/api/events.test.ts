import { describe, expect, it } from "vitest";
import { takeEvents } from "./events";

describe("takeEvents", () => {
  it.each([
    ["nothing", "", [], ""],
    ["a comment", ": ping\n\n", [], ""],
    ["one event", 'id: 3\nevent: text\ndata: {"a":1}\n\n', [{ id: 3, data: '{"a":1}' }], ""],
    [
      "two and a half",
      "id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\nda",
      [
        { id: 1, data: "a" },
        { id: 2, data: "b" },
      ],
      "id: 3\nda",
    ],
    ["data of two lines", "id: 1\ndata: a\ndata: b\n\n", [{ id: 1, data: "a\nb" }], ""],
    ["no number", "data: a\n\n", [], ""],
  ])("takes %s", (_, text, events, rest) => expect(takeEvents(text)).toEqual({ events, rest }));
});
