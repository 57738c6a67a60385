// What the journeys say to a messenger as another tab would: over the channel on which the workers of a
// browser talk, in their bytes. Forms and tags are those of frontend/browser/src/worker/wire.rs and
// crates/view/src/command.rs.
import { randomUUID } from 'node:crypto';
import type { Page } from '@playwright/test';

const VERSION = 2;
const [HELLO, ASK, ANSWER, UPDATE, LEADING] = [1, 2, 3, 4, 5] as const;
const [SEND, LOAD_MESSAGES] = [13, 15] as const;
const MESSAGES = 4;
const STATE = 2;
const PHASES = ['Starting', 'NoSim', 'Restoring', 'Ready', 'Replaced', 'StorageRefused', 'StorageFull', 'StorageDamaged', 'NeedsNewer'];
const STATES = ['Sending', 'Sent', 'Delivered', 'Failed'];

/** The command to send a text. */
export function send(conversation: string, id: Buffer, text: string): Buffer {
  return Buffer.concat([byte(SEND), string(conversation), string(id.toString('base64url')), string(text)]);
}

/** The command to read the newest messages. */
export function loadNewest(conversation: string, limit: number): Buffer {
  return Buffer.concat([byte(LOAD_MESSAGES), string(conversation), byte(0), number(limit)]);
}

/** Of the answer to `loadNewest`: the state of the newest message of one's own. */
export function stateOfOwn(answer: Buffer): string | undefined {
  const from = new Reader(answer);
  if (from.byte() !== MESSAGES) throw new Error(`not messages: ${answer.toString('hex')}`);
  let newest: string | undefined;
  for (let left = from.take(2).readUInt16BE(); left > 0; left -= 1) {
    from.string();
    from.take(8);
    const own = from.byte() === 1;
    from.take(8);
    const content = from.byte();
    if (content === 1) from.string();
    else if (content === 3) {
      const note = from.byte();
      if (note === 1) from.take(4);
      else if (note === 6) [from.string(), from.string()];
    }
    const state = from.byte() === 1 ? STATES[from.byte() - 1] : undefined;
    if (own) newest = state;
  }
  return newest;
}

/**
 * Says commands to the messenger of this browser, and gives the answers. As each tab it says again what was not
 * answered when another worker begins to lead: the one before may have ended with it.
 */
export async function ask(page: Page, commands: Buffer[]): Promise<Buffer[]> {
  const tab = string(randomUUID());
  const asks = commands.map((command, n) => [...Buffer.concat([said(ASK), tab, number(n), command])]);
  const answers = await page.evaluate(
    ([asks, mine, leading]) =>
      new Promise<number[][]>((resolve) => {
        const channel = new BroadcastChannel('rly');
        const answers = new Map<number, number[]>();
        const say = () => {
          for (const [n, ask] of asks.entries()) {
            if (!answers.has(n)) channel.postMessage(new Uint8Array(ask));
          }
        };
        channel.onmessage = (event: MessageEvent<Uint8Array>) => {
          const bytes = [...event.data];
          if (String(bytes) === String(leading)) return say();
          if (!mine.every((byte, at) => bytes[at] === byte)) return;
          answers.set(new DataView(event.data.buffer).getUint32(mine.length), bytes.slice(mine.length + 4));
          if (answers.size < asks.length) return;
          channel.close();
          resolve(asks.map((_, n) => answers.get(n)!));
        };
        say();
      }),
    [asks, [...said(ANSWER), ...tab], [...said(LEADING)]] as const,
  );
  return answers.map(([done, ...answer]) => {
    if (done !== 1) throw new Error(`the messenger answers failure ${answer[0]}`);
    return Buffer.from(answer);
  });
}

/** Where the messenger is, as it says itself. */
export async function phase(page: Page): Promise<string> {
  const tag = await page.evaluate(
    ([hello, state]) =>
      new Promise<number>((resolve) => {
        const channel = new BroadcastChannel('rly');
        const asking = setInterval(() => channel.postMessage(new Uint8Array(hello)), 50);
        channel.onmessage = (event: MessageEvent<Uint8Array>) => {
          if (!state.every((byte, at) => event.data[at] === byte)) return;
          clearInterval(asking);
          channel.close();
          resolve(event.data[state.length]!);
        };
      }),
    // What a new tab says; nobody answers before the messenger runs.
    [[...said(HELLO)], [...said(UPDATE), STATE]] as const,
  );
  return PHASES[tag - 1] ?? `phase ${tag}`;
}

function said(tag: number): Buffer {
  return Buffer.from([VERSION, tag]);
}

function byte(value: number): Buffer {
  return Buffer.from([value]);
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function string(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([number(bytes.length), bytes]);
}

class Reader {
  #at = 0;

  constructor(readonly bytes: Buffer) {}

  take(length: number): Buffer {
    this.#at += length;
    return this.bytes.subarray(this.#at - length, this.#at);
  }

  byte(): number {
    return this.take(1)[0]!;
  }

  string(): string {
    return this.take(this.take(4).readUInt32BE()).toString();
  }
}
