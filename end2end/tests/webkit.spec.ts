import { expect, test } from '../support/fixtures.js';
import { correspond } from '../support/journey.js';

test.setTimeout(120_000);

test('from WebKit to WebKit', async ({ webkitPerson }) => {
  await correspond(await webkitPerson('Alice'), await webkitPerson('Bob'));
});

test('WebKit writes, Chromium answers', async ({ webkitPerson, bob }) => {
  await correspond(await webkitPerson('Alice'), bob);
});

test('Chromium writes, WebKit answers', async ({ alice, webkitPerson }) => {
  await correspond(alice, await webkitPerson('Bob'));
});

test('a page that is come back to shows what came meanwhile, and works', async ({ webkitPerson, bob }) => {
  const alice = await webkitPerson('Alice');
  await bob.openLink(await alice.writeLetter('a letter from Alice'));
  await bob.reply('a reply from Bob');
  await alice.openConversation('Bob');
  await alice.hears('a reply from Bob');
  await alice.begin('half a thou');
  // The browser keeps the page, and this one leads.
  await alice.leaveFor('/settings');
  await bob.say('said meanwhile');
  await bob.expectState('said meanwhile', 'delivered');
  expect(await alice.back(), 'the page was kept').toBe(true);
  await alice.hears('said meanwhile');
  await alice.finds('half a thou');
  await bob.say('said after');
  await alice.hears('said after');
  await alice.say('half a thought');
  await bob.hears('half a thought');
  const talk = ['a letter from Alice', 'a reply from Bob', 'said meanwhile', 'said after', 'half a thought'];
  const own = [true, false, false, false, true];
  await alice.expectConversation(talk.map((text, n) => ({ own: own[n]!, text })));
  await alice.expectAllDelivered();
});
