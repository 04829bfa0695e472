import type { Statement } from "../api/types";
import { Badge, cx, type Tone } from "../parts/basics";
import { boxesOf } from "./talk";

const TONES: Record<Statement["origin"], Tone> = { said: "good", assumed: "warn", missing: "bad" };

/** Numbered statements. Each lights up the steps that it is about, and is lit with them. */
export default function Statements({
  statements,
  label,
  lit,
  onLight,
}: {
  statements: Statement[];
  label: string;
  lit: ReadonlySet<string>;
  onLight: (boxes: string[]) => void;
}) {
  return (
    <ol aria-label={label}>
      {statements.map((one) => {
        const boxes = boxesOf(one.addresses);
        const isLit = boxes.some((box) => lit.has(box));
        return (
          <li
            key={one.number}
            tabIndex={boxes.length > 0 ? 0 : undefined}
            data-lit={isLit || undefined}
            onPointerEnter={() => onLight(boxes)}
            onPointerLeave={() => onLight([])}
            onFocus={() => onLight(boxes)}
            onBlur={() => onLight([])}
            className={cx("flex gap-2 rounded-[8px] px-2 py-1.5", isLit && "bg-accent-soft")}
          >
            <span className="w-5 shrink-0 text-right text-muted tabular-nums">{one.number}.</span>
            <span className="min-w-0 grow break-words">{one.text.replaceAll("`", "")}</span>
            <span className="shrink-0">
              <Badge tone={TONES[one.origin]}>{one.origin}</Badge>
            </span>
          </li>
        );
      })}
    </ol>
  );
}
