// Tabs and servers of different versions.
import { expect, meet, test } from '../support/fixtures.js';
import type { Page } from '@playwright/test';

const LOCK = 'rly-leader';

/** Says a word on the channel of the workers, and gives the first answer in words; runs in the page. */
function meets(page: Page, word: string, waitForAnswer: boolean): Promise<string> {
  return page.evaluate(
    ([word, wait]) =>
      new Promise<string>((resolve) => {
        const channel = new BroadcastChannel('rly');
        channel.onmessage = ({ data }) => {
          if (typeof data === 'string') resolve(data);
        };
        channel.postMessage(word);
        if (!wait) resolve('');
      }),
    [word, waitForAnswer] as const,
  );
}

test('a tab that meets a newer version makes room for it, and asks for a reload', async ({ alice, bob }) => {
  await meet(alice, bob);
  await meets(alice.page, 'rly version 250', false);
  await expect(alice.alert).toContainText(/newer version/);
  // The lock is free for whoever is newer.
  await expect
    .poll(() => alice.page.evaluate(async (name) => (await navigator.locks.query()).held?.some((lock) => lock.name === name), LOCK))
    .toBe(false);
  await alice.button('Reload').click();
  await alice.ready();
  await alice.say('after the reload');
  await bob.hears('after the reload');
});

test('a tab that meets an older version tells it so', async ({ alice }) => {
  await alice.createSim();
  expect(await meets(alice.page, 'rly version 0', true)).toMatch(/^rly version [1-9]/);
  await expect(alice.alert).toHaveCount(0);
});

test('a page whose worker the server no longer has asks for a reload', async ({ alice }) => {
  await alice.createSim();
  // As after a deployment: the names of the files have changed.
  alice.watch.expectStatus(404);
  await alice.context.route(/\/worker[^/]*\.(js|wasm)/, (route) => route.fulfill({ status: 404, body: '' }));
  await alice.goto('/chat');
  await expect(alice.alert).toContainText(/newer version/);
  await expect(alice.button('Reload')).toBeVisible();
  await alice.context.unrouteAll();
  await alice.button('Reload').click();
  await alice.ready();
  await expect(alice.button('Share contact')).toBeVisible();
});
