import { describe, expect, it } from "vitest";
import type { Schema } from "../api/types";
import { draftOf, filled } from "./schema";

const FORM: Schema = {
  type: "object",
  required: ["note", "limit"],
  properties: {
    note: { type: "string", maxLength: 5 },
    limit: { type: "integer", minimum: 1, maximum: 9 },
    level: { enum: ["low", "high"] },
    urgent: { type: "boolean", default: true },
    tags: { type: "array" },
  },
};

describe("filled", () => {
  it("reads every kind of field", () => {
    const { data, faults } = filled(FORM, { note: " ok ", limit: "3", level: "high", urgent: true, tags: '["a"]' });
    expect(faults).toEqual({});
    expect(data).toEqual({ note: "ok", limit: 3, level: "high", urgent: true, tags: ["a"] });
  });

  it.each([
    ["note", "too long", "At most 5 characters."],
    ["note", "", "Fill this in."],
    ["limit", "x", "This is no number."],
    ["limit", "1.5", "This must be a whole number."],
    ["limit", "0", "At least 1."],
    ["limit", "10", "At most 9."],
    ["level", "other", "Choose one of the list."],
    ["tags", "[", "This is no JSON."],
  ])("refuses %s %j", (name, text, fault) => {
    const { data, faults } = filled(FORM, { note: "ok", limit: "3", urgent: false, [name]: text });
    expect(faults).toEqual({ [name]: fault });
    expect(data).not.toHaveProperty(name);
  });

  it("leaves out what is optional and empty", () => {
    expect(filled(FORM, { ...draftOf(FORM), note: "ok", limit: "1" }).data).toEqual({
      note: "ok",
      limit: 1,
      urgent: true,
    });
  });

  it("takes no form at all", () => expect(filled(null, {})).toEqual({ data: {}, faults: {} }));
});
