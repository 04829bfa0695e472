// A log whose entries are numbered, followed from the last one that is known: as a stream, and while there is none by
// asking. A stream that is silent is dead, because the server sends something every 5 s.

import { takeEvents } from "./events";

export interface Numbered {
  seq: number;
}

/** How changes become known: by the stream, by asking, or not at all. `null`: that is not clear yet. */
export type Way = "told" | "asked" | "away" | null;

export interface Source<Entry> {
  /** Opens the stream of the entries behind `after`. */
  open: (after: number, signal: AbortSignal) => Promise<ReadableStream<Uint8Array<ArrayBuffer>>>;
  /** The next entries behind `after`, at most `most`. */
  page: (after: number, most: number, signal: AbortSignal) => Promise<Entry[]>;
  /** Whether asking again is of no use, such as for what is deleted. */
  isFinal: (error: unknown) => boolean;
  /** A number from 0 to 1. */
  random: () => number;
}

export interface Reader<Entry> {
  onEntries: (entries: Entry[]) => void;
  onWay: (way: Way) => void;
  /** Nothing more comes. */
  onEnd: (error: unknown) => void;
}

const ASK_MS = 2_000; // between two questions while there is no stream
const FIRST_MS = 500; // the first pause before another stream; the next ones are longer
const LONGEST_MS = 30_000;
const SILENT_MS = 15_000;
const PAGE = 1_000;

/** A pause that can be cut short. */
class Pause {
  private wake: () => void = () => undefined;

  async take(ms: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((wake) => {
      this.wake = wake;
      timer = setTimeout(wake, ms);
    });
    clearTimeout(timer);
  }

  end(): void {
    this.wake();
  }
}

export class Follow<Entry extends Numbered> {
  private running: AbortController | null = null;
  private isOver = false;
  private way: Way = null;
  private failures = 0;
  private readonly beforeStream = new Pause();
  private readonly beforeQuestion = new Pause();

  constructor(
    private readonly source: Source<Entry>,
    private readonly reader: Reader<Entry>,
    private last = 0,
  ) {}

  /** Begins, or goes on behind the last entry. */
  resume(): void {
    if (this.running || this.isOver) return;
    this.running = new AbortController();
    this.failures = 0;
    void this.stream(this.running.signal);
    void this.ask(this.running.signal);
  }

  /** Lets go of the connection, until `resume`. */
  pause(): void {
    this.running?.abort();
    this.running = null;
    this.beforeStream.end();
    this.beforeQuestion.end();
    this.mark(null);
  }

  /** There may be more: asks at once, unless it is told. */
  wake(): void {
    if (this.way === "told") return;
    this.failures = 0;
    this.beforeStream.end();
    this.beforeQuestion.end();
  }

  /** For good. */
  end(): void {
    this.isOver = true;
    this.pause();
  }

  private mark(way: Way): void {
    if (this.way === way) return;
    this.way = way;
    if (!this.isOver) this.reader.onWay(way);
  }

  private take(entries: Entry[]): void {
    const fresh = entries.filter((one) => one.seq > this.last);
    if (fresh.length === 0) return;
    this.last = fresh.at(-1)!.seq;
    this.reader.onEntries(fresh);
  }

  private finish(error: unknown): void {
    if (this.isOver) return;
    this.end();
    this.reader.onEnd(error);
  }

  private async stream(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const connection = new AbortController();
      const stop = () => connection.abort();
      signal.addEventListener("abort", stop);
      let silence = setTimeout(stop, SILENT_MS);
      try {
        const body = await this.source.open(this.last, connection.signal);
        const reader = body.pipeThrough(new TextDecoderStream()).getReader();
        for (let rest = ""; ;) {
          const { done, value } = await reader.read();
          if (done || signal.aborted) break;
          clearTimeout(silence);
          silence = setTimeout(stop, SILENT_MS);
          this.failures = 0;
          this.mark("told");
          const taken = takeEvents(rest + value);
          rest = taken.rest;
          this.take(taken.events.map((one) => JSON.parse(one.data) as Entry));
        }
      } catch (error) {
        if (!signal.aborted && this.source.isFinal(error)) return this.finish(error);
      } finally {
        clearTimeout(silence);
        signal.removeEventListener("abort", stop);
        stop();
      }
      if (signal.aborted) return;
      if (this.way === "told") this.mark(null);
      this.beforeQuestion.end();
      const most = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.failures);
      this.failures += 1;
      await this.beforeStream.take(most * (0.5 + this.source.random() / 2));
    }
  }

  private async ask(signal: AbortSignal): Promise<void> {
    await this.beforeQuestion.take(ASK_MS); // the stream is mostly there by then
    while (!signal.aborted) {
      if (this.way !== "told") {
        try {
          const found = await this.source.page(this.last, PAGE, signal);
          if (signal.aborted) return;
          this.take(found);
          if (this.way === "away") {
            this.failures = 0;
            this.beforeStream.end(); // the server is back
          }
          if (this.isUntold()) this.mark("asked");
          if (found.length === PAGE) continue;
        } catch (error) {
          if (signal.aborted) return;
          if (this.source.isFinal(error)) return this.finish(error);
          if (this.isUntold()) this.mark("away");
        }
      }
      await this.beforeQuestion.take(ASK_MS);
    }
  }

  private isUntold(): boolean {
    return this.way !== "told";
  }
}
