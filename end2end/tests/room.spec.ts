// Rooms, as people see them: made, joined by link or code, talked in by several, and gone.
import { MovedClock } from '../support/clock.js';
import { expect, test } from '../support/fixtures.js';
import { mine, theirs } from '../support/person.js';
import { Guest } from '../support/room.js';

const ENDED = 'This room has ended';

/** How everybody sees what somebody said. */
const seenBy = (guest: Guest, said: [Guest, string][]) =>
  said.map(([who, text]) => (who === guest ? mine(text) : theirs(text)));

test('five people talk in one order, and who comes late reads it too', async ({ person }) => {
  test.setTimeout(120_000);
  const guests: Guest[] = [];
  for (const name of ['Ada', 'Bob', 'Ada', 'Dan', 'Eve']) guests.push(new Guest(await person(name)));
  const [ada, bob, other, dan, eve] = guests as [Guest, Guest, Guest, Guest, Guest];
  const link = await ada.make();
  for (const guest of [ada, bob, other, dan]) await guest.join(link);
  // The second of two equal names has a number, beside the name.
  for (const guest of [ada, bob, other, dan]) await guest.expectPeople('Ada', 'Bob', 'Ada 2', 'Dan');

  // Everybody at once: the order is the server's, and one.
  const words = (guest: Guest, n: number) => `word ${n} of ${guests.indexOf(guest)}`;
  const talkers = [ada, bob, other, dan];
  await Promise.all(
    talkers.map(async (guest) => {
      for (let n = 0; n < 5; n += 1) await guest.say(words(guest, n));
    }),
  );
  for (const guest of talkers) await expect(guest.person.messages).toHaveCount(20);
  const texts = async (guest: Guest) => (await guest.person.transcript()).map(({ text }) => text);
  await expect.poll(() => texts(bob)).toEqual(await texts(ada));
  const order = await texts(ada);
  for (const guest of talkers) {
    await expect.poll(() => texts(guest)).toEqual(order);
    expect(order.filter((text) => text.endsWith(`of ${guests.indexOf(guest)}`))).toEqual([0, 1, 2, 3, 4].map((n) => words(guest, n)));
    await expect(guest.person.log.locator('article[data-own="true"][data-state="sent"]')).toHaveCount(5);
  }

  await eve.join(link);
  await expect.poll(() => texts(eve)).toEqual(order);
  await eve.say('better late than never');
  for (const guest of talkers) await guest.person.hears('better late than never');
  // A name is shown with what was said, its number beside it.
  const said = eve.person.page.locator('.message').filter({ hasText: words(other, 0) });
  await expect(said.locator('.who')).toHaveText('Ada');
  await expect(said.locator('.nth')).toHaveText('2');
  await expect(ada.closes).toHaveText(/^[45]:\d\d$/);
});

test('own messages can be read after a reload, and leaving and coming back restores the session', async ({ alice, bob }) => {
  const [a, b] = [new Guest(alice), new Guest(bob)];
  const link = await a.make();
  await a.join(link);
  await b.join(link);
  await a.say('mine, also later');
  await bob.hears('mine, also later');
  await bob.say('hers');
  const said: [Guest, string][] = [
    [a, 'mine, also later'],
    [b, 'hers'],
  ];
  await a.expectTalk(seenBy(a, said));
  await alice.reload();
  await a.isInside();
  await a.expectTalk(seenBy(a, said));
  await b.expectPeople('Alice', 'Bob');

  await alice.button('Leave').click();
  await expect(alice.button('Join room')).toBeVisible();
  await b.expectPeople('Bob');
  await bob.say('while she was away');
  await alice.button('Join room').click();
  await a.isInside();
  await b.expectPeople('Alice', 'Bob');
  await a.expectTalk(seenBy(a, [...said, [b, 'while she was away']]));
  // Closed, and opened again in the same browser: the same person.
  await alice.closeTabs();
  await b.expectPeople('Bob');
  await alice.reopen(new URL(link).pathname + new URL(link).hash);
  await a.isInside();
  await b.expectPeople('Alice', 'Bob');
  await alice.say('back');
  await bob.hears('back');
});

