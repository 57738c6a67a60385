import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import path from 'node:path';
import { expect, test } from '../support/fixtures.js';
import { tour } from '../support/tour.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = path.join(root, 'end2end/shots');

for (const [width, height] of [
  [390, 844],
  [1280, 800],
] as const) {
  for (const colorScheme of ['light', 'dark'] as const) {
    test(`each page and dialog at ${width} px, ${colorScheme}`, { tag: '@shots' }, async ({ person }) => {
      test.setTimeout(180_000);
      await mkdir(folder, { recursive: true });
      const alice = await person('Alice', { viewport: { width, height }, colorScheme });
      for (const [n, { name, show }] of tour(alice, await person('Bob'), await person('Carol')).entries()) {
        await show();
        const number = String(n + 1).padStart(2, '0');
        const file = path.join(folder, `${number}-${name}-${width}-${colorScheme}.png`);
        await alice.page.screenshot({ path: file, animations: 'disabled', fullPage: true });
      }
    });
  }
}

test('the picture in the README', { tag: '@shots' }, async ({ person }) => {
  const alice = await person('Alice', { viewport: { width: 1280, height: 800 }, colorScheme: 'light' });
  const people: [string, string, string][] = [
    ['Grandpa Otto', 'Dear Grandpa, thank you for the chess set!', 'Next time I let you win again.'],
    ['Mina', 'Hello Mina, here is the recipe that I promised.', 'It smells wonderful already!'],
    ['Bob', 'Dear Bob,\n\nshall we go for a walk on Saturday? I found a path along the river.', 'With pleasure! Ten o’clock at the bridge?'],
  ];
  for (const [name, letter, reply] of people) {
    const friend = await person(name);
    await friend.openLink(await alice.writeLetter(letter));
    await friend.reply(reply);
    await alice.openConversation(name);
    await alice.hears(reply);
    if (name !== 'Bob') continue;
    await alice.say('Perfect. I bring tea, and something to eat for the ducks.');
    await friend.hears('Perfect. I bring tea, and something to eat for the ducks.');
    await friend.say('The ducks say thank you. 🦆');
    await alice.hears('The ducks say thank you. 🦆');
    await alice.say('See you on Saturday!');
    await alice.expectAllDelivered();
  }
  // The reminder has done its work once the file is saved.
  await alice.exportSim();
  await alice.openConversation('Bob');
  await expect(alice.messages).toHaveCount(5);
  await alice.page.screenshot({ path: path.join(root, 'docs/screenshot.png'), animations: 'disabled' });
});
