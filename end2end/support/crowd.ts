import { expect } from '@playwright/test';
import type { Person } from './person.js';

/**
 * Makes a long conversation as fast as the messenger can: commands are said to its worker as another tab
 * would say them, so nothing is typed and nothing drawn. All else is as ever: each message is encrypted,
 * stored, sent, received, stored and receipted.
 */
export async function chatter(person: Person, conversation: string, from: number, to: number): Promise<void> {
  const commands = [];
  for (let n = from; n < to; n += 1) commands.push(send(person, conversation, n));
  for (let n = 0; n < commands.length; n += 100) await ask(person, commands.slice(n, n + 100));
}

/** Waits until the newest message of one's own has arrived, and so all before it. */
export async function delivered(person: Person, conversation: string): Promise<void> {
  const newest = async () => {
    const [answer] = await ask(person, [{ LoadMessages: { conversation, before: null, limit: 1000 } }]);
    const { messages } = (answer as { Messages: { messages: { own: boolean; state: string | null }[] } }).Messages;
    return messages.findLast(({ own }) => own)?.state;
  };
  await expect.poll(newest, { timeout: 600_000, intervals: [500] }).toBe('Delivered');
}

function send(person: Person, conversation: string, n: number): unknown {
  const words = 'and so on, as people say it in a line or two, now shorter and now longer, with a comma here and there';
  const text = `number ${n} from ${person.name}: ${words.slice(0, 10 + ((n * 37) % 90))}`;
  const id = Buffer.alloc(16);
  id.write(person.name);
  id.writeUInt32BE(n, 12);
  return { Send: { conversation, id: id.toString('base64url'), text } };
}

/**
 * Says commands to the messenger of this browser, and gives the answers. As each tab it says again what was not
 * answered when another worker begins to lead: the one before may have ended with it.
 */
function ask(person: Person, commands: unknown[]): Promise<unknown[]> {
  return person.page.evaluate(
    (commands) =>
      new Promise<unknown[]>((resolve, reject) => {
        const channel = new BroadcastChannel('rly');
        const tab = crypto.randomUUID();
        const answers = new Map<number, unknown>();
        const say = () => {
          for (const [n, command] of commands.entries()) {
            if (!answers.has(n)) channel.postMessage(JSON.stringify({ Ask: { tab, n, command } }));
          }
        };
        channel.onmessage = (event) => {
          const said = JSON.parse(event.data);
          if (said === 'Leading') return say();
          const answer = said.Answer;
          if (answer?.tab !== tab) return;
          if (answer.outcome.Err) reject(new Error(JSON.stringify(answer.outcome.Err)));
          answers.set(answer.n, answer.outcome.Ok);
          if (answers.size < commands.length) return;
          channel.close();
          resolve(commands.map((_, n) => answers.get(n)));
        };
        say();
      }),
    commands,
  );
}
