import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Follow, type Way } from "./follow";

interface Entry {
  seq: number;
}

const LOST = new Error("lost");
const GONE = new Error("gone");
const BYTES = new TextEncoder();

/** A server with a log, whose streams and pages can fail. */
class Server {
  entries: Entry[] = [];
  streams: { after: number; out: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>; isOpen: boolean }[] = [];
  asked: number[] = [];
  streamFails: Error | null = null;
  pageFails: Error | null = null;
  isSilent = false;

  open = (after: number, signal: AbortSignal) => {
    if (this.streamFails) return Promise.reject(this.streamFails);
    let stream!: (typeof this.streams)[number];
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: (out) => {
        stream = { after, out, isOpen: true };
        this.streams.push(stream);
        signal.addEventListener("abort", () => {
          if (!stream.isOpen) return;
          stream.isOpen = false;
          out.error(new DOMException("aborted", "AbortError"));
        });
        this.tell(stream, after);
      },
    });
    return Promise.resolve(body);
  };

  page = (after: number, most: number) => {
    this.asked.push(after);
    if (this.pageFails) return Promise.reject(this.pageFails);
    return Promise.resolve(this.entries.filter((one) => one.seq > after).slice(0, most));
  };

  private tell(stream: (typeof this.streams)[number], after: number): void {
    if (this.isSilent || !stream.isOpen) return;
    const fresh = this.entries.filter((one) => one.seq > after);
    const text = fresh.map((one) => `id: ${one.seq}\nevent: x\ndata: ${JSON.stringify(one)}\n\n`).join("");
    stream.out.enqueue(BYTES.encode(text || ": ping\n\n"));
  }

  add(...seqs: number[]): void {
    const before = this.entries.at(-1)?.seq ?? 0;
    this.entries.push(...seqs.map((seq) => ({ seq })));
    for (const stream of this.streams) this.tell(stream, before);
  }

  ping(): void {
    for (const stream of this.streams) if (stream.isOpen) stream.out.enqueue(BYTES.encode(": ping\n\n"));
  }

  cut(error?: Error): void {
    for (const stream of this.streams) {
      if (!stream.isOpen) continue;
      stream.isOpen = false;
      if (error) stream.out.error(error);
      else stream.out.close();
    }
  }
}

let server: Server;
let told: number[];
let ways: Way[];
let ended: unknown[];

function start(after = 0) {
  const follow = new Follow<Entry>(
    { open: server.open, page: server.page, isFinal: (error) => error === GONE, random: () => 1 },
    {
      onEntries: (entries) => told.push(...entries.map((one) => one.seq)),
      onWay: (way) => ways.push(way),
      onEnd: (error) => ended.push(error),
    },
    after,
  );
  follow.resume();
  return follow;
}

const wait = (ms: number) => vi.advanceTimersByTimeAsync(ms);

beforeEach(() => {
  vi.useFakeTimers();
  [server, told, ways, ended] = [new Server(), [], [], []];
});
afterEach(() => vi.useRealTimers());

describe("Follow", () => {
  it("is told what there is and what comes, and asks nothing", async () => {
    server.add(1, 2);
    start();
    await wait(0);
    server.add(3);
    for (let i = 0; i < 10; i += 1) {
      await wait(5_000);
      server.ping();
    }
    expect(told).toEqual([1, 2, 3]);
    expect(ways).toEqual(["told"]);
    expect([server.streams.length, server.asked.length]).toEqual([1, 0]);
  });

  it("goes on behind the last entry when the stream was cut, and misses nothing in between", async () => {
    start();
    await wait(0);
    server.add(1);
    await wait(0);
    server.cut(LOST);
    server.add(2, 3);
    await wait(600);
    server.add(4);
    await wait(0);
    expect(told).toEqual([1, 2, 3, 4]);
    expect(server.streams.length).toBe(2);
    expect(server.asked).toEqual([1]); // at once
    expect(ways.at(-1)).toBe("told");
  });

  it("asks every 2 s where there is no stream, and tries one less and less often", async () => {
    server.streamFails = LOST;
    const opened = vi.spyOn(server, "open");
    server.add(1);
    start();
    await wait(0);
    expect([told, ways]).toEqual([[1], ["asked"]]);
    server.add(2);
    await wait(2_000);
    expect(told).toEqual([1, 2]);
    const tries = opened.mock.calls.length;
    await wait(600_000);
    expect(opened.mock.calls.length - tries).toBeLessThan(600_000 / 30_000 + 8);
    server.streamFails = null;
    await wait(30_000);
    expect(ways).toEqual(["asked", "told"]);
    const questions = server.asked.length;
    await wait(10_000);
    expect(server.asked.length).toBe(questions);
  });

  it("asks where a stream says nothing, as behind a proxy that keeps it back", async () => {
    server.isSilent = true;
    start();
    server.add(1);
    await wait(2_000);
    expect([told, ways]).toEqual([[1], ["asked"]]);
  });

  it("takes a stream that is silent for dead", async () => {
    start();
    await wait(0);
    server.isSilent = true;
    server.add(1);
    await wait(15_000);
    expect([told, ways]).toEqual([[1], ["told", null, "asked"]]);
  });

  it("says that the server is away, and that it is back as soon as it answers", async () => {
    start();
    await wait(0);
    server.streamFails = server.pageFails = LOST;
    server.cut(LOST);
    await wait(120_000);
    expect(ways).toEqual(["told", null, "away"]);
    server.streamFails = server.pageFails = null;
    server.add(1);
    await wait(2_000);
    expect(told).toEqual([1]);
    expect(ways.at(-1)).toBe("told");
  });

  it("ends with what is deleted, and with a refusal", async () => {
    start();
    await wait(0);
    server.pageFails = GONE;
    server.cut();
    await wait(60_000);
    expect([ended, server.asked.length]).toEqual([[GONE], 1]);
    const other = new Server();
    other.streamFails = GONE;
    server = other;
    start();
    await wait(60_000);
    expect([ended, other.asked]).toEqual([[GONE, GONE], []]);
  });

  it("reads a long log page by page without a pause", async () => {
    server.streamFails = LOST;
    server.add(...Array.from({ length: 2_500 }, (_, at) => at + 1));
    start();
    await wait(0);
    expect(told.length).toBe(2_500);
    expect(server.asked).toEqual([0, 1_000, 2_000]);
  });

  it("holds nothing while it pauses, and goes on where it was", async () => {
    const follow = start();
    await wait(0);
    server.add(1);
    await wait(0);
    follow.pause();
    server.add(2);
    await wait(60_000);
    expect([told, server.streams.some((one) => one.isOpen), server.asked]).toEqual([[1], false, []]);
    follow.resume();
    follow.resume();
    await wait(0);
    expect([told, server.streams.map((one) => one.after)]).toEqual([
      [1, 2],
      [0, 1],
    ]);
  });

  it("asks at once when it is woken, and only where it is not told", async () => {
    server.streamFails = LOST;
    const follow = start();
    await wait(100);
    server.add(1);
    follow.wake();
    await wait(0);
    expect(told).toEqual([1]);
    server.streamFails = null;
    follow.wake();
    await wait(0);
    expect(ways.at(-1)).toBe("told");
    const questions = server.asked.length;
    follow.wake();
    await wait(0);
    expect(server.asked.length).toBe(questions);
  });

  it("says nothing more at its end", async () => {
    const follow = start(5);
    await wait(0);
    follow.end();
    follow.resume();
    server.add(6);
    await wait(60_000);
    expect([told, ways, ended, server.streams.length]).toEqual([[], ["told"], [], 1]);
  });
});