test('two tabs are one person and show the same', async ({ alice, bob }) => {
  const [a, b] = [new Guest(alice), new Guest(bob)];
  const link = await a.make();
  await a.join(link);
  await b.join(link);
  await a.say('from the first tab');
  const second = new Guest(await alice.secondTab());
  await second.isInside();
  await b.expectPeople('Alice', 'Bob');
  await second.say('from the second tab');
  await bob.say('to both');
  const said: [Guest, string][] = [
    [a, 'from the first tab'],
    [a, 'from the second tab'],
    [b, 'to both'],
  ];
  for (const tab of [a, second]) await tab.expectTalk(seenBy(a, said));
  await b.expectTalk(seenBy(b, said));
  // The leading tab goes; the other one goes on.
  await alice.page.close();
  await second.say('alone now');
  await bob.hears('alone now');
  await b.say('still there?');
  await second.expectTalk(seenBy(a, [...said, [a, 'alone now'], [b, 'still there?']]));
  // What one tab deletes is gone in the other.
  const third = new Guest(await second.person.secondTab());
  await third.isInside();
  await third.person.button('Delete everything').click();
  await third.person.confirm();
  for (const tab of [second, third]) await tab.expectOver('Everything of yours was deleted');
  expect(await third.kept()).toBe(0);
  await b.expectPeople('Bob');
  await b.expectTalk(seenBy(b, [[b, 'to both'], [b, 'still there?']]));
});

test('"Delete everything" takes back messages and membership at once', async ({ alice, bob }) => {
  const [a, b] = [new Guest(alice), new Guest(bob)];
  const link = await a.make();
  await a.join(link);
  await b.join(link);
  await b.say('to be regretted');
  await alice.hears('to be regretted');
  await a.say('an answer');
  await bob.button('Delete everything').click();
  await expect(bob.page.getByRole('alertdialog')).toBeVisible();
  await bob.button('Cancel').click();
  await expect(bob.message('to be regretted')).toBeVisible();
  await bob.button('Delete everything').click();
  await bob.confirm();
  await b.expectOver('Everything of yours was deleted');
  expect(await b.kept()).toBe(0);
  await a.expectPeople('Alice');
  await a.expectTalk([mine('an answer')]);
  // Who comes again is somebody new.
  await b.join(link, 'Bob');
  await b.expectTalk([theirs('an answer')]);
  await a.expectPeople('Alice', 'Bob');
});

test('who made a room ends it for all', async ({ alice, bob, carol }) => {
  const [a, b, c] = [new Guest(alice), new Guest(bob), new Guest(carol)];
  for (const person of [alice, bob, carol]) person.watch.expectStatus(404);
  const link = await a.make();
  await a.join(link);
  await b.join(link);
  await b.say('soon gone');
  await alice.hears('soon gone');
  await expect(bob.button('End for all')).toHaveCount(0);
  await alice.button('End for all').click();
  await alice.confirm();
  for (const guest of [a, b]) {
    await guest.expectOver(ENDED);
    await expect(guest.person.page.getByText('Who made it has ended it for all.')).toBeVisible();
    await expect.poll(() => guest.kept()).toBe(0);
  }
  await c.open(link);
  await expect(carol.alert).toContainText('There is no such room');
  // And after a reload.
  await bob.reload();
  await expect(bob.alert).toContainText('There is no such room');
  await expect(bob.textbox('Room code')).toBeVisible();
});

