import { test } from '../support/fixtures.js';
import { correspond } from '../support/journey.js';

test.setTimeout(120_000);

test('from Firefox to Firefox', async ({ alice, bob }) => {
  await correspond(alice, bob);
});

test('Firefox writes, Chromium answers', async ({ alice, chromiumPerson }) => {
  await correspond(alice, await chromiumPerson('Bob'));
});

test('Chromium writes, Firefox answers', async ({ chromiumPerson, bob }) => {
  await correspond(await chromiumPerson('Alice'), bob);
});
