import { expect, it } from "vitest";
import { nextOf } from "./next";

it.each([
  ["/runs/1?tab=log", "/runs/1?tab=log"],
  ["//evil.example", "/runs"],
  ["/\\evil.example", "/runs"],
  ["https://evil.example", "/runs"],
  ["javascript:alert(1)", "/runs"],
  ["/login?next=/x", "/runs"],
  [null, "/runs"],
])("after signing in, %j leads to %j", (text, path) => expect(nextOf(text)).toBe(path));
