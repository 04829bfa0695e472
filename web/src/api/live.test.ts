import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Live, type Message, type Socket } from "./live";

class Fake implements Socket {
  static all: Fake[] = [];
  onopen: Socket["onopen"] = null;
  onmessage: Socket["onmessage"] = null;
  onclose: Socket["onclose"] = null;
  sent: Record<string, unknown>[] = [];
  isClosed = false;
  constructor() {
    Fake.all.push(this);
  }
  send(text: string) {
    this.sent.push(JSON.parse(text) as Record<string, unknown>);
  }
  close() {
    this.isClosed = true;
  }
  say(message: object) {
    this.onmessage!({ data: JSON.stringify(message) });
  }
  tell(channel: string, cursor: string | number | null, kind: Message["kind"] = "changed") {
    this.say({ channel, cursor, kind, data: null });
  }
  cut(code = 1006, reason = "") {
    this.onclose!({ code, reason });
  }
}

const last = () => Fake.all.at(-1)!;
let isKnown = true;
let asked = 0;

function start() {
  return new Live({
    connect: () => new Fake(),
    isKnown: async () => {
      asked += 1;
      return isKnown;
    },
    random: () => 1,
  });
}

/** What a watcher of a channel was told. */
function watch(live: Live, channel: string, cursor: number | null = null) {
  const told: string[] = [];
  const leave = live.watch(channel, cursor, {
    onMessage: (message) => told.push(`${message.kind} ${message.cursor}`),
    onOpen: (isOpen) => told.push(isOpen ? "open" : "closed"),
  });
  return { told, leave };
}

beforeEach(() => {
  vi.useFakeTimers();
  Fake.all = [];
  isKnown = true;
  asked = 0;
});
afterEach(() => vi.useRealTimers());