test('a room ends when nobody says anything, and at its time', async ({ startServer, person }, info) => {
  test.setTimeout(120_000);
  const clock = new MovedClock((name) => info.outputPath(name));
  const server = await startServer(clock.env);
  const guests: Guest[] = [];
  for (const name of ['Alice', 'Bob']) guests.push(new Guest(await person(name, { on: server })));
  const [a, b] = guests as [Guest, Guest];
  const idle = await a.make({ idleMinutes: 2, hours: 1 });
  await a.join(idle);
  await b.join(idle);
  await expect(b.closes).toHaveText(/^(2:00|1:\d\d)$/);
  await a.say('the last word');
  await b.person.hears('the last word');
  // A word within the time keeps it.
  clock.goAhead(100);
  await b.say('not quite the last');
  await a.person.hears('not quite the last');
  clock.goAhead(150);
  await b.say('still open');
  await a.person.hears('still open');
  clock.goAhead(300);
  for (const guest of guests) {
    await guest.expectOver(ENDED);
    await expect(guest.person.page.getByText('Nobody said anything for the time that was set.')).toBeVisible();
    await expect.poll(() => guest.kept()).toBe(0);
  }

  const life = await a.make({ idleMinutes: 60, hours: 1 });
  await a.join(life);
  await b.join(life);
  clock.goAhead(300 + 1_800);
  await b.say('in the middle of it');
  await a.person.hears('in the middle of it');
  clock.goAhead(300 + 3_500);
  await a.say('near the end');
  await b.person.hears('near the end');
  clock.goAhead(300 + 3_601);
  for (const guest of guests) {
    await guest.expectOver(ENDED);
    await expect(guest.person.page.getByText('Its time was over.')).toBeVisible();
  }
});

test('a full room, a wrong code and a room that is not there say so in kind words', async ({ alice, bob, carol }) => {
  const [a, b, c] = [new Guest(alice), new Guest(bob), new Guest(carol)];
  carol.watch.expectStatus(404);
  const link = await a.make({ preset: 'Two-person session' });
  await a.join(link);
  await expect(a.closes).toHaveText(/^1[45]:\d\d$/);
  await b.join(link);
  await c.tryJoin(link);
  await expect(carol.alert).toHaveText('This room is full.');
  // Somebody makes room: the same form does.
  await bob.button('Delete everything').click();
  await bob.confirm();
  await b.expectOver('Everything of yours was deleted');
  await carol.button('Join room').click();
  await c.isInside();

  await carol.goto('/r');
  const code = carol.textbox('Room code');
  await code.fill('not a code');
  await carol.button('Open room').click();
  await expect(carol.alert).toContainText('not a whole room code');
  await code.fill('abcde-fghij-klmno-pqrst-uvwxy-z');
  await carol.button('Open room').click();
  await expect(carol.alert).toContainText('There is no such room');
  // The right one, as somebody types it who was told it.
  const told = new URL(link).hash.slice(1).toUpperCase().replace(/(.{5})/g, '$1 ');
  await code.fill(told);
  await carol.button('Open room').click();
  await c.isInside();
});

test('a room that exists with another secret is told apart', async ({ alice, bob, server }) => {
  const [a, b] = [new Guest(alice), new Guest(bob)];
  const link = await a.make();
  const id = await roomId(new URL(link).hash.slice(1));
  const state = await (await fetch(`${server.url}/api/rooms/${id}`)).json();
  expect(state.limits).toEqual({ idle_seconds: 300, life_seconds: 43_200, people: 50, history: 200 });
  const taken = await fetch(`${server.url}/api/rooms`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ room: id, limits: state.limits, token_hash: Buffer.alloc(32).toString('base64url'), creator: await publicKey() }),
  });
  expect([taken.status, (await taken.json()).error.code]).toEqual([409, 'room_taken']);
  await a.join(link);
  await b.join(link);

  const code = 'a'.repeat(26);
  const made = await fetch(`${server.url}/api/rooms`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      room: await roomId(code),
      token_hash: Buffer.alloc(32).toString('base64url'),
      creator: await publicKey(),
      limits: state.limits,
    }),
  });
  expect(made.status).toBe(200);
  await b.tryJoin(`${server.url}/r#${code}`);
  await expect(bob.alert).toContainText('does not fit the room');
});

