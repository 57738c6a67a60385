import { type IncomingMessage, type Server as HttpServer, type ServerResponse, createServer, request } from 'node:http';
import { type AddressInfo, type Socket, connect } from 'node:net';
import { once } from 'node:events';
import { type Duplex } from 'node:stream';
import { Frames } from './frames.js';
import { announceSteps } from './steps.js';

/** What a browser calls itself so that its steps are announced here. */
export const STEPPING = 'Stepping/1';

/** Frame types of docs/protocol.md, section 5. */
export const FRAME = { ack: 0x03, send: 0x04, vaultRead: 0x08, vaultWrite: 0x09, ping: 0x0a, roomJoin: 0x10 } as const;
/** Frames that carry a request's number, which the answer repeats. */
const REQUESTS = new Set([0x01, 0x02, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09]);
const ANSWERS = new Set([0x82, 0x84, 0x85, 0x86, 0x87]);

/** How long it must be still before nothing more is expected. */
const STILL_MS = 300;
/** How long a frame may take over loopback before it is there. */
const ARRIVES_MS = 60;

/** The wait for one point. */
interface Trap {
  skip: (point: string) => boolean;
  counts: Map<string, number>;
  caught: (point: string) => void;
}

/**
 * The public address of a server: everything between browsers and server passes here and is kept.
 * A browser that calls itself [`STEPPING`] gets `boot.js` with a few lines before it, which
 * wrap what the browser offers, never the product: each step of storing and sending is announced
 * and waits here for leave to go on. One that gets none stands still for good, so that its browser
 * can be killed exactly there.
 */
export class Wire {
  /** Whole messages from browsers to the server, without ping and pong. */
  readonly sent: Buffer[] = [];
  /** All that browsers sent: request lines, headers, bodies, messages. */
  readonly out: Buffer[] = [];
  /** Methods and addresses of all requests. */
  readonly asked: string[] = [];
  /** All that came back, but for the files of the app. */
  readonly back: Buffer[] = [];
  readonly #front: HttpServer;
  readonly #open = new Set<Duplex>();
  #target = 0;
  #trap: Trap | undefined;
  #spoils = false;
  /** Requests of stepping browsers that the server has not answered. */
  readonly #waiting = new Set<string>();
  #connections = 0;
  #moved = 0;

  private constructor() {
    this.#front = createServer((asked, answer) => this.#pass(asked, answer));
    this.#front.keepAliveTimeout = 60_000;
    this.#front.on('upgrade', (asked, socket, head) => this.#upgrade(asked, socket, head));
    this.#front.on('connection', (socket) => this.#keep(socket));
  }