describe("Live", () => {
  it("has one socket for all channels, and each is subscribed once", () => {
    const live = start();
    const [first, second, third] = [watch(live, "runs"), watch(live, "runs"), watch(live, "run/1", 7)];
    last().onopen!();
    watch(live, "trouble");
    expect(Fake.all).toHaveLength(1);
    expect(last().sent).toEqual([
      { subscribe: "runs", cursor: null },
      { subscribe: "run/1", cursor: 7 },
      { subscribe: "trouble", cursor: null },
    ]);
    last().tell("runs", "a", "subscribed");
    last().tell("runs", "b");
    last().tell("run/1", 7, "subscribed");
    last().tell("run/1", 8, "transition");
    expect(first.told).toEqual(["open", "changed a", "changed b"]);
    expect(second.told).toEqual(first.told);
    expect(third.told).toEqual(["open", "transition 8"]);
    first.leave();
    expect(last().sent).toHaveLength(3);
    second.leave();
    expect(last().sent.at(-1)).toEqual({ unsubscribe: "runs" });
  });

  it("connects again and goes on after the last message of each channel", () => {
    const live = start();
    const [list, run] = [watch(live, "runs"), watch(live, "run/1", 3)];
    last().onopen!();
    last().tell("runs", "a", "subscribed");
    last().tell("run/1", 3, "subscribed");
    last().tell("run/1", 4, "transition");
    last().tell("runs", "b");
    last().cut();
    expect([list.told.at(-1), run.told.at(-1)]).toEqual(["closed", "closed"]);
    vi.advanceTimersByTime(499);
    expect(Fake.all).toHaveLength(1);
    vi.advanceTimersByTime(1);
    last().onopen!();
    expect(last().sent).toEqual([
      { subscribe: "runs", cursor: "b" },
      { subscribe: "run/1", cursor: 4 },
    ]);
    last().tell("runs", "c", "subscribed");
    last().tell("runs", "c");
    last().tell("run/1", 4, "subscribed");
    last().tell("run/1", 5, "transition");
    expect(list.told.slice(-2)).toEqual(["open", "changed c"]);
    expect(run.told.slice(-2)).toEqual(["open", "transition 5"]);
  });

  it("subscribes again with the cursor before what it missed when it is cut off between the two messages", () => {
    const live = start();
    watch(live, "runs");
    last().onopen!();
    last().tell("runs", "a", "subscribed");
    last().cut();
    vi.advanceTimersByTime(500);
    last().onopen!();
    last().tell("runs", "b", "subscribed"); // and `changed` is lost
    last().cut();
    vi.advanceTimersByTime(500);
    last().onopen!();
    expect(last().sent).toEqual([{ subscribe: "runs", cursor: "a" }]);
  });

  it("waits longer after each failure, half a minute at most, and not after a success", async () => {
    const live = start();
    watch(live, "runs");
    const pauses: number[] = [];
    for (let count = 0; count < 9; count += 1) {
      const before = Fake.all.length;
      last().cut();
      let waited = 0;
      for (; Fake.all.length === before; waited += 500) await vi.advanceTimersByTimeAsync(500);
      pauses.push(waited);
    }
    expect(pauses).toEqual([500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
    last().onopen!();
    last().tell("runs", "a", "subscribed");
    last().cut();
    await vi.advanceTimersByTimeAsync(500);
    expect(Fake.all).toHaveLength(11);
  });

  it("waits long when the server is too busy", () => {
    const live = start();
    watch(live, "runs");
    last().cut(1013, "too_busy");
    vi.advanceTimersByTime(29_000);
    expect(Fake.all).toHaveLength(1);
    vi.advanceTimersByTime(1_000);
    expect(Fake.all).toHaveLength(2);
  });

  it("renews the session when it is refused, and gives up when nobody knows it", async () => {
    const live = start();
    const { told } = watch(live, "runs");
    last().onopen!();
    last().cut();
    expect(asked).toBe(0); // it was cut off, and not refused
    await vi.advanceTimersByTimeAsync(500);
    last().onopen!();
    last().cut(1008, "token_expired");
    expect(asked).toBe(1);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(Fake.all).toHaveLength(3);
    isKnown = false;
    last().cut();
    expect(asked).toBe(2);
    await vi.advanceTimersByTimeAsync(100_000);
    expect(Fake.all).toHaveLength(3);
    watch(live, "trouble"); // after a log-in
    expect(Fake.all).toHaveLength(4);
    expect(told).toEqual([]);
  });

  it("answers pings, and takes silence for the end", () => {
    const live = start();
    watch(live, "runs");
    const first = last();
    first.onopen!();
    vi.advanceTimersByTime(45_000);
    first.say({ ping: 3 });
    expect(first.sent.at(-1)).toEqual({ pong: 3 });
    vi.advanceTimersByTime(49_000);
    expect(first.isClosed).toBe(false);
    vi.advanceTimersByTime(1_500);
    expect(first.isClosed).toBe(true);
    expect(Fake.all).toHaveLength(2);
  });

  it("asks again for a channel that is refused, and the others go on", () => {
    const live = start();
    const { told } = watch(live, "runs");
    watch(live, "approvals");
    last().onopen!();
    last().tell("runs", null, "error");
    last().tell("approvals", "x", "subscribed");
    expect(told).toEqual([]);
    vi.advanceTimersByTime(30_000);
    expect(last().sent.slice(2)).toEqual([{ subscribe: "runs", cursor: null }]);
  });

  it("lets go of the connection a moment after the last watcher has left", () => {
    const live = start();
    const { leave } = watch(live, "runs");
    last().onopen!();
    leave();
    vi.advanceTimersByTime(900);
    const again = watch(live, "runs");
    vi.advanceTimersByTime(5_000);
    expect(last().isClosed).toBe(false);
    again.leave();
    vi.advanceTimersByTime(1_000);
    expect(last().isClosed).toBe(true);
    expect(Fake.all).toHaveLength(1);
  });

  it("holds no connection while it is paused, and goes on where it was", () => {
    const live = start();
    const { told } = watch(live, "runs");
    last().onopen!();
    last().tell("runs", "a", "subscribed");
    live.pause();
    expect(last().isClosed).toBe(true);
    watch(live, "trouble");
    vi.advanceTimersByTime(100_000);
    expect(Fake.all).toHaveLength(1);
    live.resume();
    last().onopen!();
    expect(last().sent).toEqual([
      { subscribe: "runs", cursor: "a" },
      { subscribe: "trouble", cursor: null },
    ]);
    expect(told).toEqual(["open", "changed a", "closed"]);
  });
});
