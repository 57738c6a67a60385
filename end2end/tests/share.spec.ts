import { expect, meet, test } from '../support/fixtures.js';
import { mine, theirs } from '../support/person.js';
import { readQr } from '../support/qr.js';

test('two who have SIMs share a contact by link', async ({ alice, bob }) => {
  await alice.createSim();
  await bob.createSim();
  const link = await alice.shareContact();
  await bob.openLink(link);
  // There is a name already, and no letter to answer.
  await expect(bob.textbox('Your name')).toHaveCount(0);
  await expect(bob.letter).toHaveCount(0);
  await bob.addContact();
  await bob.say('Hello Alice');
  await alice.openConversation('Bob');
  await alice.expectConversation([theirs('Hello Alice')]);
  await alice.say('Hello Bob');
  await bob.expectConversation([mine('Hello Alice'), theirs('Hello Bob')]);
  await alice.expectAllDelivered();
  await bob.expectAllDelivered();
});

test('who waits with the link open sees who answered', async ({ alice, bob }) => {
  await alice.createSim();
  await alice.button('Share contact').click();
  await bob.openLink(await alice.shownLink());
  await bob.addContact();
  await expect(alice.dialog.getByRole('status').filter({ hasText: 'Bob' })).toContainText('answered.');
});

test('the shared contact can be scanned', async ({ alice }) => {
  await alice.createSim();
  await alice.button('Share contact').click();
  const link = await alice.shownLink();
  expect(await readQr(alice.qr)).toBe(link);
});

test('a contact added without a word can be written to from both sides', async ({ alice, bob }) => {
  await alice.createSim();
  const link = await alice.shareContact();
  await bob.openLink(link);
  await bob.addContact();
  await alice.openConversation('Bob');
  await alice.say('I write first');
  await bob.hears('I write first');
});

test('somebody without a SIM gets one by adding the contact', async ({ alice, bob }) => {
  await alice.createSim();
  const link = await alice.shareContact();
  await bob.openLink(link);
  await bob.addContact();
  await bob.say('new here');
  await alice.openConversation('Bob');
  await alice.hears('new here');
  await bob.goto('/settings');
  await expect(bob.button('Download SIM')).toBeVisible();
});

test('somebody whose SIM has a password reads and answers', async ({ alice, bob }) => {
  await bob.createSim('correct horse');
  const link = await alice.writeLetter('for a SIM with a password');
  await bob.openLink(link);
  await expect(bob.textbox('Your name')).toHaveCount(0);
  await bob.reply('read and answered');
  await alice.openConversation('Bob');
  await alice.hears('read and answered');
  await alice.say('good');
  await bob.hears('good');
});

test('the answer waits for a sharer who is not there', async ({ alice, bob }) => {
  const link = await alice.writeLetter('I will be away');
  await alice.closeTabs();
  await bob.openLink(link);
  await bob.reply('you were not there');
  await bob.say('but I went on');
  await bob.expectState('but I went on', 'sent');
  await alice.reopen();
  await alice.openConversation('Bob');
  await alice.expectConversation([mine('I will be away'), theirs('you were not there'), theirs('but I went on')]);
  await bob.expectAllDelivered();
});

test('both without a network in turn: everything arrives once, in order', async ({ alice, bob }) => {
  await meet(alice, bob);
  const before = [mine('a letter from Alice'), theirs('a reply from Bob')];

  await bob.offline();
  await alice.say('Bob is away, one');
  await alice.say('Bob is away, two');
  await alice.expectState('Bob is away, two', 'sent');
  await bob.say('written without a network');
  await bob.expectState('written without a network', 'sending');
  await alice.offline();
  await alice.say('nobody is there');
  await alice.expectState('nobody is there', 'sending');
  await bob.online();
  await bob.hears('Bob is away, two');
  await bob.expectState('written without a network', 'sent');
  await alice.online();
  await alice.hears('written without a network');
  await bob.hears('nobody is there');
  await alice.expectAllDelivered();
  await bob.expectAllDelivered();

  // Each has their own order: what is received goes where it arrived.
  await alice.expectConversation([
    ...before,
    mine('Bob is away, one'),
    mine('Bob is away, two'),
    mine('nobody is there'),
    theirs('written without a network'),
  ]);
  await expect(bob.messages).toHaveCount(6);
  await expect(bob.messages.filter({ hasText: /away, one|away, two|nobody is there/ })).toContainText(['one', 'two', 'nobody']);
});

