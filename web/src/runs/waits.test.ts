import { describe, expect, it } from "vitest";
import { waitsInWords } from "./waits";

describe("what a run waits for", () => {
  it.each([
    [null, ""],
    ["", ""],
    ["order.paid", "order.paid"],
    ["order.cancelled order.paid", "order.cancelled, order.paid"],
    ["approval:finance approval:The_Board", "approval by finance, approval by The_Board"],
    ["delay:2027-01-15T08:00:00Z", "delay until 2027-01-15T08:00:00Z"],
    ["call:http.post retry:mail.send", "call of http.post, retry of mail.send"],
    ["callback:bank.ask child:billing", "callback of bank.ask, child run of billing"],
    ["paid +3", "paid, 3 more"],
    ["later:kind", "later:kind"],
    ["constructor:kind", "constructor:kind"],
  ])("%s", (waits, words) => {
    expect(waitsInWords(waits)).toBe(words);
  });
});
