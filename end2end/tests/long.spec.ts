import type { Locator } from '@playwright/test';
import { chatter, delivered } from '../support/crowd.js';
import { expect, meet, test } from '../support/fixtures.js';
import type { Person } from '../support/person.js';

/** By each of two: together more than are drawn at once. */
const EACH = 240;

test('a long conversation is read from its end to its beginning and back, each message once, in order', async ({
  alice,
  bob,
}) => {
  test.setTimeout(300_000);
  await meet(alice, bob);
  const talk = new URL(alice.page.url());
  const talkOfBob = new URL(bob.page.url()).hash.slice(1);
  const conversation = talk.hash.slice(1);
  // Where nothing is drawn.
  for (const person of [alice, bob]) await person.goto('/settings');
  await Promise.all([chatter(alice, conversation, 1, EACH), chatter(bob, talkOfBob, 1, EACH)]);
  await Promise.all([delivered(alice, conversation), delivered(bob, talkOfBob)]);
  await alice.goto(talk.pathname + talk.hash);
  await expect(alice.messages.last()).toBeInViewport();

  const up = await read(alice, -1);
  expect(up[0]).toBe('a letter from Alice');
  expect(new Set(up).size, 'each once').toBe(up.length);
  expect(up).toHaveLength(2 + 2 * (EACH - 1));
  for (const { name } of [alice, bob]) expect(numbers(up, name), `what ${name} said`).toEqual(counted());

  // What comes meanwhile takes nobody away from what is being read.
  await bob.goto('/chat');
  await bob.openConversation('Alice');
  await bob.say('said while Alice reads old ones');
  await expect(alice.button('New messages')).toBeVisible();
  await expect(alice.message('a letter from Alice')).toBeInViewport();
  const down = await read(alice, 1);
  expect(down).toEqual([...up, 'said while Alice reads old ones']);
  await expect(alice.button('New messages')).toHaveCount(0);

  // By the keyboard, from far away, and by the button.
  await leap(alice);
  await alice.log.press('End');
  await expect(alice.message('said while Alice reads old ones')).toBeInViewport();
  await leap(alice);
  await bob.say('and one more');
  await alice.button('New messages').click();
  await expect(alice.message('and one more')).toBeInViewport();
  // One's own is always seen.
  await leap(alice);
  await alice.say('an answer at last');
  await expect(alice.message('an answer at last')).toBeInViewport();
  await bob.hears('an answer at last');
});

/** To the beginning, as who drags the scroll bar to its upper end and holds it there. */
async function leap(person: Person): Promise<void> {
  const first = person.message('a letter from Alice');
  await person.log.evaluate(async (log) => {
    // In a task of its own after the frame, as a pointer that moves.
    const frame = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
    // Each time there is more above: it ends where nothing has come for a second.
    for (let still = 0, oldest = ''; still < 60; still += 1) {
      log.scrollTo(0, 0);
      await frame();
      const now = log.querySelector('article')!.textContent;
      if (now !== oldest || log.getAttribute('aria-busy') === 'true') still = 0;
      oldest = now;
    }
  });
  await expect(first).toBeInViewport();
}

function numbers(texts: string[], name: string): number[] {
  return texts.map((text) => new RegExp(`^number (\\d+) from ${name}`).exec(text)?.[1]).filter(Boolean).map(Number);
}

function counted(): number[] {
  return Array.from({ length: EACH - 1 }, (_, n) => n + 1);
}

/**
 * Turns the wheel until nothing moves any more. What is on the screen must always go on from what was
 * there a moment ago: nothing may be skipped, or come between. Gives all that was seen, oldest first.
 */
async function read({ page, log }: Person, direction: 1 | -1): Promise<string[]> {
  const box = (await log.boundingBox())!;
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  let all = await onScreen(log);
  for (let still = 0; still < 5; ) {
    await page.mouse.wheel(0, direction * Math.round(box.height * 0.8));
    await drawn(log);
    const now = await onScreen(log);
    const before = all.length;
    all = direction < 0 ? join(now, all) : join(all, now);
    // At the end there may be more to come from the store.
    const busy = (await log.getAttribute('aria-busy')) === 'true';
    still = all.length > before || busy ? 0 : still + 1;
  }
  return all;
}

/** Lets the browser scroll and draw: the second frame begins when the first is done. */
function drawn(log: Locator): Promise<void> {
  return log.evaluate(
    () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve()))),
  );
}

/** Two stretches of one list, of which the first ends where the second goes on. */
function join(older: string[], newer: string[]): string[] {
  const [first] = newer;
  const at = older.indexOf(first!);
  expect(at, `"${first}" goes on from ${JSON.stringify(older.slice(-12))}`).toBeGreaterThanOrEqual(0);
  const common = older.slice(at);
  expect(newer.slice(0, common.length)).toEqual(common.slice(0, newer.length));
  return [...older, ...newer.slice(common.length)];
}

/** The texts of the messages that are wholly or partly on the screen. */
function onScreen(log: Locator): Promise<string[]> {
  return log.evaluate((log) => {
    const { top, bottom } = log.getBoundingClientRect();
    return [...log.querySelectorAll('article')]
      .filter((article) => {
        const box = article.getBoundingClientRect();
        return box.bottom > top && box.top < bottom;
      })
      .map((article) => article.textContent);
  });
}
