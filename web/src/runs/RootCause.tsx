import { CircleAlert } from "lucide-react";
import { Json, Time } from "../parts/basics";
import type { Cause } from "./cause";

export default function RootCause({ cause }: { cause: Cause }) {
  return (
    <section
      aria-labelledby="cause"
      className="mb-4 overflow-hidden rounded-[8px] border border-[var(--fill-bad)] bg-card"
    >
      <div className="flex items-start gap-3 bg-bad-soft px-4 py-3 text-bad">
        <CircleAlert size={18} aria-hidden className="mt-0.5 shrink-0" />
        <div className="min-w-0">
          <h2 id="cause" className="break-words">
            {cause.step ? `Step ${cause.step} failed` : "The run failed"}: {cause.code}
          </h2>
          <p className="break-words">{cause.message}</p>
        </div>
      </div>
      <div className="grid gap-4 p-4 md:grid-cols-2">
        <div>
          <p className="mb-1 text-[12px] text-muted">
            {cause.operation ? `Sent to ${cause.operation}` : "Sent"}
            {cause.attempt !== null &&
              `, attempt ${cause.attempt}${cause.attempts > cause.attempt ? ` of ${cause.attempts}` : ""}`}
          </p>
          {cause.sent === undefined ? (
            <p className="text-muted">Nothing was sent.</p>
          ) : (
            <Json value={cause.sent} label="what was sent" />
          )}
        </div>
        <div>
          <p className="mb-1 text-[12px] text-muted">
            Came back <Time ms={cause.at_ms} />
          </p>
          <Json value={{ code: cause.code, message: cause.message }} label="what came back" />
        </div>
        <p className="md:col-span-2">
          <span className="font-medium">What to do: </span>
          {cause.remedy}
        </p>
      </div>
    </section>
  );
}
