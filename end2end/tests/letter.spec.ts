import { claim, inviteOf } from '../support/api.js';
import { expect, meet, test } from '../support/fixtures.js';
import { type Line, mine, theirs } from '../support/person.js';
import { readQr } from '../support/qr.js';

test('a letter becomes a link, is read without signing up, and its answer starts a conversation', async ({ alice, bob }) => {
  const letter = 'Dear Bob,\nthis is the first line that anybody reads here.';
  const link = await alice.writeLetter(letter);
  await bob.page.goto(link);
  await bob.ready();
  // Before Open nothing of it is shown, and Open is all there is to do.
  await expect(bob.letter).toHaveCount(0);
  await expect(bob.textbox('Your name')).toHaveCount(0);
  await bob.button('Open').click();
  await expect(bob.letter).toContainText('this is the first line that anybody reads here.');
  await expect(bob.page.getByText('Alice').first()).toBeVisible();
  // The secret does not stay in the address bar.
  expect(bob.page.url()).not.toContain(link.slice(-20));
  await bob.reply('Dear Alice, so it works.');
  await bob.expectConversation([theirs(letter), mine('Dear Alice, so it works.')]);

  // Who waits where the link is shown hears of the answer there.
  await expect(alice.page.getByRole('status').filter({ hasText: 'Bob' })).toContainText('answered.');
  await alice.page.getByRole('link', { name: 'Open the chat' }).click();
  await alice.inConversation();
  await alice.expectConversation([mine(letter), theirs('Dear Alice, so it works.')]);
  await bob.expectState('Dear Alice, so it works.', 'delivered');
  await alice.say('It does.');
  await bob.hears('It does.');
  await alice.expectState('It does.', 'delivered');
});

test('fifty messages each way arrive once, in order, and are delivered', async ({ alice, bob }) => {
  test.setTimeout(180_000);
  await meet(alice, bob);
  const from = (name: string) => Array.from({ length: 50 }, (_, n) => `${name} ${String(n + 1).padStart(2, '0')}.`);
  // Each writes while the other one does, so the two orders are checked apart from each other.
  await Promise.all([
    (async () => {
      for (const text of from('apple')) await alice.say(text);
    })(),
    (async () => {
      for (const text of from('berry')) await bob.say(text);
    })(),
  ]);
  await alice.expectAllDelivered();
  await bob.expectAllDelivered();
  for (const [person, own, other] of [
    [alice, 'apple', 'berry'],
    [bob, 'berry', 'apple'],
  ] as const) {
    const seen = await person.transcript();
    const texts = (isOwn: boolean) => seen.filter((line) => line.own === isOwn).map((line) => line.text);
    // Before them came the letter and the reply.
    expect(texts(true).slice(1)).toEqual(from(own));
    expect(texts(false).slice(1)).toEqual(from(other));
  }
});

test('turns taken quickly stay in the order in which they were spoken', async ({ alice, bob }) => {
  await meet(alice, bob);
  const talk: Line[] = [];
  for (let n = 1; n <= 6; n += 1) {
    const [speaker, listener, text] = n % 2 ? [alice, bob, `turn ${n} by Alice`] : [bob, alice, `turn ${n} by Bob`];
    await speaker.say(text);
    await listener.hears(text);
    talk.push(n % 2 ? mine(text) : theirs(text));
  }
  const first = [mine('a letter from Alice'), theirs('a reply from Bob')];
  const turned = (lines: Line[]) => lines.map(({ own, text }) => ({ own: !own, text }));
  await alice.expectConversation([...first, ...talk]);
  await bob.expectConversation(turned([...first, ...talk]));
});

test('the link is short, goes onto the clipboard, and the QR code says the same', async ({ alice, server }) => {
  const link = await alice.writeLetter('short link');
  expect(link.startsWith(`${server.url}/i#`)).toBe(true);
  expect(link.slice(server.url.length).length).toBeLessThanOrEqual(320);
  await expect(alice.inviteLink).toHaveAttribute('readonly', /.*/);
  await expect(alice.qr).toBeVisible();
  expect(await readQr(alice.qr)).toBe(link);
  await alice.button('Copy link').click();
  expect(await alice.pasted()).toBe(link);
});

test('the longest letter still fits into a short link', async ({ alice, bob }) => {
  // 32,768 bytes of UTF-8.
  const text = 'ß'.repeat(16_380) + 'the end.';
  const link = await alice.writeLetter(text);
  expect(new URL(link).pathname + new URL(link).hash).toMatch(/^.{1,320}$/);
  await bob.openLink(link);
  await expect(bob.letter).toContainText('ßßß');
  await expect(bob.letter).toContainText('the end.');
});

test('a letter needs a text and a name, and says so', async ({ alice }) => {
  await alice.goto('/letter');
  await alice.textbox('Letter').fill('without a name');
  await expect(alice.alert).toHaveCount(0);
  await alice.button('Create link').click();
  await expect(alice.alert).toContainText(/name/i);
  await expect(alice.inviteLink).toHaveCount(0);
  await alice.textbox('Your name').fill('Alice');
  await alice.button('Create link').click();
  await alice.shownLink();
  await expect(alice.alert).toHaveCount(0);
});

test('a server that swaps the card is caught', async ({ alice, bob, carol }) => {
  const link = await alice.writeLetter('from Alice');
  const other = await carol.writeLetter('from Carol');
  // What the server answers for Carol's link is given out for Alice's.
  const swapped = await claim(alice.server, inviteOf(other));
  await bob.context.route('**/api/import_contact', (route) => route.fulfill({ status: 200, json: swapped.body }));
  await bob.pressOpen(link);
  await expect(bob.alert).toBeVisible();
  await expect(bob.letter).toHaveCount(0);
});

test('who answered is told to keep the SIM until it was exported', async ({ alice, bob }) => {
  await meet(alice, bob);
  for (const person of [alice, bob]) {
    await person.goto('/chat');
    const notice = person.page.getByText(/Answers come only to this browser/i);
    await expect(notice).toBeVisible();
    await person.exportSim();
    await person.goto('/chat');
    await expect(person.conversations).toHaveCount(1);
    await expect(notice).toHaveCount(0);
  }
});
