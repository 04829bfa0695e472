import { useId } from "react";
import type { Schema } from "../api/types";
import { Input, inputLook } from "../parts/basics";
import { plain } from "../parts/words";
import { typeOf, type Draft } from "./schema";

const AREA = "mt-1 w-full rounded-[8px] border border-line bg-card p-3";

function Field({
  name,
  schema,
  isRequired,
  value,
  fault,
  onChange,
}: {
  name: string;
  schema: Schema;
  isRequired: boolean;
  value: string | boolean;
  fault: string | undefined;
  onChange: (value: string | boolean) => void;
}) {
  const id = useId();
  const type = typeOf(schema);
  const common = {
    id,
    "aria-required": isRequired,
    "aria-invalid": fault !== undefined,
    "aria-describedby": `${id}-help`,
  };
  const title = schema.title ?? plain(name);
  const text = String(value);
  if (type === "boolean") {
    return (
      <div>
        <label className="flex items-center gap-2">
          <input
            type="checkbox"
            {...common}
            checked={value === true}
            onChange={(event) => onChange(event.target.checked)}
          />{" "}
          {title}
        </label>
        <p id={`${id}-help`} className="text-[12px] text-muted">
          {schema.description}
        </p>
      </div>
    );
  }
  return (
    <div>
      <label htmlFor={id} className="font-medium">
        {title}
        {isRequired && <span className="text-muted"> (required)</span>}
      </label>
      {schema.enum ? (
        <select
          {...common}
          className={`${inputLook} mt-1 w-full`}
          value={text}
          onChange={(event) => onChange(event.target.value)}
        >
          <option value="">–</option>
          {schema.enum.map((each) => (
            <option key={String(each)}>{String(each)}</option>
          ))}
        </select>
      ) : type === "object" || type === "array" || (schema.maxLength ?? 0) > 200 || /note|comment|reason/.test(name) ? (
        <textarea
          {...common}
          rows={3}
          className={AREA}
          value={text}
          onChange={(event) => onChange(event.target.value)}
        />
      ) : (
        <Input
          {...common}
          className="mt-1 w-full"
          inputMode={type === "integer" ? "numeric" : type === "number" ? "decimal" : undefined}
          type={schema.format === "date" ? "date" : schema.format === "email" ? "email" : "text"}
          value={text}
          onChange={(event) => onChange(event.target.value)}
        />
      )}
      <p id={`${id}-help`} className={`text-[12px] ${fault ? "text-bad" : "text-muted"}`}>
        {fault ?? schema.description}
      </p>
    </div>
  );
}

/** The fields of a form. */
export default function JsonForm({
  form,
  draft,
  faults,
  onChange,
}: {
  form: Schema | null;
  draft: Draft;
  faults: Record<string, string>;
  onChange: (draft: Draft) => void;
}) {
  return (
    <div className="space-y-3">
      {Object.entries(form?.properties ?? {}).map(([name, schema]) => (
        <Field
          key={name}
          name={name}
          schema={schema}
          isRequired={form?.required?.includes(name) ?? false}
          value={draft[name] ?? ""}
          fault={faults[name]}
          onChange={(value) => onChange({ ...draft, [name]: value })}
        />
      ))}
    </div>
  );
}
