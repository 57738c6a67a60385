import { expect } from '@playwright/test';
import { ask, loadNewest, send, stateOfOwn } from './messenger.js';
import type { Person } from './person.js';

/**
 * Makes a long conversation as fast as the messenger can: commands are said to its worker as another tab
 * would say them, so nothing is typed and nothing drawn. All else is as ever: each message is encrypted,
 * stored, sent, received, stored and receipted.
 */
export async function chatter(person: Person, conversation: string, from: number, to: number): Promise<void> {
  const commands = [];
  for (let n = from; n < to; n += 1) commands.push(command(person, conversation, n));
  for (let n = 0; n < commands.length; n += 100) await ask(person.page, commands.slice(n, n + 100));
}

/** Waits until the newest message of one's own has arrived, and so all before it. */
export async function delivered(person: Person, conversation: string): Promise<void> {
  const newest = async () => {
    const [answer] = await ask(person.page, [loadNewest(conversation, 1000)]);
    return stateOfOwn(answer!);
  };
  await expect.poll(newest, { timeout: 600_000, intervals: [500] }).toBe('Delivered');
}

function command(person: Person, conversation: string, n: number): Buffer {
  const words = 'and so on, as people say it in a line or two, now shorter and now longer, with a comma here and there';
  const text = `number ${n} from ${person.name}: ${words.slice(0, 10 + ((n * 37) % 90))}`;
  const id = Buffer.alloc(16);
  id.write(person.name);
  id.writeUInt32BE(n, 12);
  return send(conversation, id, text);
}
