// Server-sent events as text (HTML standard, section 9.2). Pure.

export interface StreamEvent {
  id: number;
  data: string;
}

/** The whole events of `text`, and the rest that belongs to the next one. Comments and events without a number are left
 * out. */
export function takeEvents(text: string): { events: StreamEvent[]; rest: string } {
  const blocks = text.split("\n\n");
  const rest = blocks.pop()!;
  const events: StreamEvent[] = [];
  for (const block of blocks) {
    const lines = block.split("\n").map((line) => /^(id|data): ?(.*)$/s.exec(line));
    const id = lines.find((line) => line?.[1] === "id")?.[2];
    const data = lines.filter((line) => line?.[1] === "data").map((line) => line![2]);
    if (id !== undefined && data.length > 0) events.push({ id: Number(id), data: data.join("\n") });
  }
  return { events, rest };
}