test('both with closed browsers in turn', async ({ alice, bob }) => {
  await meet(alice, bob);
  await alice.closeTabs();
  await bob.say('while Alice was out');
  await bob.expectState('while Alice was out', 'sent');
  await bob.closeTabs();
  await alice.reopen();
  await alice.openConversation('Bob');
  await alice.hears('while Alice was out');
  await alice.say('while Bob was out');
  await alice.expectState('while Bob was out', 'sent');
  await alice.closeTabs();
  await bob.reopen();
  await bob.openConversation('Alice');
  await bob.hears('while Bob was out');
  await bob.expectState('while Alice was out', 'delivered');
  await alice.reopen();
  await alice.openConversation('Bob');
  await alice.expectState('while Bob was out', 'delivered');
});

test('who is without a network sees it, and sees when it is back', async ({ alice, bob }) => {
  await meet(alice, bob);
  await expect(alice.connection).toHaveText(/^connected$/i);
  await alice.offline();
  await expect(alice.connection).not.toHaveText(/^connected$/i);
  await alice.online();
  await expect(alice.connection).toHaveText(/^connected$/i);
});

test('one browser talks to two people and mixes nothing up', async ({ alice, bob, carol }) => {
  await meet(alice, bob);
  const link = await alice.writeLetter('a letter for Carol');
  await carol.openLink(link);
  await carol.reply('a reply from Carol');
  await alice.openConversation('Carol');
  await alice.say('only for Carol');
  await carol.hears('only for Carol');
  await alice.openConversation('Bob');
  await alice.say('only for Bob');
  await bob.hears('only for Bob');
  await alice.expectConversation([mine('a letter from Alice'), theirs('a reply from Bob'), mine('only for Bob')]);
  await carol.expectConversation([theirs('a letter for Carol'), mine('a reply from Carol'), theirs('only for Carol')]);
  await expect(alice.conversations).toHaveCount(2);
});

test('two who sent each other links still have one conversation', async ({ alice, bob }) => {
  await alice.createSim();
  await bob.createSim();
  const toBob = await alice.shareContact();
  const toAlice = await bob.shareContact();
  await bob.openLink(toBob);
  await bob.addContact();
  await bob.say('through the link of Alice');
  await alice.openLink(toAlice);
  await alice.addContact();
  await alice.say('through the link of Bob');
  for (const person of [alice, bob]) await expect(person.conversations).toHaveCount(1);
  await bob.hears('through the link of Bob');
  await alice.hears('through the link of Alice');
});

test('a blocked contact who goes on sending is told that it fails', async ({ alice, bob }) => {
  await meet(alice, bob);
  await bob.block('Alice');
  await alice.sayInVain('are you there?');
  await alice.say('hello?');
  await alice.expectState('hello?', 'failed');
  // What was said before stays to be read, and nothing new comes.
  await bob.openConversation('Alice');
  await bob.expectConversation([theirs('a letter from Alice'), mine('a reply from Bob')]);
  await expect(bob.textbox('Message').and(bob.page.locator(':enabled'))).toHaveCount(0);
});

test('a deleted contact is gone for good and cannot write any more', async ({ alice, bob }) => {
  await meet(alice, bob);
  await bob.deleteContact('Alice');
  await bob.goto('/chat');
  await expect(bob.conversations).toHaveCount(0);
  await alice.sayInVain('still there?');
  await bob.reload();
  await expect(bob.button('Share contact')).toBeVisible();
  await expect(bob.conversations).toHaveCount(0);
});

test('both see the same safety code', async ({ alice, bob }) => {
  await meet(alice, bob);
  const [one, other] = [await alice.safetyCode('Bob'), await bob.safetyCode('Alice')];
  expect(one).toMatch(/^\d{60}$/);
  expect(other).toBe(one);
});
