// The WebSocket `/live`: one of a tab, for everything that its pages watch. It connects again after a growing pause, and
// subscribes with the cursor of the last message of each channel, so that nothing is lost in between.

export type Cursor = string | number | null;

export interface Message {
  channel: string;
  cursor: Cursor;
  kind: "subscribed" | "changed" | "transition" | "gap" | "error";
  data: unknown;
}

/** One that watches a channel. */
export interface Watcher {
  /** Gets `changed`, `transition` and `gap`. */
  onMessage: (message: Message) => void;
  /** Whether changes are told at the moment; otherwise they have to be asked for. */
  onOpen: (isOpen: boolean) => void;
}

/** What this needs of a WebSocket. */
export interface Socket {
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  send(text: string): void;
  close(): void;
}

export interface Outside {
  /** Opens a socket; null where none can be had. */
  connect: () => Socket | null;
  /** Renews the session if it has to be; false: the server no longer knows who asks. */
  isKnown: () => Promise<boolean>;
  /** A number from 0 to 1. */
  random: () => number;
}

const FIRST_MS = 500; // the first pause before another connection; the next ones are longer
const LONGEST_MS = 30_000;
const SILENT_MS = 50_000; // the server sends a ping every 20 s: a socket that is silent for longer is dead
const LINGER_MS = 1_000; // a page that is left is often followed by one that watches the same
const BUSY = 1013;
const CUT = { code: 1006, reason: "" };

interface Channel {
  cursor: Cursor;
  isOpen: boolean;
  watchers: Set<Watcher>;
}

type Timer = ReturnType<typeof setTimeout>;

export class Live {
  private readonly channels = new Map<string, Channel>();
  private socket: Socket | null = null;
  private isReady = false;
  private isPaused = false;
  private failures = 0;
  private connecting: Timer | undefined;
  private silence: Timer | undefined;
  private lingering: Timer | undefined;
  private refused: Timer | undefined;

  constructor(private readonly outside: Outside) {}

  /** Watches a channel: a list from now on, a run from the transition after `cursor` on. Returns what ends that. */
  watch(name: string, cursor: Cursor, watcher: Watcher): () => void {
    let channel = this.channels.get(name);
    if (!channel) {
      channel = { cursor, isOpen: false, watchers: new Set() };
      this.channels.set(name, channel);
      this.subscribe(name, channel);
    }
    channel.watchers.add(watcher);
    if (channel.isOpen) watcher.onOpen(true);
    clearTimeout(this.lingering);
    this.start();
    return () => this.leave(name, watcher);
  }

  /** Lets go of the connection, until `resume`; cursors are kept. */
  pause(): void {
    this.isPaused = true;
    this.end();
  }

  /** Connects at once if there is no connection. */
  resume(): void {
    this.isPaused = false;
    clearTimeout(this.connecting);
    this.connecting = undefined;
    this.start();
  }

  private leave(name: string, watcher: Watcher): void {
    const channel = this.channels.get(name);
    if (!channel?.watchers.delete(watcher) || channel.watchers.size > 0) return;
    this.channels.delete(name);
    this.send({ unsubscribe: name });
    if (this.channels.size === 0) this.lingering = setTimeout(() => this.end(), LINGER_MS);
  }

  private start(): void {
    if (this.socket || this.connecting !== undefined || this.isPaused || this.channels.size === 0) return;
    const socket = this.outside.connect();
    if (!socket) return;
    this.socket = socket;
    this.listen();
    socket.onopen = () => {
      this.isReady = true;
      for (const [name, channel] of this.channels) this.subscribe(name, channel);
    };
    socket.onmessage = (event) => this.take(JSON.parse(String(event.data)) as Message | { ping: number });
    socket.onclose = (event) => void this.closed(event.code, event.reason);
  }

  private subscribe(name: string, channel: Channel): void {
    this.send({ subscribe: name, cursor: channel.cursor });
  }

  private send(message: unknown): void {
    if (this.isReady) this.socket!.send(JSON.stringify(message));
  }

  /** A connection may end without a word. */
  private listen(): void {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => {
      this.drop();
      void this.closed(CUT.code, CUT.reason);
    }, SILENT_MS);
  }

  private take(message: Message | { ping: number }): void {
    this.listen();
    if ("ping" in message) return this.send({ pong: message.ping });
    const channel = this.channels.get(message.channel);
    if (!channel) return;
    if (message.kind === "error") {
      this.mark(channel, false);
      this.refused ??= setTimeout(() => {
        this.refused = undefined;
        for (const [name, one] of this.channels) if (!one.isOpen) this.subscribe(name, one);
      }, LONGEST_MS);
      return;
    }
    if (message.kind === "subscribed") {
      this.failures = 0;
      this.mark(channel, true);
      if (channel.cursor !== null) return; // what was missed follows
      channel.cursor = message.cursor;
      message = { ...message, kind: "changed" }; // since the list was read
    } else if (message.cursor !== null) channel.cursor = message.cursor;
    for (const watcher of [...channel.watchers]) watcher.onMessage(message);
  }

  private mark(channel: Channel, isOpen: boolean): void {
    if (channel.isOpen === isOpen) return;
    channel.isOpen = isOpen;
    for (const watcher of [...channel.watchers]) watcher.onOpen(isOpen);
  }

  /** Lets go of the socket. */
  private drop(): void {
    const socket = this.socket;
    clearTimeout(this.silence);
    this.socket = null;
    this.isReady = false;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
    for (const channel of this.channels.values()) this.mark(channel, false);
  }

  private end(): void {
    clearTimeout(this.connecting);
    clearTimeout(this.refused);
    this.connecting = this.refused = undefined;
    this.drop();
  }

  private async closed(code: number, reason: string): Promise<void> {
    const wasReady = this.isReady;
    this.drop();
    const most = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.failures);
    const pause = (code === BUSY ? LONGEST_MS : most) * (0.5 + this.outside.random() / 2);
    this.failures += 1;
    // A refusal before the socket was open, or with a reason, may be that of a session that has to be renewed.
    const wait = setTimeout(() => {
      this.connecting = undefined;
      this.start();
    }, pause);
    this.connecting = wait;
    if ((!wasReady || reason !== "") && !(await this.outside.isKnown())) {
      clearTimeout(wait); // who signs in watches again
      if (this.connecting === wait) this.connecting = undefined;
    }
  }
}
