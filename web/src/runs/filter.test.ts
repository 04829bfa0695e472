import { describe, expect, it } from "vitest";
import { conditionOf, filterOf, withField } from "./filter";

describe("filterOf", () => {
  it("takes known fields and attributes only", () => {
    const search = new URLSearchParams("status=open&attr.country=DE&attr.Bad=1&sort=started&x=1&key=");
    expect(filterOf(search)).toEqual({ status: "open", "attr.country": "DE" });
  });
});

describe("withField", () => {
  it("sets, removes, and forgets the cursor", () => {
    const search = new URLSearchParams("status=open&cursor=abc");
    expect(withField(search, "key", "A 1").toString()).toBe("status=open&key=A+1");
    expect(withField(search, "status", "").toString()).toBe("");
  });
});

describe("conditionOf", () => {
  it.each([
    ["error=timeout", { name: "error", value: "timeout" }],
    ["parked step: pay", { name: "parked_step", value: "pay" }],
    ["country = DE", { name: "attr.country", value: "DE" }],
    ["attr.country=DE", { name: "attr.country", value: "DE" }],
    ["ORD-17", { name: "key_prefix", value: "ORD-17" }],
    ["  ", null],
  ])("reads %j", (text, found) => expect(conditionOf(text)).toEqual(found));
});