test('what was said outlives a kill and a restart of the server', async ({ alice, bob, server }) => {
  const [a, b] = [new Guest(alice), new Guest(bob)];
  for (const person of [alice, bob]) person.watch.expectOutage();
  const link = await a.make();
  await a.join(link);
  await b.join(link);
  const said: [Guest, string][] = [];
  for (let n = 0; n < 3; n += 1) {
    await a.say(`before ${n}`);
    said.push([a, `before ${n}`]);
  }
  await expect(alice.log.locator('[data-own="true"][data-state="sent"]')).toHaveCount(3);
  await server.kill9();
  await expect(alice.connection).not.toHaveAttribute('data-connection', 'online');
  await a.say('into the dark');
  said.push([a, 'into the dark']);
  await alice.expectState('into the dark', 'sending');
  await server.run();
  await alice.expectState('into the dark', 'sent');
  await b.isInside();
  await b.say('there you are');
  said.push([b, 'there you are']);
  for (const guest of [a, b]) await guest.expectTalk(seenBy(guest, said));
  await server.stop();
  await server.run();
  for (const guest of [a, b]) {
    await guest.isInside();
    await guest.expectTalk(seenBy(guest, said));
    await guest.expectPeople('Alice', 'Bob');
  }
  // And who was not there.
  await alice.reload();
  await a.isInside();
  await a.expectTalk(seenBy(a, said));
});

test('a thousand characters are a thousand as a person counts them', async ({ alice, bob }) => {
  const [a, b] = [new Guest(alice), new Guest(bob)];
  const link = await a.make();
  await a.join(link);
  await b.join(link);
  const family = '👩‍👩‍👧';
  const long = family.repeat(1_000);
  await alice.textbox('Message').fill(`${long}!`);
  await expect(alice.alert).toHaveText('One character too long. Please shorten it a little.');
  await expect(alice.page.getByText('1,001 / 1,000')).toBeVisible();
  await expect(alice.button('Send')).toBeDisabled();
  await alice.textbox('Message').press('Enter');
  await expect(alice.messages).toHaveCount(0);
  await alice.textbox('Message').fill(long);
  await expect(alice.page.getByText('1,000 / 1,000')).toBeVisible();
  await expect(alice.alert).toHaveCount(0);
  await alice.button('Send').click();
  await bob.hears(long);
  await bob.say('first\nsecond <b>not bold</b>');
  await alice.hears('first\nsecond <b>not bold</b>');
  await alice.say('مرحبا بكم');
  const line = bob.message('مرحبا بكم').locator('[dir=auto]');
  expect(await line.evaluate((element) => getComputedStyle(element).direction)).toBe('rtl');
});

test('offline, what is said waits, and goes out in order', async ({ alice, bob }) => {
  const [a, b] = [new Guest(alice), new Guest(bob)];
  const link = await a.make();
  await a.join(link);
  await b.join(link);
  await alice.offline();
  // A socket that is open stays so in Chromium; loaded anew, nothing is.
  await a.say('one');
  await a.say('two');
  await alice.online();
  await bob.hears('one');
  await b.expectTalk([theirs('one'), theirs('two')]);
  await a.expectTalk([mine('one'), mine('two')]);
});

