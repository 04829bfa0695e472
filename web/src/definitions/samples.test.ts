import { expect, it } from "vitest";
import { fieldOf, SAMPLES } from "./samples";

it("has every sample, with a title, a description and scenarios", () => {
  expect(SAMPLES.map((one) => one.name)).toContain("order-fulfilment");
  for (const one of SAMPLES) {
    expect(one.definition).toContain(`name: ${one.name}`);
    expect(one.title).not.toBe("");
    expect(one.description).toMatch(/^[A-Z].*\.$/);
    expect(one.scenarios).toContain("scenarios:");
  }
});

it("reads a field that is folded, and one that is not", () => {
  const text = "name: x\ntitle: A title\ndescription: >\n  One\n  two.\n\non: []\n";
  expect(fieldOf(text, "title")).toBe("A title");
  expect(fieldOf(text, "description")).toBe("One two.");
  expect(fieldOf(text, "gone")).toBe("");
});
