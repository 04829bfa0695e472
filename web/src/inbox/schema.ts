// The part of JSON Schema that approvals' forms use: reading a form's fields into a value, and checking it. Pure.

import type { Schema } from "../api/types";

export type Draft = Record<string, string | boolean>;

export function typeOf(schema: Schema): string {
  const named = Array.isArray(schema.type) ? schema.type.find((type) => type !== "null") : schema.type;
  return named ?? (schema.enum ? "string" : "string");
}

/** What a form shows at first. */
export function draftOf(form: Schema | null): Draft {
  const draft: Draft = {};
  for (const [name, schema] of Object.entries(form?.properties ?? {})) {
    if (typeOf(schema) === "boolean") draft[name] = schema.default === true;
    else if (["object", "array"].includes(typeOf(schema)) && schema.default !== undefined)
      draft[name] = JSON.stringify(schema.default);
    else draft[name] = schema.default === undefined ? "" : String(schema.default);
  }
  return draft;
}

export interface Filled {
  data: Record<string, unknown>;
  /** What is wrong with each field. */
  faults: Record<string, string>;
}

function valueOf(text: string, schema: Schema): { value?: unknown; fault?: string } {
  const type = typeOf(schema);
  if (type === "integer" || type === "number") {
    const value = Number(text);
    if (!Number.isFinite(value)) return { fault: "This is no number." };
    if (type === "integer" && !Number.isInteger(value)) return { fault: "This must be a whole number." };
    if (schema.minimum !== undefined && value < schema.minimum) return { fault: `At least ${schema.minimum}.` };
    if (schema.maximum !== undefined && value > schema.maximum) return { fault: `At most ${schema.maximum}.` };
    return { value };
  }
  if (type === "object" || type === "array") {
    try {
      return { value: JSON.parse(text) };
    } catch {
      return { fault: "This is no JSON." };
    }
  }
  if (schema.enum && !schema.enum.map(String).includes(text)) return { fault: "Choose one of the list." };
  if (schema.minLength !== undefined && text.length < schema.minLength)
    return { fault: `At least ${schema.minLength} characters.` };
  if (schema.maxLength !== undefined && text.length > schema.maxLength)
    return { fault: `At most ${schema.maxLength} characters.` };
  if (schema.pattern !== undefined && !matches(schema.pattern, text))
    return { fault: `This does not match ${schema.pattern}.` };
  return { value: schema.enum ? schema.enum.find((each) => String(each) === text) : text };
}

function matches(pattern: string, text: string): boolean {
  try {
    return new RegExp(pattern, "u").test(text);
  } catch {
    return true; // the server knows more kinds of patterns, and checks again
  }
}

/** The value of a form, without the fields that were left empty. */
export function filled(form: Schema | null, draft: Draft): Filled {
  const found: Filled = { data: {}, faults: {} };
  for (const [name, schema] of Object.entries(form?.properties ?? {})) {
    const given = draft[name];
    if (typeof given === "boolean") {
      found.data[name] = given;
      continue;
    }
    const text = (given ?? "").trim();
    if (text === "") {
      if (form?.required?.includes(name)) found.faults[name] = "Fill this in.";
      continue;
    }
    const { value, fault } = valueOf(text, schema);
    if (fault) found.faults[name] = fault;
    else found.data[name] = value;
  }
  return found;
}
