import { expect, meet, test } from '../support/fixtures.js';
import { mine, theirs } from '../support/person.js';

const start = [mine('a letter from Alice'), theirs('a reply from Bob')];

test('reloaded at every step, nothing is lost and nothing doubled', async ({ alice, bob }) => {
  // While writing: the page starts afresh, and works.
  await alice.goto('/letter');
  await alice.textbox('Letter').fill('thrown away');
  await alice.reload();
  const link = await alice.writeLetter('a letter from Alice');

  // With the link shown: it is shown again.
  await alice.reload();
  expect(await alice.shownLink()).toBe(link);

  // Before Open: nothing is used up.
  await bob.page.goto(link);
  await bob.reload();
  await expect(bob.button('Open')).toBeVisible();
  await bob.button('Open').click();
  await expect(bob.letter).toContainText('a letter from Alice');

  // After Open, and while answering: the letter is there.
  await bob.reload();
  await expect(bob.letter).toContainText('a letter from Alice');
  await bob.textbox('Reply').fill('half an ans');
  await bob.reload();
  await expect(bob.letter).toContainText('a letter from Alice');
  await bob.reply('a reply from Bob');

  // In the conversation, with a message just sent.
  await bob.reload();
  await bob.expectConversation([theirs('a letter from Alice'), mine('a reply from Bob')]);
  await alice.reload();
  await alice.openConversation('Bob');
  await alice.textbox('Message').fill('sent and gone');
  await alice.button('Send').click();
  await expect(alice.message('sent and gone')).toBeVisible();
  await alice.reload();
  await alice.expectConversation([...start, mine('sent and gone')]);
  await bob.hears('sent and gone');
  await bob.reload();
  await bob.say('after the reload');
  await alice.hears('after the reload');
  await alice.expectConversation([...start, mine('sent and gone'), theirs('after the reload')]);
});

test('the link is still to be found after a reload', async ({ alice, bob }) => {
  const link = await alice.writeLetter('where was the link?');
  await alice.goto('/chat');
  expect(await alice.pendingLink()).toBe(link);
  await bob.openLink(link);
  await expect(bob.letter).toContainText('where was the link?');
});

test('an answer cut off by a reload is there once', async ({ alice, bob }) => {
  const link = await alice.writeLetter('a letter from Alice');
  await bob.openLink(link);
  await bob.textbox('Reply').fill('a reply from Bob');
  await bob.fillName();
  await bob.button('Send reply').click();
  await bob.page.reload();
  await bob.ready();
  // Either it had been stored, then it is sent, or the letter is still waiting for its answer.
  await bob.goto('/chat');
  await expect(bob.conversations.or(bob.waitingLetter('Alice'))).toBeVisible();
  if (await bob.waitingLetter('Alice').isVisible()) {
    await bob.waitingLetter('Alice').click();
    await bob.reply('a reply from Bob');
  }
  await alice.openConversation('Bob');
  await alice.expectConversation(start);
});

test('a claim whose answer was lost is repeated', async ({ alice, bob }) => {
  bob.watch.expectOutage();
  const link = await alice.writeLetter('lost on the way');
  let lost = 0;
  await bob.context.route('**/api/import_contact', async (route) => {
    lost += 1;
    if (lost > 1) return route.continue();
    // The server has done it, and nobody hears.
    await route.fetch();
    return route.abort('connectionreset');
  });
  await bob.pressOpen(link);
  await expect.poll(() => lost).toBeGreaterThan(0);
  await bob.reload();
  const open = bob.button('Open');
  await expect(open.or(bob.letter)).toBeVisible();
  if (await open.isVisible()) await open.click();
  await expect(bob.letter).toContainText('lost on the way');
});

test('a second tab shows the same, and both can write', async ({ alice, bob }) => {
  await meet(alice, bob);
  const second = await alice.newTab();
  await second.goto(alice.page.url());
  await second.expectConversation(start);
  await second.say('from the second tab');
  await alice.say('from the first tab');
  await bob.say('to both tabs');
  const talk = [...start, mine('from the second tab'), mine('from the first tab'), theirs('to both tabs')];
  await alice.expectConversation(talk);
  await second.expectConversation(talk);
  await bob.expectConversation(talk.map(({ own, text }) => ({ own: !own, text })));
  await alice.expectAllDelivered();
  await second.expectAllDelivered();
});

test('a worker that traps is replaced, and nothing is lost or doubled', async ({ alice, bob }) => {
  await meet(alice, bob);
  alice.watch.expectConsole(/RuntimeError/);
  const [worker] = alice.page.workers();
  if (!worker) throw new Error('no worker');
  const gone = worker.waitForEvent('close');
  // All that the wasm knows is overwritten, so the next thing that reaches it ends in a trap.
  await worker.evaluate(async () => {
    const glue = new URLSearchParams(location.hash.slice(1)).get('glue');
    const { initSync } = await import(String(glue));
    new Uint8Array(initSync().memory.buffer).fill(0xff);
  });
  await alice.textbox('Message').fill('said to a worker that is lost');
  await alice.button('Send').click();
  await gone;
  await bob.hears('said to a worker that is lost');
  await bob.say('to the fresh worker');
  await alice.hears('to the fresh worker');
  const talk = [...start, mine('said to a worker that is lost'), theirs('to the fresh worker')];
  await alice.expectConversation(talk);
  await bob.expectConversation(talk.map(({ own, text }) => ({ own: !own, text })));
});