test('the room goes by keyboard alone', async ({ alice, bob }) => {
  const [a, b] = [new Guest(alice), new Guest(bob)];
  const tabTo = async (role: 'button' | 'textbox' | 'link', name: string) => {
    const target = alice.page.getByRole(role, { name, exact: true });
    await expect(target).toBeVisible();
    for (let n = 0; n < 40; n += 1) {
      if (await target.evaluate((element) => element === document.activeElement)) return;
      await alice.page.keyboard.press('Tab');
    }
    throw new Error(`no way to ${role} "${name}" by Tab`);
  };
  await alice.goto('/rooms');
  await tabTo('button', 'Create room');
  await alice.page.keyboard.press('Enter');
  await expect(alice.textbox('Room link')).toHaveValue(/\/r#./);
  const link = await alice.textbox('Room link').inputValue();
  await tabTo('link', 'Go to the room');
  await alice.page.keyboard.press('Enter');
  await tabTo('textbox', 'Name in this room');
  await alice.page.keyboard.type('Alice');
  await alice.page.keyboard.press('Enter');
  await a.isInside();
  await expect(alice.textbox('Message')).toBeFocused();
  await alice.page.keyboard.type('typed');
  await alice.page.keyboard.press('Enter');
  await b.join(link);
  await b.expectTalk([theirs('typed')]);
  await tabTo('button', 'Share room');
  await alice.page.keyboard.press('Enter');
  await expect(alice.textbox('Room link')).toHaveValue(link);
  await alice.page.keyboard.press('Escape');
  await expect(alice.button('Share room')).toBeFocused();
});

test('two people keep each other as contacts, if both want it', async ({ alice, bob, carol }) => {
  test.setTimeout(120_000);
  const [a, b, c] = [new Guest(alice), new Guest(bob), new Guest(carol)];
  const link = await a.make();
  await a.join(link);
  await b.join(link);
  await c.join(link);
  await bob.button('Alice').click();
  await bob.button('Keep as contact').click();
  await expect(bob.dialog.getByRole('status')).toContainText('You have asked.');
  await expect(alice.page.getByText('would like to stay in contact')).toContainText('Bob');
  await alice.button('Keep as contact').click();
  await expect(bob.dialog.getByRole('status')).toHaveText('You find each other in your chats.');
  await bob.dialog.getByRole('link', { name: 'Go to your chats' }).click();
  await bob.page.waitForURL('**/chat');
  await bob.ready();
  await bob.openConversation('Alice');
  await bob.say('outside now');
  const chats = await alice.newTab();
  await chats.openConversation('Bob');
  await chats.hears('outside now');
  await chats.say('and for good');
  await bob.hears('and for good');
  // Nobody else hears of it.
  await a.say('said to all');
  await c.expectTalk([theirs('said to all')]);
  await expect(carol.page.getByText('stay in contact')).toHaveCount(0);
});

test('who does not want to stay in contact is asked no more', async ({ alice, bob }) => {
  const [a, b] = [new Guest(alice), new Guest(bob)];
  const link = await a.make();
  await a.join(link);
  await b.join(link);
  await bob.button('Alice').click();
  await bob.button('Keep as contact').click();
  await alice.button('No, thank you').click();
  await expect(alice.button('No, thank you')).toHaveCount(0);
  await bob.page.keyboard.press('Escape');
  await b.say('never mind');
  await alice.hears('never mind');
  await alice.goto('/chat');
  await expect(alice.button('Create SIM')).toBeVisible();
});

test('deleting everything in this browser takes the rooms along', async ({ alice, bob }) => {
  const [a, b] = [new Guest(alice), new Guest(bob)];
  const link = await a.make();
  await a.join(link);
  await b.join(link);
  await b.say('kept nowhere');
  await alice.hears('kept nowhere');
  const settings = await alice.newTab();
  await settings.goto('/settings');
  await settings.button('Delete everything in this browser').click();
  await settings.confirm();
  await expect(settings.page.getByText('Everything of Rly Chat was deleted in this browser.')).toBeVisible();
  // Its key is gone: whoever comes now is somebody else.
  await expect(a.nameBox).toBeVisible();
  await expect(alice.log).toHaveCount(0);
  await b.expectPeople('Bob');
});

/** As docs/protocol.md, section 11, derives it. */
async function roomId(code: string): Promise<string> {
  const key = await crypto.subtle.importKey('raw', Buffer.from(code), 'HKDF', false, ['deriveBits']);
  const info = Buffer.from('rly room id v1\0');
  const bits = await crypto.subtle.deriveBits({ name: 'HKDF', hash: 'SHA-256', salt: Buffer.alloc(0), info }, key, 256);
  return Buffer.from(bits).subarray(0, 16).toString('base64url');
}

async function publicKey(): Promise<string> {
  const pair = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
  const raw = await crypto.subtle.exportKey('raw', pair.publicKey);
  return Buffer.from(raw).toString('base64url');
}