  static async start(): Promise<Wire> {
    const wire = new Wire();
    wire.#front.listen(0, '127.0.0.1');
    await once(wire.#front, 'listening');
    return wire;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#front.address() as AddressInfo).port}`;
  }

  /** Where the server listens. */
  to(port: number): void {
    this.#target = port;
  }

  async stop(): Promise<void> {
    for (const socket of this.#open) socket.destroy();
    this.#front.close();
    await once(this.#front, 'close');
  }

  /** The next point that is not skipped: whoever reached it stands still there. */
  catchAt(skip: (point: string) => boolean): Promise<string> {
    return new Promise((caught) => {
      this.#trap = { skip, counts: new Map(), caught };
    });
  }

  /** Nobody is caught any more. */
  release(): void {
    this.#trap = undefined;
  }

  /** The next envelope arrives with its last bit changed, and the server cannot tell. */
  spoilNext(): void {
    this.#spoils = true;
  }

  /** Waits until the stepping browser does nothing more. */
  async still(): Promise<void> {
    this.#moved = Date.now();
    while (Date.now() - this.#moved < STILL_MS || this.#waiting.size > 0) await sleep(20);
  }

  async #step(name: string, answer: ServerResponse): Promise<void> {
    this.#moved = Date.now();
    const trap = this.#trap;
    if (trap) {
      const count = (trap.counts.get(name) ?? 0) + 1;
      trap.counts.set(name, count);
      const point = count === 1 ? name : `${name}, ${count}`;
      if (!trap.skip(point)) {
        this.#trap = undefined;
        if (name.startsWith('sent')) await this.#arrived();
        return trap.caught(point);
      }
    }
    answer.writeHead(204).end();
  }

  /** What the frozen browser has sent is at the server, and the server has answered. */
  async #arrived(): Promise<void> {
    for (let since = Date.now(); Date.now() - since < ARRIVES_MS || this.#waiting.size > 0; await sleep(10)) {
      if (Date.now() - since > 10_000) throw new Error('the server did not answer');
    }
  }

  #pass(asked: IncomingMessage, answer: ServerResponse): void {
    const stepping = asked.headers['user-agent']?.includes(STEPPING) ?? false;
    const { pathname, searchParams } = new URL(asked.url!, this.url);
    if (pathname === '/~step') {
      void this.#step(searchParams.get('name') ?? '', answer);
      return;
    }
    this.#note(asked);
    const prepend = stepping && /\/boot\.[^/]*\.js$/.test(pathname) ? `(${announceSteps})();\n` : '';
    const headers = { ...asked.headers, ...(prepend ? { 'accept-encoding': 'identity' } : {}) };
    const passed = request({ port: this.#target, method: asked.method, path: asked.url, headers, agent: false }, (got) => {
      const length = Number(got.headers['content-length'] ?? 0) + Buffer.byteLength(prepend);
      answer.writeHead(got.statusCode!, { ...got.headers, ...(prepend ? { 'content-length': length } : {}) });
      if (prepend) answer.write(prepend);
      if (pathname.startsWith('/api/')) got.on('data', (chunk: Buffer) => this.back.push(chunk));
      got.pipe(answer);
      got.on('error', () => answer.destroy());
    });
    passed.on('error', () => answer.destroy());
    asked.on('data', (chunk: Buffer) => this.out.push(chunk));
    asked.pipe(passed);
    asked.on('error', () => passed.destroy());
  }

  #upgrade(asked: IncomingMessage, browser: Duplex, first: Buffer): void {
    const stepping = asked.headers['user-agent']?.includes(STEPPING) ?? false;
    this.#note(asked);
    const connection = (this.#connections += 1);
    const server = connect(this.#target, '127.0.0.1');
    this.#keep(server);
    const [up, down] = [new Frames(), new Frames()];
    const key = (data: Buffer) => `${connection} ${data.readUInt32BE(2)}`;
    server.write(Buffer.concat([head(asked), first]));
    browser.on('data', (chunk: Buffer) => {
      for (const { data, raw } of up.take(chunk)) {
        if (data.length > 0) this.out.push(data);
        if (data.length > 0 && data[1] !== FRAME.ping) this.sent.push(data);
        if (stepping && REQUESTS.has(data[1]!)) this.#waiting.add(key(data));
        if (this.#spoils && data[1] === FRAME.send) {
          this.#spoils = false;
          // The end of the envelope. Masking is by XOR, so what is changed under it is the same bit.
          raw[raw.length - 1]! ^= 1;
        }
        server.write(raw);
      }
    });
    let greeting: Buffer | undefined = Buffer.alloc(0);
    server.on('data', (chunk: Buffer) => {
      let frames = chunk;
      if (greeting) {
        greeting = Buffer.concat([greeting, chunk]);
        const end = greeting.indexOf('\r\n\r\n') + 4;
        if (end < 4) return;
        browser.write(greeting.subarray(0, end));
        frames = greeting.subarray(end);
        greeting = undefined;
      }
      for (const { data, raw } of down.take(frames)) {
        if (data.length > 0) this.back.push(data);
        if (ANSWERS.has(data[1]!)) this.#waiting.delete(key(data));
        browser.write(raw);
      }
    });
    const end = () => {
      browser.destroy();
      server.destroy();
      for (const waiting of this.#waiting) if (waiting.startsWith(`${connection} `)) this.#waiting.delete(waiting);
    };
    for (const side of [browser, server]) side.on('close', end).on('error', end);
  }

  #note(asked: IncomingMessage): void {
    this.asked.push(`${asked.method} ${asked.url}`);
    this.out.push(head(asked));
  }

  #keep(socket: Socket): void {
    this.#open.add(socket);
    socket.on('close', () => this.#open.delete(socket));
  }
}

function head(asked: IncomingMessage): Buffer {
  const lines = [`${asked.method} ${asked.url} HTTP/1.1`];
  for (let n = 0; n < asked.rawHeaders.length; n += 2) lines.push(`${asked.rawHeaders[n]}: ${asked.rawHeaders[n + 1]}`);
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