test('the leading tab is closed, and the other goes on', async ({ alice, bob }) => {
  await meet(alice, bob);
  const second = await alice.newTab();
  await second.goto(alice.page.url());
  await second.expectConversation(start);
  // Closed in the same moment as the other one sends.
  await second.textbox('Message').fill('sent as the other tab went');
  await Promise.all([alice.page.close({ runBeforeUnload: false }), second.button('Send').click()]);
  await bob.say('to the tab that is left');
  await second.hears('to the tab that is left');
  await bob.hears('sent as the other tab went');
  await second.expectAllDelivered();
  await expect(second.messages).toHaveCount(4);
  await expect(bob.messages).toHaveCount(4);
  await second.say('alone now');
  await bob.hears('alone now');
});

test('the leading tab crashes, and the other goes on', async ({ alice, bob }) => {
  await meet(alice, bob);
  const second = await alice.newTab();
  await second.goto(alice.page.url());
  await second.expectConversation(start);
  const leader = alice.page;
  await Promise.all([
    leader.waitForEvent('crash'),
    // Never answered: the renderer is gone.
    leader.goto('chrome://crash').catch(() => undefined),
  ]);
  alice.watch.problems.splice(alice.watch.problems.indexOf('the page crashed'), 1);
  await second.say('after the crash');
  await bob.hears('after the crash');
  await bob.say('I heard');
  await second.expectConversation([...start, mine('after the crash'), theirs('I heard')]);
});

test('the server is killed and started again in the middle of a chat', async ({ alice, bob, server }) => {
  await meet(alice, bob);
  for (const person of [alice, bob]) person.watch.expectOutage();
  // Confirmed, but read by nobody yet.
  await bob.offline();
  await alice.say('confirmed before the crash');
  await alice.expectState('confirmed before the crash', 'sent');

  await server.kill9();
  await alice.say('typed while it was down');
  await alice.expectState('typed while it was down', 'sending');
  await bob.say('down here too');
  await server.run();
  await bob.online();

  await bob.hears('typed while it was down');
  await alice.hears('down here too');
  await alice.expectAllDelivered();
  await bob.expectAllDelivered();
  await alice.expectConversation([
    ...start,
    mine('confirmed before the crash'),
    mine('typed while it was down'),
    theirs('down here too'),
  ]);
  await expect(bob.messages).toHaveCount(5);
  await alice.say('as if nothing had happened');
  await bob.hears('as if nothing had happened');
});

test('messages that go through while the server is killed again and again arrive once, in order', async ({ alice, bob, server }) => {
  test.setTimeout(120_000);
  await meet(alice, bob);
  for (const person of [alice, bob]) person.watch.expectOutage();
  const texts = Array.from({ length: 24 }, (_, n) => `number ${String(n + 1).padStart(2, '0')}.`);
  for (const [n, text] of texts.entries()) {
    await alice.say(text);
    // Without waiting: some are on their way, some are stored, some have arrived.
    if (n % 8 === 5) await server.kill9();
    if (n % 8 === 7) await server.run();
  }
  await alice.expectAllDelivered();
  await bob.expectConversation([theirs('a letter from Alice'), mine('a reply from Bob'), ...texts.map(theirs)]);
});

test('a server that is stopped and started loses nothing', async ({ alice, bob, server }) => {
  await meet(alice, bob);
  for (const person of [alice, bob]) person.watch.expectOutage();
  await alice.say('before the restart');
  await server.stop();
  await alice.say('during the restart');
  await server.run();
  await bob.hears('during the restart');
  await alice.expectAllDelivered();
  await bob.expectConversation([
    theirs('a letter from Alice'),
    mine('a reply from Bob'),
    theirs('before the restart'),
    theirs('during the restart'),
  ]);
});

test('the server dies between the claim and the answer', async ({ alice, bob, server }) => {
  const link = await alice.writeLetter('a letter from Alice');
  await bob.openLink(link);
  for (const person of [alice, bob]) person.watch.expectOutage();
  await server.kill9();
  await bob.page.reload().catch(() => undefined);
  await server.run();
  await bob.page.reload();
  await bob.ready();
  await expect(bob.letter).toContainText('a letter from Alice');
  await bob.reply('a reply from Bob');
  await alice.openConversation('Bob');
  await alice.expectConversation(start);
});

test('a messenger that could not be loaded is loaded later, without a word', async ({ alice }) => {
  alice.watch.expectOutage();
  const asked: string[] = [];
  await alice.context.route(/\/worker\.[^/]*\.(js|wasm)$/, (route) => {
    const kind = route.request().url().split('.').pop()!;
    asked.push(kind);
    // First the script is lost, then the wasm, as when the server goes in between.
    const lost = asked.length === 1 || (kind === 'wasm' && !asked.slice(0, -1).includes('wasm'));
    return lost ? route.abort('connectionrefused') : route.continue();
  });
  await alice.createSim();
  expect(asked).toEqual(['js', 'js', 'wasm', 'js', 'wasm']);
});

test('typed without a network, the tab closed: it is sent when the person comes back', async ({ alice, bob }) => {
  await meet(alice, bob);
  await alice.offline();
  await alice.say('typed in the tunnel');
  await alice.expectState('typed in the tunnel', 'sending');
  await alice.closeTabs();
  await alice.online();
  await alice.reopen();
  await bob.hears('typed in the tunnel');
  await alice.openConversation('Bob');
  await alice.expectState('typed in the tunnel', 'delivered');
  await alice.expectConversation([...start, mine('typed in the tunnel')]);
});

test('pages work while the server is down, as far as they can', async ({ alice, bob, server }) => {
  await meet(alice, bob);
  for (const person of [alice, bob]) person.watch.expectOutage();
  await server.kill9();
  // What is here can be read and written to; a link cannot be made, and that is said in words.
  await alice.say('written down');
  await alice.expectState('written down', 'sending');
  await alice.button('Share contact').click();
  await expect(alice.dialog.getByRole('alert')).toBeVisible();
  await server.run();
  await bob.hears('written down');
});
