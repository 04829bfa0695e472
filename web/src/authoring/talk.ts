// A conversation as people read it, from the entries of its log. Pure.

import type { Mode, ScenariosPlayed, Statement, TalkEntry } from "../api/types";
import { START } from "../graph/outline";

export const RULES = "rules";

export interface Said {
  kind: "message";
  seq: number;
  by: string;
  at_ms: number;
  text: string;
}

export interface Answered {
  kind: "turn";
  seq: number;
  turn: string;
  mode: Mode;
  /** The model that answers, or `rules`. */
  model: string;
  text: string;
  statements: Statement[];
  /** Calls of tools, and how many of them were refused. */
  calls: number;
  refused: number;
  tokens: number;
  /** What it cost; null: it is not known of every answer, or there was none. */
  money: number | null;
  isEstimated: boolean;
  ended: { cause: string; message: string } | null;
}

export interface Changed {
  kind: "change";
  seq: number;
  by: string;
  at_ms: number;
  sentences: string[];
}

export interface Remarked {
  kind: "comment";
  seq: number;
  by: string;
  at_ms: number;
  text: string;
  address: string | null;
}

/** How the kept scenarios went on a revision. */
export interface Rehearsed extends ScenariosPlayed {
  kind: "played";
  seq: number;
}

export type Item = Said | Answered | Changed | Remarked | Rehearsed;

const MOVES = { undone: "Undone", redone: "Redone", branched: "Went on" };

/** What happened, oldest first. */
export const itemsOf = (entries: TalkEntry[]): Item[] => grown([], entries);

/** The same with later entries. An item that they do not concern stays the same object. */
export function grown(before: Item[], entries: TalkEntry[]): Item[] {
  if (entries.length === 0) return before;
  const items = [...before];
  const own = new Set<Item>(); // made here, so that they may be changed
  const turns = new Map<string, number>();
  items.forEach((one, at) => one.kind === "turn" && turns.set(one.turn, at));
  for (const entry of entries) {
    const { seq, by, at_ms } = entry;
    switch (entry.type) {
      case "message_sent":
        items.push({ kind: "message", seq, by, at_ms, text: entry.text });
        break;
      case "turn_started": {
        const made = begun(seq, entry);
        own.add(made);
        turns.set(entry.turn, items.push(made) - 1);
        break;
      }
      case "revision":
        items.push({ kind: "change", seq, by, at_ms, sentences: entry.sentences });
        break;
      case "moved":
        items.push({
          kind: "change",
          seq,
          by,
          at_ms,
          sentences: [`${MOVES[entry.how]}: the draft is revision ${entry.revision}.`],
        });
        break;
      case "comment":
        items.push({ kind: "comment", seq, by, at_ms, text: entry.text, address: entry.address });
        break;
      case "scenarios_played": {
        const { revision, count, different, trouble } = entry;
        items.push({ kind: "played", seq, revision, count, different, trouble });
        break;
      }
      case "text":
      case "understood":
      case "tool_called":
      case "spent":
      case "turn_ended": {
        const at = turns.get(entry.turn);
        if (at === undefined) break;
        let turn = items[at] as Answered;
        if (!own.has(turn)) {
          turn = { ...turn };
          own.add(turn);
          items[at] = turn;
        }
        grow(turn, entry);
      }
    }
  }
  return items;
}

function begun(seq: number, { turn, mode, model }: Extract<TalkEntry, { type: "turn_started" }>): Answered {
  return {
    kind: "turn",
    seq,
    turn,
    mode,
    model,
    text: "",
    statements: [],
    calls: 0,
    refused: 0,
    tokens: 0,
    money: null,
    isEstimated: false,
    ended: null,
  };
}

type OfTurn = Extract<TalkEntry, { type: "text" | "understood" | "tool_called" | "spent" | "turn_ended" }>;

function grow(turn: Answered, entry: OfTurn): void {
  switch (entry.type) {
    case "text":
      turn.text += entry.text;
      break;
    case "understood":
      turn.statements = entry.statements;
      break;
    case "tool_called":
      turn.calls += 1;
      turn.refused += entry.failed ? 1 : 0;
      break;
    case "spent": {
      const isFirst = turn.tokens === 0;
      turn.tokens += entry.input_tokens + entry.cached_input_tokens + entry.cache_write_tokens + entry.output_tokens;
      turn.isEstimated ||= entry.estimated;
      turn.money =
        entry.money === null || (!isFirst && turn.money === null) ? null : (turn.money ?? 0) + Number(entry.money);
      break;
    }
    case "turn_ended":
      turn.ended = { cause: entry.cause, message: entry.message };
  }
}

/** What all turns took. The money is null unless it is known of every one. */
export function spentOf(items: Item[]): { tokens: number; money: number | null; isEstimated: boolean } {
  const paid = items.filter((one): one is Answered => one.kind === "turn" && one.tokens > 0);
  const isKnown = paid.length > 0 && paid.every((one) => one.money !== null);
  return {
    tokens: paid.reduce((sum, one) => sum + one.tokens, 0),
    money: isKnown ? paid.reduce((sum, one) => sum + one.money!, 0) : null,
    isEstimated: paid.some((one) => one.isEstimated),
  };
}

/** What playing the scenarios found, in a sentence. */
export function rehearsal({ count, different, trouble }: ScenariosPlayed): string {
  if (trouble) return `The scenarios cannot be played: ${trouble}`;
  const names = different.map((one) => one.name).join("; ");
  if (different.length === 0) return `All ${count} scenarios end as expected.`;
  if (different.length === 1) return `Of ${count} scenarios this one now ends differently: ${names}`;
  return `Of ${count} scenarios these ${different.length} now end differently: ${names}`;
}

/** The boxes of a diagram that addresses of a draft are about. */
export function boxesOf(addresses: string[]): string[] {
  const boxes = addresses.map((address) => {
    const [, part, id] = address.split("/");
    if (part === "steps" && id) return id;
    if (part === "on" && id) return START + id;
    return part === "input" ? `${START}request` : null;
  });
  return [...new Set(boxes.filter((box) => box !== null))];
}
